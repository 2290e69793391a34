import { ChevronDown, X } from "lucide-react";
import type { ReactNode } from "react";
import activity from "@/texts/en/activity";
import { texts } from "@/texts/catalogue";
import { cx } from "@/ui/cx";
import { type Choice, Picker } from "@/ui/picker";

const t = texts("activity", activity);

/** A filter as a button that says what it is set to. */
export function Filter({ label, none, choices, value, multiple, onChange }: { label: string; none: string; choices: readonly Choice[]; value: readonly string[]; multiple?: boolean; onChange: (value: string[]) => void }) {
  const set = value.filter(Boolean);
  const names = choices.filter((choice) => choice.value && set.includes(choice.value)).map((choice) => choice.label);
  return (
    <Picker
      label={label}
      choices={choices}
      value={value}
      multiple={multiple}
      onChange={onChange}
      className={cx("inline-flex h-7 max-w-52 items-center gap-1.5 rounded-md border px-2 text-xs font-medium shadow-card hover:bg-hover", set.length > 0 ? "border-transparent bg-info-wash text-info-ink" : "bg-surface text-muted")}
    >
      <span className="truncate">{names.length === 0 ? none : names.length <= 2 ? names.join(", ") : `${names[0]} +${names.length - 1}`}</span>
      <ChevronDown size={13} aria-hidden className="shrink-0" />
    </Picker>
  );
}

/** Something that is filtered by, to be removed. */
export function Chip({ children, label, onRemove }: { children: ReactNode; label: string; onRemove: () => void }) {
  return (
    <span className="inline-flex h-7 max-w-64 items-center gap-1 rounded-md bg-info-wash pl-2 text-xs font-medium text-info-ink">
      <span className="truncate">{children}</span>
      <button type="button" aria-label={t.removeChip(label)} title={t.removeChip(label)} onClick={onRemove} className="inline-flex size-6 shrink-0 items-center justify-center rounded-sm hover:bg-hover">
        <X size={12} aria-hidden />
      </button>
    </span>
  );
}

/** On or off. */
export function Toggle({ on, onChange, children }: { on: boolean; onChange: (on: boolean) => void; children: ReactNode }) {
  return (
    <button
      type="button"
      aria-pressed={on}
      onClick={() => onChange(!on)}
      className={cx("inline-flex h-7 items-center rounded-md border px-2 text-xs font-medium shadow-card hover:bg-hover", on ? "border-transparent bg-info-wash text-info-ink" : "bg-surface text-muted")}
    >
      {children}
    </button>
  );
}

/** The line of filters above a list. */
export function FilterBar({ children }: { children: ReactNode }) {
  return (
    <div role="group" aria-label={t.filters} className="relative flex shrink-0 items-center gap-1.5 border-b px-4 py-2 max-sm:overflow-x-auto max-sm:[&>*]:shrink-0 sm:flex-wrap sm:px-6">
      {children}
    </div>
  );
}
