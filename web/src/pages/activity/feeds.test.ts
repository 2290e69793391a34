import { QueryClient } from "@tanstack/react-query";
import { expect, test } from "vitest";
import type { LiveEvent } from "@/lib/live.types";
import { addToFeeds, type Filters, fits, insert, subject } from "./feeds";

const event = (id: string, at: number, more: Partial<LiveEvent> = {}): LiveEvent => ({
  id,
  at,
  type: "task.created",
  message: "",
  boardId: "b",
  taskId: "",
  agentId: "",
  actor: { type: "user", id: "u", name: "Ada" },
  requestId: "",
  before: null,
  after: null,
  ...more,
});
const everything: Filters = { board: "", agent: "", kinds: [], heartbeats: false };

test.each([
  [{}, true],
  [{ board: "b" }, true],
  [{ board: "other" }, false],
  [{ agent: "a" }, false],
  [{ kinds: ["task", "agent"] }, true],
  [{ kinds: ["agent"] }, false],
])("a new task on board b with filters %j: %s", (filters, expected) => {
  expect(fits(event("1", 1), { ...everything, ...filters })).toBe(expected);
});

test("heartbeats show only where they are wanted", () => {
  const beat = event("1", 1, { type: "agent.heartbeat" });
  expect(fits(beat, everything)).toBe(false);
  expect(fits(beat, { ...everything, heartbeats: true })).toBe(true);
});

test("chat of groups is memory", () => {
  expect(subject("group_memory.created")).toBe("memory");
  expect(subject("approval.resolved")).toBe("approval");
});

test("events lie in the order of their time, each once", () => {
  const items = [event("3", 30), event("1", 10)];
  expect(insert(items, event("2", 20))?.map((one) => one.id)).toEqual(["3", "2", "1"]);
  expect(insert(items, event("4", 40))?.map((one) => one.id)).toEqual(["4", "3", "1"]);
  expect(insert(items, event("0", 5))?.map((one) => one.id)).toEqual(["3", "1", "0"]);
  expect(insert(items, event("1", 10))).toBeUndefined();
});

test("a change is written into the feeds it belongs to, and counted", () => {
  const client = new QueryClient();
  const keys = { all: ["activity", "feed", everything], other: ["activity", "feed", { ...everything, board: "other" }], recent: ["activity", "recent", everything] };
  const page = () => ({ pages: [{ items: [event("1", 10)], total: 1 }, { items: [event("0", 1)], total: 2 }], pageParams: [0, 1] });
  client.setQueryData(keys.all, page());
  client.setQueryData(keys.other, page());
  client.setQueryData(keys.recent, [event("1", 10)]);
  addToFeeds(event("2", 20), client);
  addToFeeds(event("2", 20), client);
  expect(client.getQueryData<ReturnType<typeof page>>(keys.all)?.pages.map((one) => [one.items.map((item) => item.id), one.total])).toEqual([[["2", "1"], 2], [["0"], 2]]);
  expect(client.getQueryData<ReturnType<typeof page>>(keys.other)?.pages[0]?.items.length).toBe(1);
  expect(client.getQueryData<LiveEvent[]>(keys.recent)?.map((one) => one.id)).toEqual(["2", "1"]);
});
