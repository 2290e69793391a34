// Which tasks show, and in which order: read from the address, so that a view can be shared.
import { type TaskCard, } from "@/gen/missioncontrol/board/v1/snapshot_pb";
import { TaskStatus } from "@/gen/missioncontrol/board/v1/board_pb";
import { json } from "@/lib/rest";
import { type BoardData, blockers, STATUSES } from "./data";

/** Orders of tasks. */
export const SORTS = ["priority", "updated", "created", "due", "title"] as const;
export type Sort = (typeof SORTS)[number];

/** A choice of tasks. */
export interface Filter {
  text: string;
  statuses: readonly string[];
  /** Agent ids, or `none`. */
  assignees: readonly string[];
  tags: readonly string[];
  priorities: readonly string[];
  blocked: boolean;
  /** `key=value` of custom fields. */
  fields: readonly string[];
  sort: Sort;
}

/** Names of statuses in the contract. */
export const STATUS_WORDS = { [TaskStatus.UNSPECIFIED]: "", [TaskStatus.INBOX]: "inbox", [TaskStatus.IN_PROGRESS]: "in_progress", [TaskStatus.REVIEW]: "review", [TaskStatus.DONE]: "done" } as const;

const list = (value: string | null) => (value ? value.split(",").filter(Boolean) : []);

/** The choice that an address says. */
export function filterOf(params: URLSearchParams): Filter {
  const sort = params.get("sort");
  return {
    text: params.get("q") ?? "",
    statuses: list(params.get("status")),
    assignees: list(params.get("assignee")),
    tags: list(params.get("tag")),
    priorities: list(params.get("priority")),
    blocked: params.get("blocked") === "1",
    fields: params.getAll("field"),
    sort: SORTS.find((one) => one === sort) ?? "priority",
  };
}

/** How many parts of the choice are set. */
export function filterCount(filter: Filter): number {
  return [filter.statuses, filter.assignees, filter.tags, filter.priorities, filter.fields].filter((part) => part.length > 0).length + Number(filter.blocked) + Number(filter.text !== "");
}

const WEIGHTS: Record<string, number> = { critical: 5, urgent: 5, highest: 5, high: 4, medium: 3, normal: 3, low: 2, lowest: 1 };

/** Higher is more important; words of one's own are as medium. */
export function weight(priority: string): number {
  return WEIGHTS[priority.toLowerCase()] ?? 3;
}

const at = (moment: { seconds: bigint; nanos: number } | undefined) => (moment ? Number(moment.seconds) + moment.nanos / 1e9 : 0);

const ORDERS: Record<Sort, (a: TaskCard, b: TaskCard) => number> = {
  priority: (a, b) => weight(b.priority) - weight(a.priority) || at(b.createdAt) - at(a.createdAt),
  updated: (a, b) => at(b.updatedAt) - at(a.updatedAt),
  created: (a, b) => at(b.createdAt) - at(a.createdAt),
  due: (a, b) => (at(a.dueAt) || Number.POSITIVE_INFINITY) - (at(b.dueAt) || Number.POSITIVE_INFINITY) || at(b.createdAt) - at(a.createdAt),
  title: (a, b) => a.title.localeCompare(b.title),
};

function matches(task: TaskCard, filter: Filter, words: readonly string[], data: BoardData): boolean {
  if (filter.statuses.length > 0 && !filter.statuses.includes(STATUS_WORDS[task.status])) return false;
  if (filter.assignees.length > 0 && !filter.assignees.includes(task.assignedAgentId ?? "none")) return false;
  if (filter.priorities.length > 0 && !filter.priorities.includes(task.priority)) return false;
  if (filter.tags.length > 0 && !filter.tags.some((tag) => task.tagIds.includes(tag))) return false;
  if (filter.blocked && blockers(data, task).length === 0) return false;
  if (filter.fields.length > 0) {
    const values = json<Record<string, unknown>>(task.customFieldValues) ?? {};
    for (const condition of filter.fields) {
      const cut = condition.indexOf("=");
      const value = values[condition.slice(0, cut)];
      const text = value === null || value === undefined ? "" : typeof value === "object" ? JSON.stringify(value) : String(value);
      if (!text.toLowerCase().includes(condition.slice(cut + 1).toLowerCase())) return false;
    }
  }
  if (words.length === 0) return true;
  const text = `${task.title} ${task.description ?? ""} ${task.assignee ?? ""} ${task.tags.map((tag) => tag.name).join(" ")}`.toLowerCase();
  return words.every((word) => text.includes(word));
}

/** The tasks that show, by column, in order; `total` of each column counts those left out too. */
export function columnsOf(data: BoardData, filter: Filter): { status: TaskStatus; tasks: TaskCard[]; total: number }[] {
  const words = filter.text.toLowerCase().split(/\s+/).filter(Boolean);
  const columns = new Map(STATUSES.map((status) => [status as TaskStatus, { status: status as TaskStatus, tasks: [] as TaskCard[], total: 0 }]));
  for (const task of data.tasks.values()) {
    const column = columns.get(task.status);
    if (!column) continue;
    column.total += 1;
    if (matches(task, filter, words, data)) column.tasks.push(task);
  }
  for (const column of columns.values()) {
    // What was finished last is what one looks for among the finished.
    column.tasks.sort(column.status === TaskStatus.DONE && filter.sort === "priority" ? ORDERS.updated : ORDERS[filter.sort]);
  }
  return [...columns.values()];
}
