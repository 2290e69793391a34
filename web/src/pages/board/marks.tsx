// Small signs of a task: status, priority, tag.
import { TaskStatus } from "@/gen/missioncontrol/board/v1/board_pb";
import type { TagRef } from "@/gen/missioncontrol/board/v1/board_pb";
import board from "@/texts/en/board";
import { texts } from "@/texts/catalogue";
import type { Tone } from "@/ui/badge";
import { cx } from "@/ui/cx";
import { weight } from "./filters";

const t = texts("board", board);

/** The tone of a status. */
export const STATUS_TONES: Record<TaskStatus, Tone> = {
  [TaskStatus.UNSPECIFIED]: "neutral",
  [TaskStatus.INBOX]: "neutral",
  [TaskStatus.IN_PROGRESS]: "info",
  [TaskStatus.REVIEW]: "violet",
  [TaskStatus.DONE]: "ok",
};

const COLORS: Record<TaskStatus, string> = {
  [TaskStatus.UNSPECIFIED]: "text-subtle",
  [TaskStatus.INBOX]: "text-subtle",
  [TaskStatus.IN_PROGRESS]: "text-info",
  [TaskStatus.REVIEW]: "text-violet",
  [TaskStatus.DONE]: "text-ok",
};

/** A circle that fills as the work goes on. */
export function StatusIcon({ status, size = 14 }: { status: TaskStatus; size?: number }) {
  const share = { [TaskStatus.UNSPECIFIED]: 0, [TaskStatus.INBOX]: 0, [TaskStatus.IN_PROGRESS]: 0.5, [TaskStatus.REVIEW]: 0.78, [TaskStatus.DONE]: 1 }[status];
  return (
    <svg width={size} height={size} viewBox="0 0 14 14" aria-hidden className={cx("shrink-0", COLORS[status])}>
      {share === 1 ? (
        <>
          <circle cx="7" cy="7" r="6" fill="currentColor" />
          <path d="m4.3 7.2 1.9 1.9 3.5-3.9" fill="none" stroke="var(--surface)" strokeWidth="1.5" strokeLinecap="round" strokeLinejoin="round" />
        </>
      ) : (
        <>
          <circle cx="7" cy="7" r="5.6" fill="none" stroke="currentColor" strokeWidth="1.5" strokeDasharray={status === TaskStatus.INBOX ? "2.2 1.3" : undefined} />
          {share > 0 && <circle cx="7" cy="7" r="1.9" fill="none" stroke="currentColor" strokeWidth="3.8" strokeDasharray={`${share * 11.94} 11.94`} transform="rotate(-90 7 7)" />}
        </>
      )}
    </svg>
  );
}

/** What a priority is called. */
export function priorityName(priority: string): string {
  return t.priorities[priority.toLowerCase()] ?? priority;
}

/** Bars as high as the priority. */
export function PriorityIcon({ priority, size = 14 }: { priority: string; size?: number }) {
  const level = weight(priority);
  const bars = level >= 4 ? 3 : level - 1;
  if (level === 5) {
    return (
      <svg width={size} height={size} viewBox="0 0 14 14" aria-hidden className="shrink-0 text-bad">
        <rect x="1" y="1" width="12" height="12" rx="3" fill="currentColor" />
        <path d="M7 4v3.6M7 9.9v.1" stroke="var(--surface)" strokeWidth="1.7" strokeLinecap="round" />
      </svg>
    );
  }
  return (
    <svg width={size} height={size} viewBox="0 0 14 14" aria-hidden className={cx("shrink-0", level === 4 ? "text-signal" : "text-muted")}>
      {[0, 1, 2].map((bar) => (
        <rect key={bar} x={1.5 + bar * 4} y={8.5 - bar * 3} width="2.8" height={4 + bar * 3} rx="1" fill="currentColor" opacity={bar < bars ? 1 : 0.28} />
      ))}
    </svg>
  );
}

/** A tag in its colour. */
export function TagMark({ tag, children }: { tag: Pick<TagRef, "name" | "color">; children?: React.ReactNode }) {
  return (
    <span className="inline-flex h-4.5 max-w-36 items-center gap-1 rounded-sm border border-line-soft bg-sunken px-1.5 text-2xs font-medium text-muted">
      <span aria-hidden className="size-1.5 shrink-0 rounded-full" style={{ background: `#${tag.color}` }} />
      <span className="truncate">{tag.name}</span>
      {children}
    </span>
  );
}
