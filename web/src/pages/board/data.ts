// A board as it was read, and how changes are written into it: exact, with nothing asked again.
import { clone, create } from "@bufbuild/protobuf";
import { type QueryClient, queryOptions } from "@tanstack/react-query";
import { AgentSchema, type Agent } from "@/gen/missioncontrol/agent/v1/agent_pb";
import { type Approval, ApprovalSchema, ApprovalStatus } from "@/gen/missioncontrol/approval/v1/approval_pb";
import { type Board, BoardSchema, type Task, TaskCommentSchema, type TaskComment, TaskService, TaskStatus } from "@/gen/missioncontrol/board/v1/board_pb";
import { type BoardMemory, BoardMemorySchema, MemoryService } from "@/gen/missioncontrol/board/v1/memory_pb";
import { SnapshotService, type TaskCard, TaskCardSchema } from "@/gen/missioncontrol/board/v1/snapshot_pb";
import { api } from "@/lib/api";
import { toDate } from "@/lib/format";
import type { LiveEvent } from "@/lib/live";
import { readAll } from "@/lib/pages";
import { fromRest } from "@/lib/rest";
import { Store } from "@/lib/store";
import { setBoardWriter } from "./live";

/** A board with everything on it. */
export interface BoardData {
  readonly board: Board;
  readonly tasks: ReadonlyMap<string, TaskCard>;
  readonly agents: readonly Agent[];
  readonly approvals: readonly Approval[];
  /** Oldest first. */
  readonly chat: readonly BoardMemory[];
  /** It was deleted while it was open. */
  readonly gone?: string;
}

/** The statuses in the order of the columns. */
export const STATUSES = [TaskStatus.INBOX, TaskStatus.IN_PROGRESS, TaskStatus.REVIEW, TaskStatus.DONE] as const;

/** A board with its tasks, agents, approvals and chat. */
export const boardQuery = (boardId: string) =>
  queryOptions({
    queryKey: ["board", boardId],
    structuralSharing: false,
    queryFn: async ({ signal }): Promise<BoardData> => {
      const snapshot = await api(SnapshotService).getBoardSnapshot({ boardId }, { signal });
      return {
        board: snapshot.board as Board,
        tasks: new Map(snapshot.tasks.map((task) => [task.id, task])),
        agents: snapshot.agents,
        approvals: snapshot.approvals,
        chat: snapshot.chatMessages,
      };
    },
  });

/** Comments of a task, oldest first. */
export const commentsQuery = (boardId: string, taskId: string) =>
  queryOptions({
    queryKey: ["task", taskId, "comments"],
    queryFn: ({ signal }): Promise<readonly TaskComment[]> => readAll((limit, offset) => api(TaskService).listTaskComments({ boardId, taskId, limit, offset }, { signal })),
  });

/** What is remembered on a board, newest first. */
export const memoryQuery = (boardId: string) =>
  queryOptions({
    queryKey: ["board", boardId, "memory"],
    queryFn: ({ signal }): Promise<readonly BoardMemory[]> => readAll((limit, offset) => api(MemoryService).listBoardMemory({ boardId, isChat: false, limit, offset }, { signal })),
  });

/** Who last changed a task from elsewhere; shown on its card for a while. */
export interface Touch {
  who: string;
  what: string;
  at: number;
}

/** The latest such changes by task. */
export const touches = new Store<ReadonlyMap<string, Touch>>(new Map());

/** How long they show. */
export const TOUCH_SHOWN = 6000;

function touch(event: LiveEvent, taskId: string): void {
  touches.set((all) => new Map(all).set(taskId, { who: event.actor.name || event.actor.type, what: event.type, at: Date.now() }));
  setTimeout(
    () =>
      touches.set((all) => {
        if (Date.now() - (all.get(taskId)?.at ?? 0) < TOUCH_SHOWN - 100) return all;
        const rest = new Map(all);
        rest.delete(taskId);
        return rest;
      }),
    TOUCH_SHOWN,
  );
}

function moment(at: { seconds: bigint; nanos: number } | undefined): number {
  return at ? Number(at.seconds) * 1e6 + Math.round(at.nanos / 1000) : 0;
}

/** What of a task's card the task itself does not say. */
function cardOf(after: unknown, before: TaskCard | undefined, agents: readonly Agent[]): TaskCard {
  const card = fromRest(TaskCardSchema, after);
  card.assignee = agents.find((agent) => agent.id === card.assignedAgentId)?.name;
  card.approvalsCount = before?.approvalsCount ?? 0;
  card.approvalsPendingCount = before?.approvalsPendingCount ?? 0;
  return card;
}

function withTask(data: BoardData, task: TaskCard): BoardData {
  const tasks = new Map(data.tasks);
  // New ones come first, as in the answer of the server.
  if (!tasks.has(task.id)) return { ...data, tasks: new Map([[task.id, task], ...tasks]) };
  return { ...data, tasks: tasks.set(task.id, task) };
}

/** A task that the server answered, as a card in place of the old one. */
export function mergeTask(data: BoardData, task: Task): BoardData {
  const before = data.tasks.get(task.id);
  if (before && moment(before.updatedAt) > moment(task.updatedAt)) return data;
  const { $typeName: _, $unknown: __, ...fields } = task;
  const card = Object.assign(create(TaskCardSchema), fields);
  card.assignee = data.agents.find((agent) => agent.id === task.assignedAgentId)?.name;
  card.approvalsCount = before?.approvalsCount ?? 0;
  card.approvalsPendingCount = before?.approvalsPendingCount ?? 0;
  return withTask(data, card);
}

/** Whether what a task waits for is unfinished; from the tasks at hand, so that it is true after every change. */
export function blockers(data: Pick<BoardData, "tasks">, task: Pick<TaskCard, "dependsOnTaskIds">): string[] {
  return task.dependsOnTaskIds.filter((id) => {
    const other = data.tasks.get(id);
    return other !== undefined && other.status !== TaskStatus.DONE;
  });
}

/** Tasks that `taskId` must not depend on: itself, and all that wait for it, over any number of steps. */
export function wouldCycle(tasks: ReadonlyMap<string, Pick<TaskCard, "id" | "dependsOnTaskIds">>, taskId: string): Set<string> {
  const dependents = new Map<string, string[]>();
  for (const task of tasks.values()) {
    for (const id of task.dependsOnTaskIds) {
      const list = dependents.get(id);
      if (list) list.push(task.id);
      else dependents.set(id, [task.id]);
    }
  }
  const found = new Set([taskId]);
  const open = [taskId];
  for (let next = open.pop(); next !== undefined; next = open.pop()) {
    for (const id of dependents.get(next) ?? []) {
      if (found.has(id)) continue;
      found.add(id);
      open.push(id);
    }
  }
  return found;
}

function approvalCounts(data: BoardData, ids: readonly string[], all: number, pending: number): BoardData {
  if (ids.length === 0 || (all === 0 && pending === 0)) return data;
  const tasks = new Map(data.tasks);
  for (const id of ids) {
    const task = tasks.get(id);
    if (!task) continue;
    const card = clone(TaskCardSchema, task);
    card.approvalsCount = Math.max(0, card.approvalsCount + all);
    card.approvalsPendingCount = Math.max(0, card.approvalsPendingCount + pending);
    tasks.set(id, card);
  }
  return { ...data, tasks };
}

/** An approval that the server answered or told of. */
export function mergeApproval(data: BoardData, approval: Approval): BoardData {
  const before = data.approvals.find((one) => one.id === approval.id);
  if (before && before.status !== ApprovalStatus.PENDING) return data;
  const pending = (one: Approval | undefined) => (one?.status === ApprovalStatus.PENDING ? 1 : 0);
  const approvals = before ? data.approvals.map((one) => (one.id === approval.id ? approval : one)) : [approval, ...data.approvals];
  return approvalCounts({ ...data, approvals }, approval.taskIds, before ? 0 : 1, pending(approval) - pending(before));
}

/** A message of the chat; told twice is there once. */
export function mergeChat(data: BoardData, message: BoardMemory): BoardData {
  if (data.chat.some((one) => one.id === message.id)) return data;
  return { ...data, chat: [...data.chat, message] };
}

/** Writes a change into a board. The same board is answered when it says nothing new. */
export function applyEvent(data: BoardData, event: LiveEvent): BoardData {
  const { type, after, before } = event;
  const subject = type.slice(0, type.indexOf("."));
  switch (subject) {
    case "task": {
      if (type === "task.deleted") {
        const id = event.taskId || (before as { id?: string } | null)?.id || "";
        if (!data.tasks.has(id)) return data;
        const tasks = new Map(data.tasks);
        tasks.delete(id);
        return { ...data, tasks };
      }
      const json = after as { title?: string; id?: string } | null;
      if (!json?.id || json.title === undefined || type === "task.comment") return data;
      const known = data.tasks.get(json.id);
      const card = cardOf(after, known, data.agents);
      if (known && moment(known.updatedAt) > moment(card.updatedAt)) return data;
      return withTask(data, card);
    }
    case "approval": {
      if (type === "approval.deleted") {
        const gone = data.approvals.find((one) => one.id === (before as { id?: string } | null)?.id);
        if (!gone) return data;
        return approvalCounts({ ...data, approvals: data.approvals.filter((one) => one !== gone) }, gone.taskIds, -1, gone.status === ApprovalStatus.PENDING ? -1 : 0);
      }
      return after ? mergeApproval(data, fromRest(ApprovalSchema, after)) : data;
    }
    case "agent": {
      if (type === "agent.deleted") return { ...data, agents: data.agents.filter((agent) => agent.id !== event.agentId) };
      if (!after) return data;
      const agent = fromRest(AgentSchema, after);
      if (agent.boardId !== data.board.id) return { ...data, agents: data.agents.filter((one) => one.id !== agent.id) };
      const known = data.agents.some((one) => one.id === agent.id);
      return { ...data, agents: known ? data.agents.map((one) => (one.id === agent.id ? agent : one)) : [...data.agents, agent] };
    }
    case "memory": {
      const memory = after ? fromRest(BoardMemorySchema, after) : undefined;
      return memory?.isChat ? mergeChat(data, memory) : data;
    }
    case "board":
      if (type === "board.deleted") return { ...data, gone: event.actor.name };
      return type === "board.updated" && after ? { ...data, board: fromRest(BoardSchema, after) } : data;
    default:
      return data;
  }
}

/** A tag has another name or colour, or is gone: the cards of all boards carry it. */
export function applyTag(data: BoardData, event: LiveEvent): BoardData {
  const tag = (event.after ?? event.before) as { id?: string; name?: string; slug?: string; color?: string } | null;
  if (!tag?.id || event.type === "tag.created") return data;
  let changed = false;
  const tasks = new Map(data.tasks);
  for (const task of data.tasks.values()) {
    if (!task.tagIds.includes(tag.id)) continue;
    changed = true;
    const card = clone(TaskCardSchema, task);
    if (event.type === "tag.deleted") {
      card.tagIds = card.tagIds.filter((id) => id !== tag.id);
      card.tags = card.tags.filter((one) => one.id !== tag.id);
    } else {
      for (const one of card.tags) if (one.id === tag.id) Object.assign(one, { name: tag.name, slug: tag.slug, color: tag.color });
    }
    tasks.set(task.id, card);
  }
  return changed ? { ...data, tasks } : data;
}

/** The person of this page; changes by them are not announced to them. */
let me = "";

/** Says who looks. */
export function setViewer(id: string): void {
  me = id;
}

/** Whether a change says something that the board did not show: the stream begins with what happened just before the board was read. */
function isNews(event: LiveEvent, before: BoardData, after: BoardData): boolean {
  const [old, now] = [before.tasks.get(event.taskId), after.tasks.get(event.taskId)];
  return event.type === "task.comment" || !event.type.startsWith("task.") || !old || !now || moment(old.updatedAt) !== moment(now.updatedAt);
}

function writeEvent(event: LiveEvent, client: QueryClient): void {
  if (event.type.startsWith("tag.")) {
    for (const [key, data] of client.getQueriesData<BoardData>({ queryKey: ["board"] })) if (data && "tasks" in data) client.setQueryData(key, applyTag(data, event));
    return;
  }
  if (!event.boardId) return;
  const key = boardQuery(event.boardId).queryKey;
  const data = client.getQueryData(key);
  if (!data) {
    // Being read for the first time: what is on its way may be older than this.
    if (client.getQueryState(key)?.fetchStatus === "fetching") void client.invalidateQueries({ queryKey: key, exact: true });
    return;
  }
  const next = applyEvent(data, event);
  if (next !== data) client.setQueryData(key, next);
  if (event.type === "task.comment" && event.after) {
    const comment = fromRest(TaskCommentSchema, event.after);
    client.setQueryData(commentsQuery(event.boardId, event.taskId).queryKey, (all) => (all && !all.some((one) => one.id === comment.id) ? [...all, comment] : all));
  }
  if (event.type === "memory.created" && event.after && !(event.after as { is_chat?: boolean }).is_chat) {
    const memory = fromRest(BoardMemorySchema, event.after);
    client.setQueryData(memoryQuery(event.boardId).queryKey, (all) => (all && !all.some((one) => one.id === memory.id) ? [memory, ...all] : all));
  }
  if (event.taskId && event.actor.id !== me && event.actor.type !== "service" && Date.now() - event.at < 30_000 && isNews(event, data, next)) touch(event, event.taskId);
}

setBoardWriter(writeEvent);

/** Whether a task is late. */
export function isOverdue(task: Pick<TaskCard, "dueAt" | "status">, now = Date.now()): boolean {
  return task.dueAt !== undefined && task.status !== TaskStatus.DONE && toDate(task.dueAt).getTime() < now;
}
