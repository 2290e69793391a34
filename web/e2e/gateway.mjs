// Agents at work, as far as a journey needs them: their tokens are in their files on the scripted gateway.
import WebSocket from "ws";
import { rest, until } from "./rest.mjs";

/** Asks a gateway one thing after the other. */
async function connect(url, token) {
  const socket = new WebSocket(url);
  const waiting = new Map();
  const first = new Promise((resolve, reject) => {
    socket.once("error", reject);
    socket.on("message", (data) => {
      const frame = JSON.parse(String(data));
      if (frame.event === "connect.challenge") resolve();
      if (frame.type !== "res") return;
      const { resolve: done, reject: failed } = waiting.get(frame.id) ?? {};
      if (frame.ok) done?.(frame.payload);
      else failed?.(new Error(frame.error?.message));
    });
  });
  await first;
  let next = 1;
  const call = (method, params) =>
    new Promise((resolve, reject) => {
      const id = String(next++);
      waiting.set(id, { resolve, reject });
      socket.send(JSON.stringify({ type: "req", id, method, params }));
    });
  await call("connect", {
    minProtocol: 3,
    maxProtocol: 4,
    role: "operator",
    scopes: ["operator.read", "operator.admin"],
    client: { id: "gateway-client", mode: "backend", version: "1.0.0", platform: "linux" },
    auth: { token },
  });
  return { call, close: () => socket.close() };
}

/** Callers that are the agents: REST with the token from their files, once they are written. */
export async function asAgents(agents, url = process.env.MC_URL) {
  const gateway = await connect(process.env.GATEWAY_URL, process.env.GATEWAY_TOKEN);
  const callers = [];
  for (const agent of agents) {
    const token = await until(`files of ${agent.name}`, async () => {
      for (const name of ["TOOLS.md", "AGENTS.md"]) {
        // Not every release keeps both.
        const { file } = await gateway.call("agents.files.get", { agentId: `mc-${agent.id}`, name }).catch(() => ({}));
        const found = /^AUTH_TOKEN=(\S+)/m.exec(file?.content ?? "")?.[1];
        if (found) return found;
      }
      return undefined;
    });
    callers.push(rest(url, { "x-agent-token": token }));
  }
  gateway.close();
  return callers;
}
