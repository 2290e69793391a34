import { create } from "@bufbuild/protobuf";
import { QueryClient } from "@tanstack/react-query";
import { expect, test } from "vitest";
import { AgentSchema } from "@/gen/missioncontrol/agent/v1/agent_pb";
import { BoardSchema, TaskStatus } from "@/gen/missioncontrol/board/v1/board_pb";
import { TaskCardSchema } from "@/gen/missioncontrol/board/v1/snapshot_pb";
import type { LiveEvent } from "@/lib/live";
import { applyEvent, applyTag, type BoardData, blockers, boardQuery, touches, wouldCycle } from "./data";
import { columnsOf, filterOf } from "./filters";
import { applyToBoards } from "./live";

const card = (id: string, more: Partial<Parameters<typeof create<typeof TaskCardSchema>>[1]> & object = {}) => create(TaskCardSchema, { id, title: id, status: TaskStatus.INBOX, priority: "medium", ...more } as never);
const board = (...tasks: ReturnType<typeof card>[]): BoardData => ({
  board: create(BoardSchema, { id: "b" }),
  tasks: new Map(tasks.map((task) => [task.id, task])),
  agents: [create(AgentSchema, { id: "a1", name: "Ada", boardId: "b" })],
  approvals: [],
  chat: [],
});
const event = (type: string, after: unknown, before: unknown = null): LiveEvent => ({
  id: type,
  type,
  message: "",
  boardId: "b",
  taskId: ((after ?? before) as { id?: string } | null)?.id ?? "",
  agentId: "",
  actor: { type: "user", id: "u", name: "Somebody" },
  requestId: "",
  at: 0,
  before,
  after,
});

test("a change is written into the card and keeps what only the card knows", () => {
  const before = board(card("1", { approvalsCount: 2, approvalsPendingCount: 1 }));
  const after = applyEvent(before, event("task.updated", { id: "1", title: "New", status: "review", priority: "high", assigned_agent_id: "a1", updated_at: "2026-11-25T22:00:00Z" }));
  const task = after.tasks.get("1");
  expect([task?.title, task?.status, task?.assignee, task?.approvalsCount, task?.approvalsPendingCount]).toEqual(["New", TaskStatus.REVIEW, "Ada", 2, 1]);
});

test("an older change does not overwrite a newer state", () => {
  const newer = applyEvent(board(card("1")), event("task.updated", { id: "1", title: "Second", updated_at: "2026-11-25T22:00:01Z" }));
  expect(applyEvent(newer, event("task.updated", { id: "1", title: "First", updated_at: "2026-11-25T22:00:00Z" }))).toBe(newer);
});

test("what is told twice counts once", () => {
  const approval = { id: "p", board_id: "b", status: "pending", task_ids: ["1"], action_type: "mark_done", confidence: 80 };
  const once = applyEvent(board(card("1")), event("approval.created", approval));
  const twice = applyEvent(once, event("approval.created", approval));
  expect([twice.approvals.length, twice.tasks.get("1")?.approvalsCount, twice.tasks.get("1")?.approvalsPendingCount]).toEqual([1, 1, 1]);
  const decided = applyEvent(twice, event("approval.resolved", { ...approval, status: "approved" }));
  expect([decided.tasks.get("1")?.approvalsCount, decided.tasks.get("1")?.approvalsPendingCount]).toEqual([1, 0]);
  expect(applyEvent(decided, event("approval.resolved", { ...approval, status: "approved" }))).toBe(decided);
});

test("a deleted task is gone, and the board that was deleted says by whom", () => {
  expect(applyEvent(board(card("1"), card("2")), event("task.deleted", null, { id: "1" })).tasks.has("1")).toBe(false);
  expect(applyEvent(board(), event("board.deleted", null, { id: "b" })).gone).toBe("Somebody");
});

test("blocked is true after every change, without asking", () => {
  const data = board(card("1"), card("2", { dependsOnTaskIds: ["1"] }));
  expect(blockers(data, data.tasks.get("2") as never)).toEqual(["1"]);
  const done = applyEvent(data, event("task.status_changed", { id: "1", title: "1", status: "done" }));
  expect(blockers(done, done.tasks.get("2") as never)).toEqual([]);
});

test("a circle is seen over any number of steps", () => {
  const tasks = board(card("1"), card("2", { dependsOnTaskIds: ["1"] }), card("3", { dependsOnTaskIds: ["2"] }), card("4")).tasks;
  expect([...wouldCycle(tasks, "1")].sort()).toEqual(["1", "2", "3"]);
});

test("a tag's new name is on all cards, a deleted one on none", () => {
  const data = board(card("1", { tagIds: ["t"], tags: [{ id: "t", name: "old", slug: "old", color: "ff0000" }] }));
  expect(applyTag(data, event("tag.updated", { id: "t", name: "new", slug: "new", color: "00ff00" })).tasks.get("1")?.tags[0]?.name).toBe("new");
  expect(applyTag(data, event("tag.deleted", null, { id: "t" })).tasks.get("1")?.tags).toEqual([]);
});

test("filters and orders come from the address", () => {
  const data = board(
    card("low", { priority: "low" }),
    card("high", { priority: "high", assignedAgentId: "a1", assignee: "Ada" }),
    card("urgent", { priority: "urgent", customFieldValues: new TextEncoder().encode('{"client":"Initech"}') }),
    card("finished", { status: TaskStatus.DONE }),
  );
  const titles = (query: string) => columnsOf(data, filterOf(new URLSearchParams(query))).flatMap((column) => column.tasks.map((task) => task.title));
  expect(titles("")).toEqual(["urgent", "high", "low", "finished"]);
  expect(titles("assignee=none&status=inbox")).toEqual(["urgent", "low"]);
  expect(titles("assignee=a1")).toEqual(["high"]);
  expect(titles("priority=low,urgent")).toEqual(["urgent", "low"]);
  expect(titles("q=ada")).toEqual(["high"]);
  expect(titles("field=client%3DInitech")).toEqual(["urgent"]);
});

test("what was read already is not announced; what is new is, with who did it", () => {
  const client = new QueryClient();
  const at = { created_at: "2026-11-25T22:00:00Z", updated_at: "2026-11-25T22:00:00Z" };
  const told = (type: string, task: object) => applyToBoards({ ...event(type, task), at: Date.now() }, client);
  client.setQueryData(boardQuery("b").queryKey, applyEvent(board(), event("task.created", { id: "1", title: "First", ...at })));
  // The stream begins with the changes of the last seconds.
  told("task.created", { id: "1", title: "First", ...at });
  expect([...touches.get().keys()]).toEqual([]);
  told("task.updated", { id: "1", title: "Second", ...at, updated_at: "2026-11-25T22:00:01Z" });
  told("task.created", { id: "2", title: "Another", ...at });
  expect([...touches.get()].map(([id, { who, what }]) => [id, who, what])).toEqual([
    ["1", "Somebody", "task.updated"],
    ["2", "Somebody", "task.created"],
  ]);
});
