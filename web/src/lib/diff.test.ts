import { expect, test } from "vitest";
import { differences, same } from "./diff";

test("fields that differ are named, those that always change are not", () => {
  const before = { id: "1", title: "A", status: "inbox", tags: ["x"], updated_at: "1", rules: { done: true, review: false } };
  const after = { id: "1", title: "A", status: "done", tags: ["x", "y"], updated_at: "2", rules: { done: true, review: true } };
  expect(differences(before, after)).toEqual([
    { field: "status", before: "inbox", after: "done" },
    { field: "tags", before: ["x"], after: ["x", "y"] },
    { field: "rules.review", before: false, after: true },
  ]);
});

test("of something new or gone, what it says is told", () => {
  expect(differences(null, { id: "1", name: "Ops", note: null, tags: [], created_at: "1" })).toEqual([{ field: "name", before: undefined, after: "Ops" }]);
  expect(differences({ id: "1", name: "Ops" }, null)).toEqual([{ field: "name", before: "Ops", after: undefined }]);
  expect(differences(null, null)).toEqual([]);
});

test("absent, null and empty are the same nothing; order of keys does not count", () => {
  expect(differences({ a: null, b: "" }, { b: null })).toEqual([]);
  expect(same({ a: 1, b: [1, { c: 2 }] }, { b: [1, { c: 2 }], a: 1 })).toBe(true);
  expect(same([1, 2], [2, 1])).toBe(false);
});
