import { create } from "@bufbuild/protobuf";
import { expect, test } from "vitest";
import { OperationItemSchema, OperationItemState } from "@/gen/missioncontrol/agent/v1/operations_pb";
import { mergeItems } from "./operation-state";

test("parts that moved take their own place, new ones come last", () => {
  const item = (name: string, state: OperationItemState, agentId?: string) => create(OperationItemSchema, { name, state, agentId });
  const known = [item("Ada", OperationItemState.WAITING, "1"), item("Ada", OperationItemState.WAITING, "2")];
  const merged = mergeItems(known, [item("Ada", OperationItemState.DONE, "2"), item("Grace", OperationItemState.WAITING, "3")]);
  expect(merged.map(({ agentId, state }) => [agentId, state])).toEqual([
    ["1", OperationItemState.WAITING],
    ["2", OperationItemState.DONE],
    ["3", OperationItemState.WAITING],
  ]);
  expect(mergeItems(known, [])).toBe(known);
});
