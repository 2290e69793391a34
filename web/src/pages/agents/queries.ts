import { queryOptions } from "@tanstack/react-query";
import { AgentService } from "@/gen/missioncontrol/agent/v1/agent_pb";
import { api } from "@/lib/api";
import { readAll } from "@/lib/pages";

/** All agents that the person may see, newest first. */
export const agentsQuery = queryOptions({
  queryKey: ["agents", "list"],
  queryFn: ({ signal }) => readAll((limit, offset) => api(AgentService).listAgents({ limit, offset }, { signal })),
});

/** One agent. */
export const agentQuery = (agentId: string) =>
  queryOptions({
    queryKey: ["agents", agentId],
    queryFn: ({ signal }) => api(AgentService).getAgent({ agentId }, { signal }),
  });

