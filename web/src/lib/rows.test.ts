import { expect, test } from "vitest";
import { successor } from "./rows";

test.each([
  [["a", "b", "c"], ["a", "c"], "b", "c"],
  [["a", "b", "c"], ["a", "b"], "c", "b"],
  [["a", "b", "c"], ["c"], "a", "c"],
  [["a", "b"], [], "a", undefined],
  [["a", "b"], ["x", "a", "b"], "b", "b"],
  [["a", "b"], ["a"], "z", undefined],
])("of %j, now %j, %s gives its place to %s", (before, after, current, next) => {
  expect(successor(before, after, current)).toBe(next);
});
