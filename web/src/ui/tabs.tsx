import { type KeyboardEvent, type ReactNode, useId } from "react";
import { Count } from "./badge";
import { cx } from "./cx";

/** Tabs and the panel of the chosen one. */
export function Tabs<T extends string>({
  label,
  tabs,
  value,
  onChange,
  children,
  className,
  panelClassName,
}: {
  label: string;
  tabs: readonly { value: T; label: string; count?: number }[];
  value: T;
  onChange: (value: T) => void;
  children: ReactNode;
  className?: string;
  panelClassName?: string;
}) {
  const id = useId();
  const keys = (event: KeyboardEvent<HTMLDivElement>) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (step === undefined) return;
    const at = tabs.findIndex((tab) => tab.value === value);
    const next = tabs[(at + step + tabs.length) % tabs.length];
    if (!next) return;
    onChange(next.value);
    document.getElementById(`${id}-${next.value}`)?.focus();
  };
  return (
    <>
      <div role="tablist" aria-label={label} onKeyDown={keys} className={cx("flex shrink-0 gap-1 overflow-x-auto border-b", className)}>
        {tabs.map((tab) => (
          <button
            key={tab.value}
            id={`${id}-${tab.value}`}
            type="button"
            role="tab"
            aria-selected={tab.value === value}
            aria-controls={`${id}-panel`}
            tabIndex={tab.value === value ? 0 : -1}
            onClick={() => onChange(tab.value)}
            className={cx(
              "-mb-px flex h-9 items-center gap-1.5 border-b-2 px-2 text-sm font-medium whitespace-nowrap -outline-offset-2",
              tab.value === value ? "border-ink! text-ink" : "border-transparent! text-muted hover:text-ink",
            )}
          >
            {tab.label}
            {tab.count !== undefined && <Count value={tab.count} />}
          </button>
        ))}
      </div>
      <div id={`${id}-panel`} role="tabpanel" aria-labelledby={`${id}-${value}`} className={panelClassName}>
        {children}
      </div>
    </>
  );
}

/** A few views of the same thing, one of them on. */
export function Segments<T extends string>({ label, options, value, onChange }: { label: string; options: readonly { value: T; label: string; icon?: ReactNode }[]; value: T; onChange: (value: T) => void }) {
  return (
    <div role="group" aria-label={label} className="inline-flex h-8 shrink-0 rounded-md border bg-sunken p-0.5">
      {options.map((option) => (
        <button
          key={option.value}
          type="button"
          aria-pressed={option.value === value}
          onClick={() => onChange(option.value)}
          className={cx(
            "inline-flex items-center gap-1.5 rounded-sm px-2 text-xs font-medium transition-colors",
            option.value === value ? "bg-surface text-ink shadow-card" : "text-muted hover:text-ink",
          )}
        >
          {option.icon}
          {option.label}
        </button>
      ))}
    </div>
  );
}
