// How many tasks a board has, by where they stand.
import { queryOptions } from "@tanstack/react-query";
import { type BoardTaskCounts, TaskService } from "@/gen/missioncontrol/board/v1/board_pb";
import { api } from "@/lib/api";
import { number } from "@/lib/format";
import parts from "@/texts/en/parts";
import { texts } from "@/texts/catalogue";
import { Dot, type Tone } from "@/ui/badge";
import { cx } from "@/ui/cx";

const t = texts("parts", parts).tasks;

/** The statuses in the order of the columns, with their colours. */
export const TASK_STATUSES = ["inbox", "inProgress", "review", "done"] as const;
export type TaskCountsOf = Record<(typeof TASK_STATUSES)[number], number>;
export const TASK_TONES: Record<(typeof TASK_STATUSES)[number], Tone> = { inbox: "neutral", inProgress: "info", review: "violet", done: "ok" };

/** The counts of all boards that the person may read, by board. */
export const taskCountsQuery = queryOptions({
  queryKey: ["task-counts"],
  queryFn: async ({ signal }): Promise<ReadonlyMap<string, BoardTaskCounts>> => new Map((await api(TaskService).countTasks({}, { signal })).items.map((counts) => [counts.boardId, counts])),
});

/** A point and a number for each status. */
export function TaskCounts({ counts, className }: { counts: TaskCountsOf; className?: string }) {
  return (
    <ul className={cx("flex items-center gap-2.5", className)}>
      {TASK_STATUSES.map((status) => (
        <li key={status} className="flex items-center gap-1 text-xs text-muted tabular" title={t.status[status]}>
          <Dot tone={TASK_TONES[status]} />
          <span className="sr-only">{t.status[status]}</span>
          {number(counts[status])}
        </li>
      ))}
    </ul>
  );
}

const FILL: Record<(typeof TASK_STATUSES)[number], string> = { inbox: "bg-subtle/45", inProgress: "bg-info", review: "bg-violet", done: "bg-ok" };

/** The same as parts of one bar; the numbers are beside it. */
export function TaskBar({ counts, className }: { counts: TaskCountsOf; className?: string }) {
  const total = TASK_STATUSES.reduce((sum, status) => sum + counts[status], 0);
  return (
    <span aria-hidden className={cx("flex h-1.5 gap-px overflow-hidden rounded-full bg-sunken", className)}>
      {TASK_STATUSES.toReversed().map((status) => counts[status] > 0 && <span key={status} className={FILL[status]} style={{ width: `${(100 * counts[status]) / total}%` }} />)}
    </span>
  );
}
