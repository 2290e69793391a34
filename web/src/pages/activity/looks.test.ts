import { afterEach, expect, test } from "vitest";
import { setTimeZone } from "@/lib/format";
import { days, fold } from "./looks";
import { sentence } from "./queries";

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

test("what says the same again is one line with a count; another task is another thing", () => {
  const event = (id: string, message: string, taskId = "") => ({ id, type: "webhook.delivery_failed", message, taskId, boardId: "", agentId: "", requestId: "", at: 0, actor: { type: "service", id: "activity", name: "" }, before: null, after: null });
  expect(fold([event("5", "a"), event("4", "a"), event("3", "b"), event("2", "a"), event("1", "a", "t")]).map((one) => [one.event.id, one.count])).toEqual([["5", 2], ["3", 1], ["2", 1], ["1", 1]]);
});
