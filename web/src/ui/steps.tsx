// Steps one below the other, each with how it stands: for what goes on before one's eyes.
import { Check, CircleDashed, LoaderCircle, type LucideIcon, Minus, TriangleAlert, X } from "lucide-react";
import type { ReactNode } from "react";
import { cx } from "./cx";

/** How a step stands. */
export type StepState = "waiting" | "running" | "done" | "warning" | "failed" | "skipped";

/** One step. */
export interface Step {
  key: string;
  title: ReactNode;
  state: StepState;
  /** What was seen. */
  detail?: ReactNode;
  /** At the end of the line: how long it took, since when. */
  note?: ReactNode;
  /** What can be done about it. */
  children?: ReactNode;
}

const LOOKS: Record<StepState, { icon: LucideIcon; className: string }> = {
  waiting: { icon: CircleDashed, className: "text-subtle" },
  running: { icon: LoaderCircle, className: "text-info bg-info-wash" },
  done: { icon: Check, className: "text-ok-ink bg-ok-wash" },
  warning: { icon: TriangleAlert, className: "text-warn-ink bg-warn-wash" },
  failed: { icon: X, className: "text-bad-ink bg-bad-wash" },
  skipped: { icon: Minus, className: "text-subtle" },
};

/** The list. `words` says each state to those who do not see the mark. */
export function Steps({ label, steps, words, className }: { label: string; steps: readonly Step[]; words: Readonly<Record<StepState, string>>; className?: string }) {
  return (
    <ol aria-label={label} className={className}>
      {steps.map(({ key, title, state, detail, note, children }, index) => {
        const { icon: Icon, className: looks } = LOOKS[state];
        const quiet = state === "waiting" || state === "skipped";
        return (
          <li key={key} className="relative flex gap-3 pb-2.5 last:pb-0">
            {index < steps.length - 1 && <span aria-hidden className="absolute top-6 bottom-0.5 left-[9.5px] w-px bg-line" />}
            <span className={cx("mt-px inline-flex size-5 shrink-0 items-center justify-center rounded-full", looks)}>
              <Icon size={quiet ? 14 : 12} strokeWidth={quiet ? 2 : 2.5} aria-hidden className={state === "running" ? "animate-spin" : ""} />
            </span>
            <div className="min-w-0 flex-1">
              <div className="flex items-baseline gap-3">
                <span className={cx("min-w-0 flex-1 text-sm", quiet ? "text-subtle" : "font-medium")}>
                  {title}
                  <span className="sr-only">: {words[state]}</span>
                </span>
                {note && <span className="shrink-0 text-xs text-subtle tabular">{note}</span>}
              </div>
              {detail && <div className={cx("text-xs break-words", state === "failed" ? "text-bad-ink" : "text-muted")}>{detail}</div>}
              {children && <div className="mt-2">{children}</div>}
            </div>
          </li>
        );
      })}
    </ol>
  );
}

/** A bar that fills. */
export function Progress({ value, label, tone = "info" }: { value: number; label: string; tone?: "info" | "ok" | "bad" }) {
  const share = Math.max(0, Math.min(1, value));
  return (
    <div role="progressbar" aria-label={label} aria-valuemin={0} aria-valuemax={100} aria-valuenow={Math.round(share * 100)} className="h-1.5 overflow-hidden rounded-full bg-pressed">
      <div className={cx("h-full rounded-full transition-[width] duration-300", { info: "bg-info", ok: "bg-ok", bad: "bg-bad" }[tone])} style={{ width: `${share * 100}%` }} />
    </div>
  );
}
