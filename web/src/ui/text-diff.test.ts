import { expect, test } from "vitest";
import { countDiff, parseDiff } from "./text-diff";

const DIFF = "--- a/SOUL.md\n+++ b/SOUL.md\n@@ -1,3 +1,3 @@\n # Soul\n-Be brief.\n+Be brief and kind.\n \n@@ -9,1 +9,2 @@ ## Rules\n -- dash\n+++ plus\n\\ No newline at end of file\n";

test("lines carry their numbers before and after", () => {
  expect(parseDiff(DIFF)).toEqual([
    { kind: "same", text: "# Soul", before: 1, after: 1 },
    { kind: "removed", text: "Be brief.", before: 2 },
    { kind: "added", text: "Be brief and kind.", after: 2 },
    { kind: "same", text: "", before: 3, after: 3 },
    { kind: "gap", text: "## Rules" },
    { kind: "same", text: "-- dash", before: 9, after: 9 },
    { kind: "added", text: "++ plus", after: 10 },
  ]);
});

test("what comes and goes is counted without the headers", () => {
  expect(countDiff(DIFF)).toEqual({ added: 2, removed: 1 });
  expect(countDiff("")).toEqual({ added: 0, removed: 0 });
});
