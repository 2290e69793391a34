import type { AgentProvisioning } from "@/gen/missioncontrol/agent/v1/agent_pb";
import type { StepState } from "@/ui/steps";

/** Whether all conditions are met. */
export function isProvisioned(provisioning: Pick<AgentProvisioning, "conditions">): boolean {
  return provisioning.conditions.length > 0 && provisioning.conditions.every((condition) => condition.status === "true");
}

/** A state for each condition: the first that is not met is under way, or hindered after a failed attempt; later ones are to come. */
export function conditionStates({ conditions, attempts }: Pick<AgentProvisioning, "conditions" | "attempts">): StepState[] {
  const first = conditions.findIndex((condition) => condition.status !== "true");
  return conditions.map((condition, index) => {
    if (condition.status === "true") return "done";
    if (index !== first) return "waiting";
    return condition.status === "false" && attempts > 0 ? "warning" : "running";
  });
}
