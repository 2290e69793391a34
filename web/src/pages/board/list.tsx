import { useVirtualizer } from "@tanstack/react-virtual";
import { Link2, ShieldQuestion } from "lucide-react";
import { useMemo, useRef } from "react";
import { Link } from "wouter";
import type { TaskStatus } from "@/gen/missioncontrol/board/v1/board_pb";
import type { TaskCard } from "@/gen/missioncontrol/board/v1/snapshot_pb";
import { date, number } from "@/lib/format";
import board from "@/texts/en/board";
import { texts } from "@/texts/catalogue";
import { Avatar } from "@/ui/badge";
import { cx } from "@/ui/cx";
import { Notice } from "@/ui/states";
import { Time } from "@/ui/time";
import { touchWords, useTouch } from "./card";
import { type BoardData, blockers, isOverdue } from "./data";
import { STATUS_WORDS } from "./filters";
import { PriorityIcon, priorityName, StatusIcon, TagMark } from "./marks";

const t = texts("board", board);

/** The tasks below each other, by status. */
export function TaskList({ boardId, data, columns, openTask }: { boardId: string; data: BoardData; columns: readonly { status: TaskStatus; tasks: TaskCard[]; total: number }[]; openTask: string | undefined }) {
  const scroller = useRef<HTMLDivElement>(null);
  const rows = useMemo(() => columns.flatMap((column) => (column.tasks.length > 0 ? [column.status, ...column.tasks] : [])), [columns]);
  const virtual = useVirtualizer({
    count: rows.length,
    getScrollElement: () => scroller.current,
    estimateSize: (index) => (typeof rows[index] === "number" ? 36 : 40),
    overscan: 12,
  });
  if (rows.length === 0) return <Notice title={t.columnFiltered} />;
  return (
    <div ref={scroller} className="h-full overflow-y-auto px-4 py-3 sm:px-6">
      <div role="list" className="relative overflow-hidden rounded-lg border bg-surface shadow-card" style={{ height: virtual.getTotalSize() + 2 }}>
        {virtual.getVirtualItems().map((item) => {
          const row = rows[item.index];
          if (row === undefined) return null;
          const style = { transform: `translateY(${item.start}px)`, height: item.size };
          if (typeof row === "number") {
            const column = columns.find((one) => one.status === row);
            return (
              <div key={item.key} role="listitem" style={style} className="absolute inset-x-0 flex items-center gap-2 border-b bg-sunken px-4">
                <StatusIcon status={row} />
                <h2 className="text-xs font-semibold">{t.status[STATUS_WORDS[row]]}</h2>
                <span className="text-xs text-subtle tabular">{number(column?.tasks.length ?? 0)}</span>
              </div>
            );
          }
          return (
            <div key={item.key} role="listitem" style={style} className="absolute inset-x-0 border-b border-line-soft">
              <Row boardId={boardId} task={row} blocked={blockers(data, row).length} open={row.id === openTask} />
            </div>
          );
        })}
      </div>
    </div>
  );
}

function Row({ boardId, task, blocked, open }: { boardId: string; task: TaskCard; blocked: number; open: boolean }) {
  const touch = useTouch(task.id);
  return (
    <Link
      to={`/boards/${boardId}/tasks/${task.id}${location.search}`}
      aria-current={open || undefined}
      className={cx("flex h-full items-center gap-3 px-4 -outline-offset-2 hover:bg-hover aria-[current]:bg-pressed", touch && "animate-[touched_2.4s_ease-out]")}
    >
      <span title={priorityName(task.priority)} className="inline-flex">
        <PriorityIcon priority={task.priority} />
        <span className="sr-only">{priorityName(task.priority)}</span>
      </span>
      <span className="min-w-0 flex-1 truncate font-medium">{task.title}</span>
      {touch && <span className="truncate text-2xs font-medium text-signal-ink max-sm:hidden">{touchWords(touch)}</span>}
      {blocked > 0 && (
        <span className="inline-flex items-center gap-1 text-2xs font-medium text-bad-ink" title={t.blockedByCount(blocked)}>
          <Link2 size={12} aria-hidden />
          {t.blocked}
        </span>
      )}
      {task.approvalsPendingCount > 0 && (
        <span className="inline-flex items-center gap-1 text-2xs font-medium text-warn-ink" title={t.approvalsPending(task.approvalsPendingCount)}>
          <ShieldQuestion size={12} aria-hidden />
          {task.approvalsPendingCount}
        </span>
      )}
      <span className="flex gap-1 max-md:hidden">
        {task.tags.slice(0, 2).map((tag) => (
          <TagMark key={tag.id} tag={tag} />
        ))}
      </span>
      {task.dueAt && <span className={cx("w-16 text-right text-2xs tabular max-sm:hidden", isOverdue(task) ? "font-medium text-bad-ink" : "text-muted")}>{date(task.dueAt)}</span>}
      <Time at={task.updatedAt} className="w-20 text-right text-2xs whitespace-nowrap text-subtle max-md:hidden" />
      <span className="w-5">{task.assignee && <Avatar name={task.assignee} kind="agent" size={20} />}</span>
    </Link>
  );
}
