import { expect, test } from "vitest";
import { readMessages } from "./conversation-state";

test("both forms of content are read", () => {
  const at = Date.parse("2026-11-25T22:00:00Z");
  expect(
    readMessages([
      { role: "user", content: "Hello", timestamp: at },
      { role: "assistant", content: [{ type: "thinking", text: "hm" }, { type: "text", text: "Hi." }, { type: "toolCall", name: "exec" }] },
      { role: "toolResult", toolName: "exec", content: [{ type: "text", text: "ok " }], timestamp: "never" },
    ]),
  ).toEqual([
    { role: "user", text: "Hello", tools: [], at: new Date(at) },
    { role: "assistant", text: "Hi.", tools: ["exec"], at: undefined },
    { role: "toolResult", text: "ok", tools: ["exec"], at: undefined },
  ]);
});

test("what is no message is left out", () => {
  expect(readMessages([null, "text", {}, { content: "x" }])).toEqual([]);
});
