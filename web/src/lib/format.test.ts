import { expect, test } from "vitest";
import { duration, plural, relative, toDate, toTimestamp } from "./format";

test("times are relative in the largest unit that fits", () => {
  const now = Date.parse("2026-11-25T12:00:00Z");
  const ago = (seconds: number) => relative(new Date(now - seconds * 1000), now);
  expect(ago(10)).toBe("now");
  expect(ago(125)).toBe("2 min. ago");
  expect(ago(7300)).toBe("2 hr. ago");
  expect(ago(-86400)).toBe("tomorrow");
});

test("a moment survives the wire", () => {
  for (const moment of [new Date("2026-11-25T22:00:00.250Z"), new Date(-1500)]) {
    expect(toDate({ ...toTimestamp(moment) } as never).getTime()).toBe(moment.getTime());
  }
});

test("words follow the number", () => {
  expect(plural(1, { one: "1 task", other: "n tasks" })).toBe("1 task");
  expect(plural(0, { one: "1 task", other: "n tasks" })).toBe("n tasks");
});

test("spans are shown in their unit", () => {
  expect(duration(250)).toBe("250ms");
  expect(duration(90_000)).toBe("1.5m");
});
