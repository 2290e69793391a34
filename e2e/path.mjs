// The main path against a real gateway: a board, an agent, a task that the agent finishes by itself.
//
//   MC_URL=http://127.0.0.1:8000 MC_TOKEN=... GATEWAY_URL=ws://127.0.0.1:18789 GATEWAY_TOKEN=... node e2e/path.mjs
//
// Needs a running Mission Control, a gateway (scripts/openclaw start VERSION PORT) and the scripted model (node e2e/model.mjs).
import assert from "node:assert/strict";

const need = (name) => process.env[name] ?? assert.fail(`${name} is not set`);
const base = need("MC_URL").replace(/\/$/, "");
const workspace = process.env.WORKSPACE_ROOT ?? "~/.openclaw";
const PATIENCE_MS = 180_000;

async function call(method, path, body) {
  const response = await fetch(`${base}/api/v1${path}`, {
    method,
    headers: { authorization: `Bearer ${need("MC_TOKEN")}`, "content-type": "application/json" },
    body: body && JSON.stringify(body),
    signal: AbortSignal.timeout(60_000),
  });
  const text = await response.text();
  assert.ok(response.ok, `${method} ${path}: ${response.status} ${text}`);
  return text && JSON.parse(text);
}

async function eventually(what, ask) {
  const began = Date.now();
  for (;;) {
    const found = await ask();
    if (found) {
      console.log(`${what} (${((Date.now() - began) / 1000).toFixed(1)} s)`);
      return found;
    }
    assert.ok(Date.now() - began < PATIENCE_MS, `${what}: not within ${PATIENCE_MS / 1000} s`);
    await new Promise((done) => setTimeout(done, 300));
  }
}

const tag = Date.now().toString(36);
const gateway = await call("POST", "/gateways", {
  name: `Real ${tag}`,
  url: need("GATEWAY_URL"),
  token: need("GATEWAY_TOKEN"),
  workspace_root: workspace,
});
const connection = await eventually("the session connects", async () => {
  const seen = await call("GET", `/gateways/${gateway.id}/connection`);
  return seen.phase === "connected" && seen;
});
console.log(`gateway ${connection.version}, protocol ${connection.protocol}`);

const board = await call("POST", "/boards", {
  name: `Board ${tag}`,
  slug: `board-${tag}`,
  description: "End to end",
  gateway_id: gateway.id,
  require_approval_for_done: false,
});
const agent = await call("POST", "/agents", { name: `Worker ${tag}`, board_id: board.id });
await eventually("the agent is online", async () => {
  const seen = await call("GET", `/agents/${agent.id}`);
  return seen.status === "online" && seen;
});

const task = await call("POST", `/boards/${board.id}/tasks`, { title: "Write the report" });
await call("PATCH", `/boards/${board.id}/tasks/${task.id}`, { assigned_agent_id: agent.id });
await eventually("the agent moves its task to review", async () => {
  const tasks = await call("GET", `/boards/${board.id}/tasks`);
  return tasks.items.find((seen) => seen.id === task.id)?.status === "review";
});
const comments = await call("GET", `/boards/${board.id}/tasks/${task.id}/comments`);
assert.ok(comments.items.some((comment) => comment.agent_id === agent.id), "the agent commented");

await call("DELETE", `/agents/${agent.id}`);
await call("DELETE", `/boards/${board.id}`);
await eventually("the gateway can be deleted", async () => {
  try {
    await call("DELETE", `/gateways/${gateway.id}`);
    return true;
  } catch (error) {
    if (!String(error.message).includes(" 409 ")) throw error;
    return false;
  }
});
console.log("done");
