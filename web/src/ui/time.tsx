import type { Timestamp } from "@bufbuild/protobuf/wkt";
import { useSyncExternalStore } from "react";
import { dateTime, relative, toDate } from "@/lib/format";

// One clock for all relative times on the page.
let now = Date.now();
const watchers = new Set<() => void>();
let timer: ReturnType<typeof setInterval> | undefined;

function watch(tell: () => void): () => void {
  watchers.add(tell);
  timer ??= setInterval(() => {
    now = Date.now();
    for (const watcher of watchers) watcher();
  }, 20_000);
  return () => {
    watchers.delete(tell);
    if (watchers.size === 0) {
      clearInterval(timer);
      timer = undefined;
    }
  };
}

/** How long ago; the exact time with its zone on hover. */
export function Time({ at, className }: { at: Timestamp | Date | string | undefined; className?: string }) {
  useSyncExternalStore(watch, () => now);
  if (!at) return <span className={className}>–</span>;
  const moment = toDate(at);
  return (
    <time dateTime={moment.toISOString()} title={dateTime(moment)} className={className}>
      {relative(moment, Math.max(now, Date.now() - 20_000))}
    </time>
  );
}
