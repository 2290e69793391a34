import type { QueryClient } from "@tanstack/react-query";
import { AgentService } from "@/gen/missioncontrol/agent/v1/agent_pb";
import { type Board, BoardService, TaskService } from "@/gen/missioncontrol/board/v1/board_pb";
import { type BoardGroup, BoardGroupService } from "@/gen/missioncontrol/board/v1/groups_pb";
import { api } from "@/lib/api";
import boards from "@/texts/en/boards";
import { texts } from "@/texts/catalogue";
import { confirm } from "@/ui/confirm";
import { toast, toastError } from "@/ui/toast";

const t = texts("boards", boards);

/** Counts what goes with a board, asks, and deletes it. Answers whether it is gone. */
export async function deleteBoard(board: Pick<Board, "id" | "name">, queries: QueryClient): Promise<boolean> {
  const [tasks, agents] = await Promise.all([
    api(TaskService)
      .listTasks({ boardId: board.id, limit: 1 })
      .then((page) => page.total)
      .catch(() => 0),
    api(AgentService)
      .listAgents({ boardId: board.id, limit: 1 })
      .then((page) => page.total)
      .catch(() => 0),
  ]);
  const yes = await confirm({
    title: t.deleteTitle(board.name),
    body: agents > 0 ? t.deleteBoardBody : undefined,
    destroys: [...(tasks > 0 ? [t.deleteTasks(tasks)] : []), ...(agents > 0 ? [t.deleteAgents(agents)] : []), t.deleteRest],
    action: t.deleteBoard,
    typed: tasks + agents > 0 ? board.name : undefined,
  });
  if (!yes) return false;
  try {
    await api(BoardService).deleteBoard({ boardId: board.id });
    void queries.invalidateQueries({ queryKey: ["boards"] });
    void queries.invalidateQueries({ queryKey: ["groups"] });
    toast({ tone: "ok", title: t.deleted(board.name) });
    return true;
  } catch (error) {
    toastError(error, t.deleteFailed);
    return false;
  }
}

/** Asks, and deletes a group; its boards stay. */
export async function deleteGroup(group: Pick<BoardGroup, "id" | "name">, boardCount: number, queries: QueryClient): Promise<boolean> {
  const yes = await confirm({
    title: t.deleteTitle(group.name),
    body: boardCount > 0 ? t.deleteGroupBody(boardCount) : undefined,
    destroys: [t.deleteGroupMemory],
    action: t.deleteGroup,
  });
  if (!yes) return false;
  try {
    await api(BoardGroupService).deleteBoardGroup({ groupId: group.id });
    void queries.invalidateQueries({ queryKey: ["groups"] });
    void queries.invalidateQueries({ queryKey: ["boards"] });
    toast({ tone: "ok", title: t.deleted(group.name) });
    return true;
  } catch (error) {
    toastError(error, t.deleteFailed);
    return false;
  }
}
