// A list that is walked by keyboard: which row is the current one, and where it goes when rows come and go.
import { useCallback, useEffect, useRef, useState } from "react";

/** The row that takes the place of `current`, which is no longer in the list: the one now at its place, else the last. */
export function successor(before: readonly string[], after: readonly string[], current: string): string | undefined {
  if (after.includes(current)) return current;
  const at = before.indexOf(current);
  if (at < 0) return undefined;
  for (const later of before.slice(at + 1)) if (after.includes(later)) return later;
  for (const earlier of before.slice(0, at).toReversed()) if (after.includes(earlier)) return earlier;
  return undefined;
}

/** Walks `ids`. Rows have the DOM id `${prefix}${id}`; stepping moves the focus to them. */
export function useRows(ids: readonly string[], prefix: string): { current: string | undefined; choose: (id: string | undefined) => void; step: (by: number) => void } {
  const [chosen, setChosen] = useState<string>();
  const before = useRef(ids);
  let current = chosen;
  if (chosen !== undefined && !ids.includes(chosen)) current = successor(before.current, ids, chosen);
  useEffect(() => {
    before.current = ids;
    if (current === chosen) return;
    setChosen(current);
    // The focus was in the row that went away: it goes on with the one in its place.
    if (current !== undefined && (document.activeElement === document.body || document.activeElement === null)) focus(prefix + current);
  }, [ids, current, chosen, prefix]);
  const step = useCallback(
    (by: number) => {
      const at = current === undefined ? (by > 0 ? -1 : ids.length) : ids.indexOf(current);
      const next = ids[Math.max(0, Math.min(ids.length - 1, at + by))];
      if (next === undefined) return;
      setChosen(next);
      focus(prefix + next);
    },
    [ids, current, prefix],
  );
  return { current, choose: setChosen, step };
}

function focus(id: string): void {
  requestAnimationFrame(() => {
    const row = document.getElementById(id);
    row?.focus({ preventScroll: true });
    row?.scrollIntoView({ block: "nearest" });
  });
}
