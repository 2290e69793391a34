import { CalendarClock, Link2, ShieldQuestion } from "lucide-react";
import { memo, useCallback, useSyncExternalStore } from "react";
import type { TaskCard } from "@/gen/missioncontrol/board/v1/snapshot_pb";
import { date } from "@/lib/format";
import board from "@/texts/en/board";
import { texts } from "@/texts/catalogue";
import { Avatar } from "@/ui/badge";
import { cx } from "@/ui/cx";
import { isOverdue, type Touch, touches } from "./data";
import { PriorityIcon, priorityName, TagMark } from "./marks";

const t = texts("board", board);

/** Who changed a task last, while it is news. */
export function useTouch(taskId: string): Touch | undefined {
  return useSyncExternalStore(
    touches.subscribe,
    useCallback(() => touches.get().get(taskId), [taskId]),
  );
}

/** What somebody did, in words. */
export function touchWords(touch: Touch): string {
  return (t.touched[touch.what as keyof typeof t.touched] ?? t.touched.other)(touch.who);
}

/** A task on the board. */
export const Card = memo(function Card({
  task,
  blocked,
  active,
  open,
  boardId,
}: {
  task: TaskCard;
  /** How many unfinished tasks it waits for. */
  blocked: number;
  /** It takes the focus when the board is entered. */
  active: boolean;
  open: boolean;
  boardId: string;
}) {
  const touch = useTouch(task.id);
  const late = isOverdue(task);
  return (
    <a
      href={`/boards/${boardId}/tasks/${task.id}`}
      data-task={task.id}
      tabIndex={active ? 0 : -1}
      draggable={false}
      aria-current={open || undefined}
      className={cx(
        "relative block rounded-lg border bg-surface px-3 py-2.5 shadow-card select-none hover:border-line-strong aria-[current]:border-ink",
        "data-[dragged]:opacity-40 [-webkit-touch-callout:none]",
        touch && "animate-[touched_2.4s_ease-out]",
      )}
    >
      <span className="line-clamp-2 leading-[1.35] font-medium">{task.title}</span>
      <span className="mt-2 flex items-end gap-2 text-2xs text-muted">
       <span className="flex min-h-4.5 min-w-0 flex-1 flex-wrap items-center gap-x-1.5 gap-y-1">
        <span title={`${t.priority}: ${priorityName(task.priority)}`} className="inline-flex">
          <PriorityIcon priority={task.priority} />
          <span className="sr-only">{`${t.priority}: ${priorityName(task.priority)}`}</span>
        </span>
        {blocked > 0 && (
          <span title={t.blockedByCount(blocked)} className="inline-flex h-4.5 items-center gap-1 rounded-sm bg-bad-wash px-1.5 font-medium text-bad-ink">
            <Link2 size={11} aria-hidden />
            {t.blocked}
          </span>
        )}
        {task.approvalsPendingCount > 0 && (
          <span title={t.approvalsPending(task.approvalsPendingCount)} className="inline-flex h-4.5 items-center gap-1 rounded-sm bg-warn-wash px-1.5 font-medium text-warn-ink">
            <ShieldQuestion size={11} aria-hidden />
            {task.approvalsPendingCount}
            <span className="sr-only">{t.approvalsPending(task.approvalsPendingCount)}</span>
          </span>
        )}
        {task.dueAt && (
          <span className={cx("inline-flex items-center gap-1 tabular", late && "font-medium text-bad-ink")} title={late ? t.overdue : t.due}>
            <CalendarClock size={11} aria-hidden />
            {date(task.dueAt)}
            {late && <span className="sr-only">{t.overdue}</span>}
          </span>
        )}
        {task.tags.slice(0, 2).map((tag) => (
          <TagMark key={tag.id} tag={tag} />
        ))}
        {task.tags.length > 2 && <span>+{task.tags.length - 2}</span>}
       </span>
        {task.assignee && (
          <span className="inline-flex shrink-0" title={task.assignee}>
            <Avatar name={task.assignee} kind="agent" size={18} />
            <span className="sr-only">{`${t.assignee}: ${task.assignee}`}</span>
          </span>
        )}
      </span>
      {touch && <span className="mt-1.5 block truncate text-2xs font-medium text-signal-ink">{touchWords(touch)}</span>}
    </a>
  );
});
