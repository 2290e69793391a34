// What changed, field by field: before and after beside each other.
import { ArrowRight } from "lucide-react";
import type { Difference } from "@/lib/diff";
import ui from "@/texts/en/ui";
import { texts } from "@/texts/catalogue";
import { JsonValue, words } from "./json";

const t = texts("ui", ui);

/** The differences as a list. A side that was not there is left out. */
export function Diff({ changes }: { changes: readonly Difference[] }) {
  return (
    <ul className="divide-y divide-line-soft overflow-hidden rounded-md border text-sm">
      {changes.map((change) => (
        <li key={change.field} className="px-3 py-2">
          <p className="mb-1 text-xs font-medium text-muted">{words(change.field)}</p>
          <div className="flex flex-col gap-1">
            {change.before !== undefined && (
              <del className="flex items-start gap-2 rounded-sm bg-bad-wash px-2 py-1 text-bad-ink no-underline">
                <span className="sr-only">{t.before}</span>
                <span aria-hidden className="font-mono select-none">
                  −
                </span>
                <JsonValue value={change.before} className="min-w-0 text-bad-ink" />
              </del>
            )}
            {change.after !== undefined && (
              <ins className="flex items-start gap-2 rounded-sm bg-ok-wash px-2 py-1 text-ok-ink no-underline">
                <span className="sr-only">{t.after}</span>
                <span aria-hidden className="font-mono select-none">
                  +
                </span>
                <JsonValue value={change.after} className="min-w-0 text-ok-ink" />
              </ins>
            )}
          </div>
        </li>
      ))}
    </ul>
  );
}

/** The first differences in one line: `status inbox → done`. */
export function DiffLine({ changes }: { changes: readonly Difference[] }) {
  const shown = changes.filter((change) => short(change.before) !== undefined && short(change.after) !== undefined).slice(0, 2);
  return (
    <>
      {shown.map((change) => (
        <span key={change.field} className="inline-flex max-w-full items-center gap-1">
          <span>{words(change.field)}</span>
          <span className="max-w-32 truncate text-subtle line-through">{short(change.before)}</span>
          <ArrowRight size={11} aria-hidden />
          <span className="max-w-48 truncate text-ink">{short(change.after)}</span>
        </span>
      ))}
    </>
  );
}

function short(value: unknown): string | undefined {
  if (typeof value === "string") return value.length <= 60 && !/^[0-9a-f-]{36}$/.test(value) ? value : undefined;
  if (typeof value === "number" || typeof value === "boolean") return String(value);
  return undefined;
}
