// A unified diff as people read it.
import { Fragment } from "react";
import { cx } from "./cx";

/** One line of a diff. */
export interface DiffLine {
  kind: "same" | "added" | "removed" | "gap";
  text: string;
  /** Line numbers before and after. */
  before?: number;
  after?: number;
}

/** The lines of a unified diff; headers of files are left out. */
export function parseDiff(diff: string): DiffLine[] {
  const lines: DiffLine[] = [];
  let [before, after] = [1, 1];
  let inHunk = false;
  for (const line of diff.replace(/\n$/, "").split("\n")) {
    const hunk = /^@@ -(\d+)(?:,\d+)? \+(\d+)(?:,\d+)? @@(.*)$/.exec(line);
    if (hunk) {
      [before, after] = [Number(hunk[1]), Number(hunk[2])];
      inHunk = true;
      lines.push({ kind: "gap", text: hunk[3]?.trim() ?? "" });
    } else if (!inHunk || line.startsWith("\\")) {
      continue;
    } else if (line.startsWith("+")) {
      lines.push({ kind: "added", text: line.slice(1), after: after++ });
    } else if (line.startsWith("-")) {
      lines.push({ kind: "removed", text: line.slice(1), before: before++ });
    } else {
      lines.push({ kind: "same", text: line.slice(1), before: before++, after: after++ });
    }
  }
  // The first gap only matters when the text does not begin at the beginning.
  if (lines[0]?.kind === "gap" && (lines[1]?.before ?? lines[1]?.after ?? 1) === 1) lines.shift();
  return lines;
}

/** How many lines come and go. */
export function countDiff(diff: string): { added: number; removed: number } {
  const lines = parseDiff(diff);
  return { added: lines.filter((line) => line.kind === "added").length, removed: lines.filter((line) => line.kind === "removed").length };
}

const LOOKS = { same: "", added: "bg-ok-wash text-ok-ink", removed: "bg-bad-wash text-bad-ink", gap: "bg-sunken text-subtle" };
const SIGNS = { same: " ", added: "+", removed: "−", gap: "⋯" };

/** The diff. */
export function Diff({ diff, label, className }: { diff: string; label: string; className?: string }) {
  return (
    <div role="region" aria-label={label} tabIndex={0} className={cx("overflow-auto bg-surface font-mono text-xs leading-[1.6]", className)}>
      <div className="grid w-max min-w-full grid-cols-[auto_auto_auto_1fr]">
        {parseDiff(diff).map((line, index) => (
          <Fragment key={index}>
            <span aria-hidden className={cx("min-w-9 px-1.5 text-right text-subtle select-none tabular max-sm:hidden", LOOKS[line.kind])}>
              {line.before ?? ""}
            </span>
            <span aria-hidden className={cx("min-w-9 px-1.5 text-right text-subtle select-none tabular max-sm:col-start-2", LOOKS[line.kind])}>
              {line.after ?? ""}
            </span>
            <span className={cx("w-5 text-center select-none", LOOKS[line.kind])}>{SIGNS[line.kind]}</span>
            <span className={cx("pr-4 whitespace-pre", LOOKS[line.kind])}>{line.text || " "}</span>
          </Fragment>
        ))}
      </div>
    </div>
  );
}
