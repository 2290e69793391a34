// Writing with @mentions. What is typed is kept for the tab, so that nothing is lost by going elsewhere.
import { type KeyboardEvent, useCallback, useId, useRef, useState } from "react";
import { Avatar } from "./badge";
import { Button } from "./button";
import { cx } from "./cx";

/** Somebody who can be mentioned. */
export interface Mentionable {
  name: string;
  note?: string;
}

function draft(key: string): string {
  try {
    return sessionStorage.getItem(`mc.draft.${key}`) ?? "";
  } catch {
    return "";
  }
}

function keepDraft(key: string, text: string): void {
  try {
    if (text) sessionStorage.setItem(`mc.draft.${key}`, text);
    else sessionStorage.removeItem(`mc.draft.${key}`);
  } catch {
    // It lives as long as the page then.
  }
}

/** A text field that sends. `send` throws when it failed: the text stays. */
export function Composer({
  draftKey,
  label,
  placeholder,
  hint,
  submit,
  mentions = [],
  send,
  autoFocus,
  rows = 2,
}: {
  draftKey: string;
  label: string;
  placeholder: string;
  hint?: string;
  submit: string;
  mentions?: readonly Mentionable[];
  send: (text: string) => Promise<unknown>;
  autoFocus?: boolean;
  rows?: number;
}) {
  const [text, setText] = useState(() => draft(draftKey));
  const [busy, setBusy] = useState(false);
  const [asked, setAsked] = useState<{ from: number; query: string }>();
  const [at, setAt] = useState(0);
  const field = useRef<HTMLTextAreaElement>(null);
  const id = useId();
  const found = asked ? mentions.filter((one) => one.name.toLowerCase().startsWith(asked.query.toLowerCase())).slice(0, 6) : [];

  const write = useCallback(
    (next: string) => {
      setText(next);
      keepDraft(draftKey, next);
    },
    [draftKey],
  );
  const look = () => {
    const element = field.current;
    if (!element || mentions.length === 0) return;
    const before = element.value.slice(0, element.selectionStart);
    const match = /(?:^|\s)@([\p{L}\p{N}_.-]*)$/u.exec(before);
    setAsked(match ? { from: before.length - (match[1]?.length ?? 0), query: match[1] ?? "" } : undefined);
    setAt(0);
  };
  const take = (name: string) => {
    const element = field.current;
    if (!element || !asked) return;
    const next = `${text.slice(0, asked.from)}${name} ${text.slice(element.selectionStart)}`;
    const caret = asked.from + name.length + 1;
    write(next);
    setAsked(undefined);
    requestAnimationFrame(() => {
      element.focus();
      element.setSelectionRange(caret, caret);
    });
  };
  const go = () => {
    const value = text.trim();
    if (value === "" || busy) return;
    setBusy(true);
    send(value)
      .then(() => write(""))
      .catch(() => undefined)
      .finally(() => setBusy(false));
  };
  const keys = (event: KeyboardEvent) => {
    if (found.length > 0) {
      const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
      const choice = found[at];
      if (step !== undefined) setAt((at + step + found.length) % found.length);
      else if ((event.key === "Enter" || event.key === "Tab") && choice) take(choice.name);
      else if (event.key === "Escape") setAsked(undefined);
      else return;
      event.preventDefault();
      event.stopPropagation();
      return;
    }
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
      event.preventDefault();
      go();
    } else if (event.key === "Escape") {
      event.stopPropagation();
      field.current?.blur();
    }
  };
  return (
    <div className="relative rounded-lg border border-line-strong bg-surface focus-within:border-focus">
      <textarea
        ref={field}
        aria-label={label}
        placeholder={placeholder}
        value={text}
        rows={rows}
        autoFocus={autoFocus}
        onChange={(event) => {
          write(event.target.value);
          look();
        }}
        onKeyUp={(event) => (event.key.startsWith("Arrow") && found.length > 0 ? undefined : event.key.startsWith("Arrow") ? look() : undefined)}
        onClick={look}
        onBlur={() => setTimeout(() => setAsked(undefined), 150)}
        onKeyDown={keys}
        aria-autocomplete={mentions.length > 0 ? "list" : undefined}
        aria-controls={found.length > 0 ? `${id}-list` : undefined}
        aria-activedescendant={found[at] ? `${id}-${at}` : undefined}
        className="field-sizing-content max-h-60 min-h-14 w-full resize-none bg-transparent px-3 py-2 leading-[1.5] outline-none"
      />
      <div className="flex items-center gap-2 px-2 pb-2">
        <span className="flex-1 px-1 text-2xs text-subtle">{hint}</span>
        <Button size="sm" variant="primary" busy={busy} disabled={text.trim() === ""} onClick={go}>
          {submit}
        </Button>
      </div>
      {found.length > 0 && (
        <div id={`${id}-list`} role="listbox" aria-label={label} className="absolute bottom-full left-2 z-10 mb-1 w-56 rounded-lg border bg-raised p-1 shadow-pop">
          {found.map((one, index) => (
            <div
              key={one.name}
              id={`${id}-${index}`}
              role="option"
              aria-selected={index === at}
              onPointerDown={(event) => {
                event.preventDefault();
                take(one.name);
              }}
              className={cx("flex h-8 items-center gap-2 rounded-sm px-2", index === at && "bg-hover")}
            >
              <Avatar name={one.name} kind="agent" size={18} />
              <span className="flex-1 truncate">{one.name}</span>
              {one.note && <span className="text-2xs text-subtle">{one.note}</span>}
            </div>
          ))}
        </div>
      )}
    </div>
  );
}
