import { expect, test } from "vitest";
import { nearest, runs, shownLabels, ticks } from "./scale";

test.each([
  [0, false, [0, 1]],
  [3, true, [0, 1, 2, 3]],
  [1, true, [0, 1]],
  [7.4, false, [0, 2.5, 5, 7.5]],
  [100, false, [0, 50, 100]],
  [0.3, false, [0, 0.1, 0.2, 0.3]],
  [26, true, [0, 10, 20, 30]],
  [Number.NaN, false, [0, 1]],
])("marks up to %d (whole: %s) are %j", (max, whole, marks) => {
  expect(ticks(max, 3, whole)).toEqual(marks);
});

test("labels that would touch are left out, the last one stays", () => {
  expect(shownLabels(7, 700, 60)).toEqual([0, 1, 2, 3, 4, 5, 6]);
  expect(shownLabels(24, 300, 60)).toEqual([3, 8, 13, 18, 23]);
  expect(shownLabels(0, 300, 60)).toEqual([]);
  expect(shownLabels(3, 10, 60)).toEqual([2]);
});

test("the nearest point stays within the chart", () => {
  expect(nearest(-5, 100, 4)).toBe(0);
  expect(nearest(60, 100, 4)).toBe(2);
  expect(nearest(500, 100, 4)).toBe(3);
});

test("a line has gaps where there is no value", () => {
  expect(runs([1, 2, null, 3, null, null, 4])).toEqual([[0, 1], [3], [6]]);
});
