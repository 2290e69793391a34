import { create } from "@bufbuild/protobuf";
import { expect, test } from "vitest";
import { ApprovalSchema } from "@/gen/missioncontrol/approval/v1/approval_pb";
import { jsonBytes } from "@/lib/rest";
import { actionName, facts, reasoning, rubric } from "./queries";

const approval = (payload: unknown, scores: unknown = null) => create(ApprovalSchema, { actionType: "send_email", payload: jsonBytes(payload), rubricScores: jsonBytes(scores) });

test("the reason is found where requesters put it", () => {
  expect(reasoning(approval({ reason: " Because. " }))).toBe("Because.");
  expect(reasoning(approval({ decision: { reason: "Deeper." } }))).toBe("Deeper.");
  expect(reasoning(approval({ reason: 7 }))).toBe("");
  expect(reasoning(create(ApprovalSchema))).toBe("");
});

test("what is shown by itself, or says nothing, is not shown again", () => {
  expect(facts(approval({ reason: "x", task_ids: ["1"], subject: "Hello", cc: null, note: "", recipients: 0 }))).toEqual({ subject: "Hello", recipients: 0 });
});

test("the lowest score comes first, and what is no score is left out", () => {
  expect(rubric(approval({}, { clarity: 85, risk: 40, note: "fine" }))).toEqual([
    { name: "Risk", score: 40 },
    { name: "Clarity", score: 85 },
  ]);
});

test("an action is shown in words", () => {
  expect(actionName({ actionType: "send_email" })).toBe("Send email");
  expect(actionName({ actionType: "task.markDone" })).toBe("Task mark done");
});
