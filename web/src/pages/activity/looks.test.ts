import { afterEach, expect, test } from "vitest";
import { setTimeZone } from "@/lib/format";
import { days, sentence } from "./looks";

afterEach(() => setTimeZone(undefined));

test.each([
  ["task.status_changed", "Task moved to in_progress: Fix my_table.", "Task moved to in progress: Fix my_table."],
  ["approval.created", "Approval send_email requested.", "Approval send email requested."],
  ["task.created", "Task created: do_it.", "Task created: do_it."],
  ["tag.merged", "", "Tag merged"],
])("%s: %s is shown as %s", (type, message, shown) => {
  expect(sentence({ type, message })).toBe(shown);
});

test("events are parted by the days of the shown time zone", () => {
  const events = ["2026-11-25T16:00:00Z", "2026-11-25T14:00:00Z", "2026-11-24T14:00:00Z"].map((at) => ({ at: Date.parse(at) }));
  setTimeZone("UTC");
  expect(days(events).map((day) => [day.day, day.events.length])).toEqual([["2026-11-25", 2], ["2026-11-24", 1]]);
  setTimeZone("Asia/Tokyo");
  expect(days(events).map((day) => [day.day, day.events.length])).toEqual([["2026-11-26", 1], ["2026-11-25", 1], ["2026-11-24", 1]]);
});
