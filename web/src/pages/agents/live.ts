import type { QueryClient } from "@tanstack/react-query";
import { type Agent, AgentSchema } from "@/gen/missioncontrol/agent/v1/agent_pb";
import type { LiveEvent } from "@/lib/live";
import { fromRest } from "@/lib/rest";

/** The agent that an event carries, when it carries one. */
export function agentOf(event: LiveEvent): Agent | undefined {
  const after = event.after as Record<string, unknown> | null | undefined;
  if (typeof after !== "object" || after === null || after["id"] !== event.agentId || !("gateway_id" in after) || !("status" in after)) return undefined;
  return fromRest(AgentSchema, after);
}

/** Writes a change of an agent into what was read. */
export function applyAgent(event: LiveEvent, client: QueryClient): void {
  if (!event.agentId) return;
  const key = ["agents", "list"];
  if (event.type === "agent.deleted") {
    client.setQueryData<Agent[]>(key, (all) => all?.filter((agent) => agent.id !== event.agentId));
    void client.invalidateQueries({ queryKey: ["agents", "names"] });
    client.removeQueries({ queryKey: ["agents", event.agentId], type: "inactive" });
    void client.invalidateQueries({ queryKey: ["agents", event.agentId] });
    return;
  }
  if (event.type !== "agent.status_changed" && event.type !== "agent.heartbeat") void client.invalidateQueries({ queryKey: ["agents", "names"] });
  const agent = agentOf(event);
  if (agent) {
    client.setQueryData<Agent[]>(key, (all) => all && (all.some((one) => one.id === agent.id) ? all.map((one) => (one.id === agent.id ? agent : one)) : [agent, ...all]));
    client.setQueryData<Agent>(["agents", agent.id], (known) => known && agent);
  } else {
    void client.invalidateQueries({ queryKey: key });
    void client.invalidateQueries({ queryKey: ["agents", event.agentId] });
  }
  void client.invalidateQueries({ queryKey: ["provisioning", event.agentId] });
}
