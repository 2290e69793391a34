// A language model that follows a script, so that a real agent can be tested without a network.
//
//   node e2e/model.mjs [--port 18900] [--rules e2e/rules.json]
//
// POST /v1/chat/completions  OpenAI chat completions, streamed or not
// GET  /v1/models, /healthz  what is there
// GET  /requests             the last decisions, newest last (no bodies: they hold tokens)
//
// The answer depends on the request alone. A user message may say what to do:
//   EXEC: <shell command>    one tool call per line
//   SAY: <text>              the final answer
// Otherwise the first rule of the rules file whose `when` matches decides: `find` pulls variables out of the system
// prompt and all user messages, `exec` are commands, `say` is the final answer.
import { readFileSync } from "node:fs";
import { createServer } from "node:http";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { randomUUID } from "node:crypto";

const option = (name, fallback) => {
  const at = process.argv.indexOf(`--${name}`);
  return at > 0 ? process.argv[at + 1] : fallback;
};
const port = Number(option("port", process.env.MODEL_PORT ?? "18900"));
const rulesFile = option("rules", join(dirname(fileURLToPath(import.meta.url)), "rules.json"));
const TOOL = "exec";
const KEPT = 100;
const decisions = [];

// Newer gateways append a user message with runtime context, after the real one and after tool results.
const INTERNAL = /<<<BEGIN_OPENCLAW_INTERNAL_CONTEXT>>>[\s\S]*?<<<END_OPENCLAW_INTERNAL_CONTEXT>>>/g;

const textOf = (content) => {
  if (content == null) return "";
  if (typeof content === "string") return content;
  if (Array.isArray(content)) return content.map(textOf).join("\n");
  return textOf(content.text ?? content.content ?? "");
};

const readMessages = (body) =>
  (body.messages ?? []).map(({ role, content }) => {
    const text = textOf(content);
    if (role === "developer") return { role: "system", text };
    return { role, text: role === "user" ? text.replace(INTERNAL, "").trim() : text };
  });

// Older gateways fold newlines into blanks, so a directive ends at the next one or at the end of the line.
const directives = (text, word) =>
  [...text.matchAll(new RegExp(`(?:^|\\s)${word}:\\s*(.+?)(?=\\s+(?:EXEC|SAY):|$)`, "gm"))].map((m) => m[1].trim());

const fill = (template, values) => template.replace(/\{(\w+)\}/g, (whole, name) => values[name] ?? whole);

function script(messages, user) {
  const exec = directives(user, "EXEC");
  const say = directives(user, "SAY")[0];
  if (exec.length > 0 || say !== undefined) return { exec, say };
  const known = messages.filter((m) => m.role !== "tool" && m.role !== "assistant").map((m) => m.text).join("\n");
  for (const rule of JSON.parse(readFileSync(rulesFile, "utf8"))) {
    if (!new RegExp(rule.when, "is").test(user)) continue;
    const values = {};
    for (const [name, pattern] of Object.entries(rule.find ?? {})) {
      values[name] = [...known.matchAll(new RegExp(pattern, "gm"))].at(-1)?.[1] ?? "";
    }
    return { exec: (rule.exec ?? []).map((line) => fill(line, values)), say: rule.say && fill(rule.say, values) };
  }
  return { exec: [] };
}

function decide(body) {
  const messages = readMessages(body);
  const last = messages.findLastIndex((m) => m.role === "user" && m.text !== "");
  const user = messages[last]?.text ?? "";
  const results = messages.slice(last + 1).filter((m) => m.role === "tool");
  const { exec, say } = script(messages, user);
  if (results.length < exec.length) {
    const offered = (body.tools ?? []).map((tool) => tool.function?.name);
    if (!offered.includes(TOOL)) return { text: `the tool ${TOOL} is not offered, only: ${offered.join(", ")}` };
    return { command: exec[results.length] };
  }
  if (say !== undefined) return { text: say };
  if (results.length > 0) return { text: `done: ${results.at(-1).text.trim().slice(0, 400)}` };
  // Not NO_REPLY after a tool call: the gateway would ask again. Here nothing ran, so silence is right.
  if (/heartbeat/i.test(user)) return { text: "NO_REPLY" };
  return { text: `ack: ${user.split("\n").at(-1).slice(0, 80)}` };
}

function* chunks(answer) {
  yield { role: "assistant", content: "" };
  if (answer.command !== undefined) {
    const call = { name: TOOL, arguments: JSON.stringify({ command: answer.command }) };
    yield { tool_calls: [{ index: 0, id: `call_${randomUUID().slice(0, 12)}`, type: "function", function: call }] };
  } else {
    for (let at = 0; at < answer.text.length; at += 24) yield { content: answer.text.slice(at, at + 24) };
  }
}

function complete(body, response) {
  const answer = decide(body);
  decisions.push({ at: new Date().toISOString(), model: body.model, kind: answer.command === undefined ? "text" : "exec" });
  if (decisions.length > KEPT) decisions.shift();
  const base = { id: `chatcmpl-${randomUUID()}`, created: Math.floor(Date.now() / 1000), model: body.model };
  const reason = answer.command === undefined ? "stop" : "tool_calls";
  const usage = { prompt_tokens: 1, completion_tokens: 1, total_tokens: 2 };
  if (!body.stream) {
    const message = { role: "assistant", content: answer.text ?? null };
    for (const part of chunks(answer)) if (part.tool_calls) message.tool_calls = part.tool_calls;
    const choices = [{ index: 0, message, finish_reason: reason }];
    return json(response, 200, { ...base, object: "chat.completion", choices, usage });
  }
  response.writeHead(200, { "content-type": "text/event-stream", "cache-control": "no-cache" });
  const send = (fields) =>
    response.write(`data: ${JSON.stringify({ ...base, object: "chat.completion.chunk", ...fields })}\n\n`);
  for (const delta of chunks(answer)) send({ choices: [{ index: 0, delta, finish_reason: null }] });
  send({ choices: [{ index: 0, delta: {}, finish_reason: reason }] });
  send({ choices: [], usage });
  response.end("data: [DONE]\n\n");
}

function json(response, status, body) {
  response.writeHead(status, { "content-type": "application/json" });
  response.end(JSON.stringify(body));
}

const server = createServer((request, response) => {
  const path = request.url.split("?")[0];
  if (request.method === "GET") {
    if (path.endsWith("/models")) {
      return json(response, 200, { object: "list", data: [{ id: "rules", object: "model", owned_by: "scripted" }] });
    }
    if (path === "/requests") return json(response, 200, decisions);
    return json(response, path === "/healthz" ? 200 : 404, { ok: path === "/healthz" });
  }
  let text = "";
  request.setEncoding("utf8");
  request.on("data", (part) => (text += part));
  request.on("end", () => {
    if (request.method !== "POST" || !path.endsWith("/chat/completions")) {
      return json(response, 404, { error: { message: `not found: ${path}` } });
    }
    try {
      complete(JSON.parse(text), response);
    } catch (error) {
      json(response, 400, { error: { message: String(error.message) } });
    }
  });
});
server.listen(port, "127.0.0.1", () => console.log(`scripted model on http://127.0.0.1:${port}/v1`));
