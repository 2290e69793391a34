import { expect, test } from "vitest";
import { dayBegins } from "./queries";

test.each([
  ["2026-11-25", "UTC", 0, "2026-11-25T00:00:00.000Z"],
  ["2026-11-25", "UTC", 1, "2026-11-26T00:00:00.000Z"],
  ["2026-11-25", "Asia/Tokyo", 0, "2026-11-24T15:00:00.000Z"],
  ["2026-11-25", "America/New_York", 0, "2026-11-25T05:00:00.000Z"],
  // The clock goes back on the first of November: that day has 25 hours.
  ["2026-11-01", "America/New_York", 0, "2026-11-01T04:00:00.000Z"],
  ["2026-11-01", "America/New_York", 1, "2026-11-02T05:00:00.000Z"],
  // And forward on the last Sunday of March.
  ["2026-03-29", "Europe/Berlin", 1, "2026-03-29T22:00:00.000Z"],
])("%s in %s, %d days on, begins at %s", (day, zone, after, begins) => {
  expect(dayBegins(day, zone, after)?.toISOString()).toBe(begins);
});

test("what is no day is no limit", () => {
  expect(dayBegins("", "UTC")).toBeUndefined();
  expect(dayBegins("soon", "UTC")).toBeUndefined();
  expect(dayBegins("2026-99-99", "UTC")).toBeUndefined();
});
