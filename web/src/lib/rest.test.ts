import { timestampDate } from "@bufbuild/protobuf/wkt";
import { expect, test } from "vitest";
import { BoardMemorySchema } from "@/gen/missioncontrol/board/v1/memory_pb";
import { TaskCardSchema, } from "@/gen/missioncontrol/board/v1/snapshot_pb";
import { TaskStatus } from "@/gen/missioncontrol/board/v1/board_pb";
import { fromRest, json } from "./rest";

test("a task is read from its REST form", () => {
  const task = fromRest(TaskCardSchema, {
    id: "1",
    title: "Draft",
    description: null,
    status: "in_progress",
    created_at: "2026-11-25T22:00:00.25Z",
    depends_on_task_ids: ["2", "3"],
    tags: [{ id: "t", name: "urgent", slug: "urgent", color: "dc2626" }],
    custom_field_values: { client: "Initech", score: 5 },
    is_blocked: true,
    approvals_count: 2,
    unknown_field: 1,
  });
  expect(task.status).toBe(TaskStatus.IN_PROGRESS);
  expect(task.description).toBeUndefined();
  expect(task.createdAt && timestampDate(task.createdAt).toISOString()).toBe("2026-11-25T22:00:00.250Z");
  expect(task.dependsOnTaskIds).toEqual(["2", "3"]);
  expect(task.tags[0]?.name).toBe("urgent");
  expect(json(task.customFieldValues)).toEqual({ client: "Initech", score: 5 });
  expect([task.isBlocked, task.approvalsCount]).toEqual([true, 2]);
});

test("a list that can be null is written as the bare list", () => {
  expect(fromRest(BoardMemorySchema, { tags: ["chat", "decision"] }).tags?.items).toEqual(["chat", "decision"]);
  expect(fromRest(BoardMemorySchema, { tags: null }).tags).toBeUndefined();
});

test("free-form JSON that cannot be read is nothing", () => {
  expect(json(undefined)).toBeUndefined();
  expect(json(new TextEncoder().encode("{"))).toBeUndefined();
});
