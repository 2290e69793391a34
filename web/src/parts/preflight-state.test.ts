import { create } from "@bufbuild/protobuf";
import { expect, test } from "vitest";
import { PreflightStepSchema, StepStatus } from "@/gen/missioncontrol/gateway/v1/gateway_pb";
import { failedStep, mayStore, mergeStep } from "./preflight-state";

const step = (name: string, status: StepStatus, pairingRequestId?: string) => create(PreflightStepSchema, { name, status, pairingRequestId });

test("a step takes the place of its own earlier report", () => {
  let steps = mergeStep([], step("dns", StepStatus.RUNNING));
  steps = mergeStep(steps, step("dns", StepStatus.PASSED));
  steps = mergeStep(steps, step("tcp", StepStatus.RUNNING));
  expect(steps.map(({ name, status }) => [name, status])).toEqual([
    ["dns", StepStatus.PASSED],
    ["tcp", StepStatus.RUNNING],
  ]);
});

test("a gateway is stored when it is ready or waits for its approval", () => {
  expect(mayStore([])).toBe(false);
  expect(mayStore([step("dns", StepStatus.PASSED), step("version", StepStatus.WARNING)])).toBe(true);
  expect(mayStore([step("tcp", StepStatus.FAILED)])).toBe(false);
  const waiting = [step("tcp", StepStatus.PASSED), step("pairing", StepStatus.FAILED, "9716")];
  expect(mayStore(waiting)).toBe(true);
  expect(failedStep(waiting)?.name).toBe("pairing");
});
