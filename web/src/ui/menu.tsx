import type { LucideIcon } from "lucide-react";
import { Fragment, type KeyboardEvent, type ReactNode, useCallback, useEffect, useId, useRef, useState } from "react";
import { useLocation } from "wouter";
import { Key } from "./badge";
import { cx } from "./cx";
import { useFloat } from "./float";

/** One entry of a menu. */
export interface MenuItem {
  label: string;
  icon?: LucideIcon;
  hint?: string;
  /** Goes to a place, … */
  to?: string;
  /** … or does something. */
  run?: () => void;
  danger?: boolean;
  disabled?: boolean;
  /** A choice: whether it is the current one. */
  checked?: boolean;
  /** A line above it. */
  separated?: boolean;
}

/** A button with a menu. `trigger` is what the button shows; it gets the props of the button. */
export function Menu({
  label,
  items,
  children,
  className,
  align = "start",
  header,
}: {
  label: string;
  items: readonly MenuItem[];
  children: ReactNode;
  className?: string;
  align?: "start" | "end";
  header?: ReactNode;
}) {
  const [open, setOpen] = useState(false);
  const id = useId();
  const trigger = useRef<HTMLButtonElement>(null);
  const box = useRef<HTMLDivElement>(null);
  const closedAt = useRef(0);
  const [, go] = useLocation();
  const close = useCallback(() => {
    closedAt.current = Date.now();
    setOpen(false);
  }, []);
  useFloat(trigger, box, open, close, align);
  const choices = () => [...(box.current?.querySelectorAll<HTMLElement>("[role^=menuitem]:not([aria-disabled=true])") ?? [])];
  useEffect(() => {
    if (open) choices()[0]?.focus({ preventScroll: true });
  }, [open]);

  const choose = (item: MenuItem) => {
    if (item.disabled) return;
    setOpen(false);
    trigger.current?.focus({ preventScroll: true });
    if (item.to !== undefined) go(item.to);
    item.run?.();
  };
  const keys = (event: KeyboardEvent) => {
    const all = choices();
    const at = all.indexOf(document.activeElement as HTMLElement);
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (step !== undefined) all[(at + step + all.length) % all.length]?.focus();
    else if (event.key === "Home") all[0]?.focus();
    else if (event.key === "End") all.at(-1)?.focus();
    else if (event.key === "Tab") {
      setOpen(false);
      trigger.current?.focus();
      return;
    } else if (event.key.length === 1 && !event.metaKey && !event.ctrlKey) {
      const letter = event.key.toLowerCase();
      [...all.slice(at + 1), ...all.slice(0, at + 1)].find((one) => one.textContent?.trim().toLowerCase().startsWith(letter))?.focus();
    } else return;
    event.preventDefault();
    event.stopPropagation();
  };
  return (
    <>
      <button
        ref={trigger}
        type="button"
        aria-haspopup="menu"
        aria-expanded={open}
        aria-controls={open ? id : undefined}
        className={cx("relative", className)}
        onClick={() => {
          // The click that closed it by touching the button must not open it again.
          if (Date.now() - closedAt.current > 150) setOpen(true);
        }}
        onKeyDown={(event) => {
          if (event.key !== "ArrowDown") return;
          event.preventDefault();
          setOpen(true);
        }}
      >
        {/* The name begins with what it is and goes on with what is seen. */}
        <span className="sr-only">{label} </span>
        {children}
      </button>
      {open && (
        <div
          ref={box}
          id={id}
          popover="auto"
          role="menu"
          aria-label={label}
          onKeyDown={keys}
          className="max-h-[70vh] min-w-48 max-w-80 overflow-y-auto rounded-lg border! bg-raised! p-1! text-sm shadow-pop animate-[rise_100ms_ease-out]"
        >
          {header && <div role="presentation">{header}</div>}
          {items.map((item) => (
            <Fragment key={item.label}>
              {item.separated && <div role="separator" className="my-1 h-px bg-line" />}
              <div
                role={item.checked === undefined ? "menuitem" : "menuitemradio"}
                aria-checked={item.checked}
                aria-disabled={item.disabled || undefined}
                tabIndex={-1}
                onClick={() => choose(item)}
                onPointerMove={(event) => event.currentTarget.focus({ preventScroll: true })}
                onKeyDown={(event) => {
                  if (event.key !== "Enter" && event.key !== " ") return;
                  event.preventDefault();
                  choose(item);
                }}
                className={cx(
                  "flex h-8 cursor-default items-center gap-2.5 rounded-sm px-2 outline-none select-none focus:bg-hover aria-disabled:opacity-50",
                  item.danger ? "text-bad-ink" : "text-ink",
                )}
              >
                {item.icon && <item.icon size={15} aria-hidden className={item.danger ? "" : "text-subtle"} />}
                <span className="min-w-0 flex-1 truncate">{item.label}</span>
                {item.checked && <span aria-hidden>✓</span>}
                {item.hint && <Key>{item.hint}</Key>}
              </div>
            </Fragment>
          ))}
        </div>
      )}
    </>
  );
}
