// What people do with tasks: shown at once, taken back with the rule in words when the server refuses.
import type { MessageInitShape } from "@bufbuild/protobuf";
import { clone } from "@bufbuild/protobuf";
import { useQueryClient, type QueryClient } from "@tanstack/react-query";
import { useMemo } from "react";
import { TaskCardSchema, type TaskCard } from "@/gen/missioncontrol/board/v1/snapshot_pb";
import { TaskService, type TaskStatus, type UpdateTaskRequestSchema } from "@/gen/missioncontrol/board/v1/board_pb";
import { api } from "@/lib/api";
import { detail, say, trouble } from "@/lib/errors";
import { list } from "@/lib/format";
import board from "@/texts/en/board";
import { texts } from "@/texts/catalogue";
import { confirm } from "@/ui/confirm";
import { toast, toastError } from "@/ui/toast";
import { type BoardData, boardQuery, mergeTask } from "./data";
import { STATUS_WORDS } from "./filters";

const t = texts("board", board);

/** Fields of a task that can be changed. */
export type Change = Omit<MessageInitShape<typeof UpdateTaskRequestSchema>, "boardId" | "taskId" | "updateMask" | "$typeName" | "$unknown">;

const snake = (name: string) => name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);

/** Why a change was refused, in words: what the server says, which tasks are in the way, what helps. */
export function refusal(error: unknown, data: BoardData | undefined): string {
  const more = detail(error);
  const names = (more.blocked_by_task_ids ?? []).map((id) => data?.tasks.get(id)?.title).filter((title) => title !== undefined);
  if (names.length > 0) return t.blockedBy(list(names.slice(0, 3).map((name) => `“${name}”`)), names.length - 3);
  return [say(error), more.rule ? t.ruleHelp(more.rule) : ""].filter(Boolean).join(" ");
}

/** What can be done on a board. */
export class TaskActions {
  /** My moves, for taking them back. */
  readonly #moves: { taskId: string; from: TaskStatus; assignedAgentId: string | undefined }[] = [];
  /** Moves that the server has not answered yet. */
  readonly #going = new Set<Promise<boolean>>();

  constructor(
    readonly boardId: string,
    readonly queries: QueryClient,
  ) {}

  get data(): BoardData | undefined {
    return this.queries.getQueryData(boardQuery(this.boardId).queryKey);
  }

  #write(change: (data: BoardData) => BoardData): void {
    this.queries.setQueryData(boardQuery(this.boardId).queryKey, (data) => data && change(data));
  }

  #patch(taskId: string, change: Partial<TaskCard>): void {
    this.#write((data) => {
      const task = data.tasks.get(taskId);
      if (!task) return data;
      return { ...data, tasks: new Map(data.tasks).set(taskId, Object.assign(clone(TaskCardSchema, task), change)) };
    });
  }

  /** Changes a task; `shown` is what it looks like meanwhile. Throws what the server refused, with everything as it was. */
  async update(taskId: string, change: Change, shown: Partial<TaskCard> = {}): Promise<void> {
    const before = this.data?.tasks.get(taskId);
    this.#patch(taskId, shown);
    try {
      const task = await api(TaskService).updateTask({ boardId: this.boardId, taskId, updateMask: { paths: Object.keys(change).map(snake) }, ...change });
      this.#write((data) => mergeTask(data, task));
    } catch (error) {
      const now = this.data?.tasks.get(taskId);
      if (before && now) {
        // Only what is still as it was shown goes back; changes by others that came meanwhile stay.
        const back: Record<string, unknown> = {};
        for (const key of Object.keys(shown) as (keyof TaskCard)[]) if (Object.is(now[key], shown[key])) back[key] = before[key];
        this.#patch(taskId, back);
      }
      if (trouble(error) === "missing") void this.queries.invalidateQueries({ queryKey: boardQuery(this.boardId).queryKey, exact: true });
      throw error;
    }
  }

  /** As `update`, with a message when it is refused. Answers whether it went through. */
  async tryUpdate(taskId: string, change: Change, shown: Partial<TaskCard> = {}, failed: string = t.notChanged): Promise<boolean> {
    try {
      await this.update(taskId, change, shown);
      return true;
    } catch (error) {
      if (trouble(error) !== "signed-out") toast({ tone: "bad", title: failed, body: refusal(error, this.data) });
      return false;
    }
  }

  /** Moves a task to another column. */
  async move(taskId: string, status: TaskStatus, { undo = false } = {}): Promise<boolean> {
    const task = this.data?.tasks.get(taskId);
    if (!task || task.status === status) return true;
    const before = { taskId, from: task.status, assignedAgentId: task.assignedAgentId };
    const going = this.tryUpdate(taskId, { status }, { status }, t.notMoved(task.title, t.status[STATUS_WORDS[status] as keyof typeof t.status]));
    this.#going.add(going);
    const moved = await going;
    this.#going.delete(going);
    if (moved && !undo) this.#moves.push(before);
    return moved;
  }

  /** Takes my last move back, also one that is still on its way. */
  async undo(): Promise<void> {
    await Promise.all(this.#going);
    const last = this.#moves.pop();
    if (!last) {
      toast({ title: t.nothingToUndo });
      return;
    }
    if (!(await this.move(last.taskId, last.from, { undo: true }))) return;
    const task = this.data?.tasks.get(last.taskId);
    if (task && last.assignedAgentId && task.assignedAgentId !== last.assignedAgentId) await this.assign(last.taskId, last.assignedAgentId);
    toast({ tone: "ok", title: t.undone(task?.title ?? "") });
  }

  /** Gives a task to an agent, or to nobody. */
  assign(taskId: string, agentId: string | undefined): Promise<boolean> {
    const assignee = this.data?.agents.find((agent) => agent.id === agentId)?.name;
    return this.tryUpdate(taskId, { assignedAgentId: agentId }, { assignedAgentId: agentId, assignee });
  }

  /** Asks, and deletes a task. Answers whether it is gone. */
  async remove(task: TaskCard): Promise<boolean> {
    const dependents = [...(this.data?.tasks.values() ?? [])].filter((one) => one.dependsOnTaskIds.includes(task.id)).length;
    const yes = await confirm({
      title: t.deleteTitle(task.title),
      body: dependents > 0 ? t.deleteDependents(dependents) : undefined,
      destroys: [t.deleteComments, ...(task.approvalsCount > 0 ? [t.deleteApprovals(task.approvalsCount)] : [])],
      action: t.deleteTask,
    });
    if (!yes) return false;
    try {
      await api(TaskService).deleteTask({ boardId: this.boardId, taskId: task.id });
      this.#write((data) => {
        const tasks = new Map(data.tasks);
        tasks.delete(task.id);
        return { ...data, tasks };
      });
      toast({ tone: "ok", title: t.deleted(task.title) });
      return true;
    } catch (error) {
      toastError(error, t.notDeleted);
      return false;
    }
  }
}

/** The actions of a board; the same as long as it is shown. */
export function useTaskActions(boardId: string): TaskActions {
  const queries = useQueryClient();
  return useMemo(() => new TaskActions(boardId, queries), [boardId, queries]);
}
