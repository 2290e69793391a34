import { create } from "@bufbuild/protobuf";
import { expect, test } from "vitest";
import { InboxItemSchema, InboxKind, InboxSchema } from "@/gen/missioncontrol/activity/v1/inbox_pb";
import { place, without } from "./inbox";

test.each([
  [{ kind: InboxKind.APPROVAL, approvalId: "a", boardId: "b", taskId: "t" }, "/approvals?id=a"],
  [{ kind: InboxKind.GATEWAY, gatewayId: "g" }, "/gateways/g"],
  [{ kind: InboxKind.AGENT, agentId: "x", boardId: "b" }, "/agents/x"],
  [{ kind: InboxKind.DELIVERY, webhookId: "w" }, "/organization/webhooks/w"],
  [{ kind: InboxKind.BLOCKED_TASK, boardId: "b", taskId: "t" }, "/boards/b/tasks/t"],
])("%j is at %s", (item, to) => {
  expect(place(create(InboxItemSchema, item))).toBe(to);
});

test("what is settled is gone from the list and from its count, once", () => {
  const item = create(InboxItemSchema, { id: "approval:1", kind: InboxKind.APPROVAL });
  const other = create(InboxItemSchema, { id: "task:1", kind: InboxKind.BLOCKED_TASK });
  const inbox = create(InboxSchema, { items: [item, other], total: 2, counts: [{ kind: InboxKind.APPROVAL, count: 1 }, { kind: InboxKind.BLOCKED_TASK, count: 1 }] });
  const after = without(inbox, item);
  expect(after.items.map((one) => one.id)).toEqual(["task:1"]);
  expect(after.total).toBe(1);
  expect(after.counts.map((one) => one.count)).toEqual([0, 1]);
  expect(without(after, item)).toBe(after);
});
