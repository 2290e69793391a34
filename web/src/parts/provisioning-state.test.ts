import { create } from "@bufbuild/protobuf";
import { expect, test } from "vitest";
import { AgentProvisioningSchema } from "@/gen/missioncontrol/agent/v1/agent_pb";
import { conditionStates, isProvisioned } from "./provisioning-state";

const provisioning = (attempts: number, ...statuses: string[]) => create(AgentProvisioningSchema, { attempts, conditions: statuses.map((status, n) => ({ type: `C${n}`, status })) });

test("the first condition that is not met is the one under way", () => {
  expect(conditionStates(provisioning(0, "true", "false", "true", "unknown"))).toEqual(["done", "running", "done", "waiting"]);
});

test("after a failed attempt it is said that something hinders", () => {
  expect(conditionStates(provisioning(2, "false", "unknown"))).toEqual(["warning", "waiting"]);
  expect(conditionStates(provisioning(2, "unknown"))).toEqual(["running"]);
});

test("an agent is provisioned when all conditions are met, and not when there are none", () => {
  expect(isProvisioned(provisioning(0))).toBe(false);
  expect(isProvisioned(provisioning(0, "true", "true"))).toBe(true);
});
