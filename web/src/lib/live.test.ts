import { expect, test } from "vitest";
import { concerns } from "./live";

test.each([
  [["task.created"], "task.created", true],
  [["task.created"], "task.created_again", false],
  [["task."], "task.comment", true],
  [["task."], "tasks.other", false],
  [["*"], "anything.at_all", true],
])("%j concerns %s: %s", (types, type, expected) => {
  expect(concerns({ types }, type)).toBe(expected);
});
