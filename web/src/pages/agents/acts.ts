// What is done with an agent, from the list and from its page.
import type { QueryClient } from "@tanstack/react-query";
import { type Agent, AgentService } from "@/gen/missioncontrol/agent/v1/agent_pb";
import { TaskService } from "@/gen/missioncontrol/board/v1/board_pb";
import { api } from "@/lib/api";
import agents from "@/texts/en/agents";
import { texts } from "@/texts/catalogue";
import { confirm } from "@/ui/confirm";
import { toast, toastError } from "@/ui/toast";

const t = texts("agents", agents);

/** Counts what goes with an agent, asks, and deletes it. Answers whether it is going. */
export async function deleteAgent(agent: Agent, queries: QueryClient): Promise<boolean> {
  const working = agent.boardId
    ? await api(TaskService)
        .listTasks({ boardId: agent.boardId, assignedAgentId: agent.id, status: "in_progress", limit: 1 })
        .then((page) => page.total)
        .catch(() => 0)
    : 0;
  const body = [...(working > 0 ? [t.deleteTasks(working)] : []), ...(agent.isBoardLead ? [t.deleteLead] : [])].join(" ");
  const yes = await confirm({ title: t.deleteTitle(agent.name), body: body || undefined, destroys: [t.deleteFiles, t.deleteSession, t.deleteToken], action: t.delete, typed: agent.name });
  if (!yes) return false;
  try {
    await api(AgentService).deleteAgent({ agentId: agent.id });
    void queries.invalidateQueries({ queryKey: ["agents"] });
    toast({ tone: "ok", title: t.deleted(agent.name) });
    return true;
  } catch (error) {
    toastError(error, t.deleteFailed);
    return false;
  }
}

/** Asks, and gives an agent a new token. */
export async function rotateToken(agent: Pick<Agent, "id" | "name">, queries: QueryClient): Promise<void> {
  const yes = await confirm({ title: t.rotateTitle(agent.name), body: t.rotateBody, destroys: [t.rotateDestroys], action: t.rotate });
  if (!yes) return;
  try {
    queries.setQueryData(["agents", agent.id], await api(AgentService).rotateAgentToken({ agentId: agent.id }));
    void queries.invalidateQueries({ queryKey: ["provisioning", agent.id] });
    toast({ tone: "ok", title: t.rotated });
  } catch (error) {
    toastError(error, t.rotateFailed);
  }
}

/** Provisions an agent again although nothing changed. */
export async function provisionAgain(agent: Pick<Agent, "id">, queries: QueryClient): Promise<void> {
  try {
    queries.setQueryData(["agents", agent.id], await api(AgentService).updateAgent({ agentId: agent.id, force: true, updateMask: { paths: [] } }));
    void queries.invalidateQueries({ queryKey: ["provisioning", agent.id] });
    toast({ tone: "ok", title: t.againDone });
  } catch (error) {
    toastError(error, t.againFailed);
  }
}
