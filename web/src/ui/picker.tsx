// A button that opens a list to search and choose from: one or many.
import { Check } from "lucide-react";
import { type KeyboardEvent, type ReactNode, useCallback, useId, useMemo, useRef, useState } from "react";
import ui from "@/texts/en/ui";
import { texts } from "@/texts/catalogue";
import { cx } from "./cx";
import { useFloat } from "./float";

const t = texts("ui", ui);

/** A choice. */
export interface Choice {
  value: string;
  label: string;
  /** Words beside the label that are searched too. */
  note?: string;
  mark?: ReactNode;
  disabled?: boolean;
}

/** Chooses among many. With `multiple` it stays open, and `onChange` gets the whole selection. */
export function Picker({
  label,
  choices,
  value,
  onChange,
  multiple = false,
  children,
  className,
  align = "start",
  empty = t.nothingFound,
  onQuery,
  disabled,
  prefix = true,
}: {
  /** The name of the button and the list. */
  label: string;
  choices: readonly Choice[];
  value: readonly string[];
  onChange: (value: string[]) => void;
  multiple?: boolean;
  children: ReactNode;
  className?: string;
  align?: "start" | "end";
  empty?: ReactNode;
  /** For choices that the server searches. */
  onQuery?: (query: string) => void;
  disabled?: boolean;
  /** The name of the button begins with the label; not where its text says that already. */
  prefix?: boolean;
}) {
  const [open, setOpen] = useState(false);
  const [query, setQuery] = useState("");
  const [at, setAt] = useState(0);
  const id = useId();
  const trigger = useRef<HTMLButtonElement>(null);
  const box = useRef<HTMLDivElement>(null);
  const closedAt = useRef(0);
  const close = useCallback(() => {
    setOpen(false);
    setQuery("");
  }, []);
  // A click on the button closes the list before the button hears of it: that click does not open it again.
  const dismissed = useCallback(() => {
    closedAt.current = Date.now();
    close();
  }, [close]);
  useFloat(trigger, box, open, dismissed, align);

  const found = useMemo(() => {
    const words = query.trim().toLowerCase().split(/\s+/);
    return choices.filter((choice) => words.every((word) => `${choice.label} ${choice.note ?? ""}`.toLowerCase().includes(word))).slice(0, 200);
  }, [choices, query]);

  const choose = (choice: Choice) => {
    if (choice.disabled) return;
    if (multiple) {
      onChange(value.includes(choice.value) ? value.filter((one) => one !== choice.value) : [...value, choice.value]);
      return;
    }
    close();
    trigger.current?.focus({ preventScroll: true });
    onChange([choice.value]);
  };
  const keys = (event: KeyboardEvent) => {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (step !== undefined && found.length > 0) {
      const next = (at + step + found.length) % found.length;
      setAt(next);
      document.getElementById(`${id}-${next}`)?.scrollIntoView({ block: "nearest" });
    } else if (event.key === "Enter") {
      const choice = found[at];
      if (choice) choose(choice);
    } else return;
    event.preventDefault();
    event.stopPropagation();
  };
  return (
    <>
      <button
        ref={trigger}
        type="button"
        aria-haspopup="listbox"
        aria-expanded={open}
        disabled={disabled}
        className={cx("relative", className)}
        onClick={() => {
          if (Date.now() - closedAt.current > 150) setOpen(true);
        }}
      >
        {prefix && <span className="sr-only">{label} </span>}
        {children}
      </button>
      {open && (
        <div ref={box} popover="auto" className="w-64 max-w-[calc(100vw-16px)] overflow-hidden rounded-lg border! bg-raised! text-sm shadow-pop animate-[rise_100ms_ease-out]">
          <input
            autoFocus
            role="combobox"
            aria-label={label}
            aria-expanded
            aria-controls={`${id}-list`}
            aria-activedescendant={found[at] ? `${id}-${at}` : undefined}
            aria-autocomplete="list"
            placeholder={t.search}
            value={query}
            onChange={(event) => {
              setQuery(event.target.value);
              setAt(0);
              onQuery?.(event.target.value);
            }}
            onKeyDown={keys}
            className="h-9 w-full border-b bg-transparent px-3 outline-none"
          />
          <div id={`${id}-list`} role="listbox" aria-label={label} aria-multiselectable={multiple || undefined} className="max-h-72 overflow-y-auto p-1">
            {found.length === 0 && <p className="px-2 py-3 text-center text-xs text-muted">{empty}</p>}
            {found.map((choice, index) => (
              <div
                key={choice.value}
                id={`${id}-${index}`}
                role="option"
                aria-selected={value.includes(choice.value)}
                aria-disabled={choice.disabled || undefined}
                onPointerDown={(event) => event.preventDefault()}
                onPointerMove={() => setAt(index)}
                onClick={() => choose(choice)}
                className={cx("flex min-h-8 cursor-default items-center gap-2 rounded-sm px-2 py-1 aria-disabled:opacity-50", index === at && "bg-hover")}
              >
                {choice.mark}
                <span className="min-w-0 flex-1 truncate">{choice.label}</span>
                {choice.note && <span className="max-w-[45%] truncate text-xs text-subtle">{choice.note}</span>}
                <Check size={14} aria-hidden className={value.includes(choice.value) ? "" : "invisible"} />
              </div>
            ))}
          </div>
        </div>
      )}
    </>
  );
}
