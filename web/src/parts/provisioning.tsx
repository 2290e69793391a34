// How far an agent's provisioning has come, condition by condition, as it goes on.
import { queryOptions, useQuery, useQueryClient } from "@tanstack/react-query";
import { useEffect } from "react";
import { AgentService } from "@/gen/missioncontrol/agent/v1/agent_pb";
import { api } from "@/lib/api";
import parts from "@/texts/en/parts";
import { texts } from "@/texts/catalogue";
import { Notice, QueryView } from "@/ui/states";
import { Steps } from "@/ui/steps";
import { Time } from "@/ui/time";
import { useOperation } from "./operation";
import { conditionStates, isProvisioned } from "./provisioning-state";

const t = texts("parts", parts);
const words = t.provisioning;

/** How far an agent's provisioning has come. */
export const provisioningQuery = (agentId: string) =>
  queryOptions({
    queryKey: ["provisioning", agentId],
    queryFn: ({ signal }) => api(AgentService).getAgentProvisioning({ agentId }, { signal }),
  });

/** The conditions. While not all are met every step is followed. */
export function ProvisioningView({ agentId }: { agentId: string }) {
  const query = useQuery(provisioningQuery(agentId));
  const queries = useQueryClient();
  const open = query.data !== undefined && !isProvisioned(query.data);
  const { items, operation } = useOperation(open ? agentId : undefined);
  useEffect(() => {
    if (operation) void queries.invalidateQueries({ queryKey: ["provisioning", agentId] });
  }, [items, operation, queries, agentId]);
  return (
    <QueryView query={query} isEmpty={(data) => data.conditions.length === 0} empty={<Notice title={words.none} className="py-6" />}>
      {(data) => {
        const states = conditionStates(data);
        return (
          <div className="space-y-3">
            <Steps
              label={t.provisioning.conditions["Created"] ?? ""}
              words={t.state}
              steps={data.conditions.map((condition, index) => ({
                key: condition.type,
                title: words.conditions[condition.type] ?? condition.type,
                state: states[index] ?? "waiting",
                detail: states[index] === "waiting" ? undefined : condition.message,
                note: condition.since && states[index] === "done" ? <Time at={condition.since} /> : undefined,
              }))}
            />
            {open && data.attempts > 0 && (
              <p className="text-xs text-muted">
                {words.attempts(data.attempts)}
                {data.nextAttemptAt && (
                  <>
                    {" · "}
                    {words.next} <Time at={data.nextAttemptAt} />
                  </>
                )}
              </p>
            )}
          </div>
        );
      }}
    </QueryView>
  );
}
