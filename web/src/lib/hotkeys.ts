// Keyboard shortcuts: one listener, a list that the help sheet shows. Single keys are off while somebody types or a dialog is open.
import { useEffect, useRef } from "react";
import { Store } from "./store";

/** A shortcut. `keys`: `mod+k`, `c`, `?`, or two after each other: `g b`. */
export interface Hotkey {
  readonly keys: string;
  readonly label: string;
  readonly group: string;
  readonly run: (event: KeyboardEvent) => void;
  /** Works in text fields and dialogs too (only for those with `mod`). */
  readonly everywhere?: boolean;
}

/** All that work now, in the order they came. */
export const hotkeys = new Store<readonly Hotkey[]>([]);

/** Whether this is a Mac, where the command key is what control is elsewhere. */
export const isMac = typeof navigator !== "undefined" && /mac|iphone|ipad/i.test(navigator.platform);

/** Keys as people write them. */
export function shown(keys: string): string[] {
  return keys.split(" ").map((key) =>
    key
      .split("+")
      .map((part) => ({ mod: isMac ? "⌘" : "Ctrl", shift: "⇧", enter: "↵", escape: "Esc", arrowup: "↑", arrowdown: "↓", arrowleft: "←", arrowright: "→" })[part] ?? part.toUpperCase())
      .join(isMac ? "" : "+"),
  );
}

/** Has shortcuts while the component is there; what they do may change with every render. */
export function useHotkeys(list: readonly Hotkey[]): void {
  const latest = useRef(list);
  latest.current = list;
  const signature = list.map((one) => `${one.keys}|${one.label}|${one.group}`).join("\n");
  useEffect(() => {
    const own = latest.current.map((one, index) => ({ ...one, run: (event: KeyboardEvent) => latest.current[index]?.run(event) }));
    hotkeys.set((all) => [...all, ...own]);
    return () => hotkeys.set((all) => all.filter((one) => !own.includes(one as (typeof own)[number])));
  }, [signature]);
}

function isTyping(target: EventTarget | null): boolean {
  return target instanceof HTMLElement && (target.isContentEditable || /^(INPUT|TEXTAREA|SELECT)$/.test(target.tagName));
}

function name(event: KeyboardEvent): string {
  const key = event.key.toLowerCase();
  const mod = isMac ? event.metaKey : event.ctrlKey;
  return `${mod ? "mod+" : ""}${event.shiftKey && key.length > 1 ? "shift+" : ""}${key}`;
}

let first = "";
let timer: ReturnType<typeof setTimeout> | undefined;

function press(event: KeyboardEvent): void {
  if (event.defaultPrevented || event.altKey || event.isComposing) return;
  const pressed = name(event);
  const quiet = isTyping(event.target) || document.querySelector("dialog[open]") !== null || document.querySelector("[popover=auto]:popover-open") !== null;
  const both = first ? `${first} ${pressed}` : pressed;
  first = "";
  clearTimeout(timer);
  // The last one wins: what is in front is newer than what it covers.
  const all = hotkeys.get().toReversed();
  const hit = all.find((one) => one.keys === both && (!quiet || one.everywhere)) ?? all.find((one) => one.keys === pressed && (!quiet || one.everywhere));
  if (hit) {
    event.preventDefault();
    hit.run(event);
  } else if (!quiet && all.some((one) => one.keys.startsWith(`${pressed} `))) {
    first = pressed;
    timer = setTimeout(() => (first = ""), 1200);
  }
}

/** Begins to listen. */
export function startHotkeys(): void {
  document.addEventListener("keydown", press);
}
