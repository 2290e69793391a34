import { queryOptions } from "@tanstack/react-query";
import { AgentService } from "@/gen/missioncontrol/agent/v1/agent_pb";
import { TaskService } from "@/gen/missioncontrol/board/v1/board_pb";
import { api } from "@/lib/api";
import { readAll } from "@/lib/pages";

/** All agents that the person may see, newest first. */
export const agentsQuery = queryOptions({
  queryKey: ["agents", "list"],
  queryFn: ({ signal }) => readAll((limit, offset) => api(AgentService).listAgents({ limit, offset }, { signal })),
});

/** What an agent has to do, and what it did last; the newest first. */
export const agentTasksQuery = (boardId: string, agentId: string) =>
  queryOptions({
    queryKey: ["agent-tasks", agentId],
    queryFn: async ({ signal }) => (await api(TaskService).listTasks({ boardId, assignedAgentId: agentId, limit: 50 }, { signal })).items,
  });

/** One agent. */
export const agentQuery = (agentId: string) =>
  queryOptions({
    queryKey: ["agents", agentId],
    queryFn: ({ signal }) => api(AgentService).getAgent({ agentId }, { signal }),
  });

