// Live data in a tab: the state of the link, and what each change means for what has been read.
import { notifyManager, type QueryClient, type QueryKey } from "@tanstack/react-query";
import { useEffect } from "react";
import type { FromWorker, LinkState, LiveEvent, ToWorker } from "./live.types";
import { expire, session } from "./session";
import { Store } from "./store";

export type { LinkState, LiveEvent } from "./live.types";

/** What a page wants done about changes. */
export interface LiveRule {
  /** Kinds of events: `task.created`, or `task.` for all that begin so; `*` for all. */
  readonly types: readonly string[];
  /** Queries that are read again (those in use at once, others when next used). */
  readonly invalidates?: readonly QueryKey[] | ((event: LiveEvent) => readonly QueryKey[]);
  /** Or: writes the change into what was read, with nothing asked. */
  readonly apply?: (event: LiveEvent, client: QueryClient) => void;
}

/** How the view relates to the server. */
export const link = new Store<LinkState>({ kind: "connecting" });

const rules = new Set<LiveRule>();
const seen = new Set<string>();
let post: ((message: ToWorker) => void) | undefined;

/** Adds rules; answers how to take them away. */
export function addLiveRules(added: readonly LiveRule[]): () => void {
  for (const rule of added) rules.add(rule);
  return () => {
    for (const rule of added) rules.delete(rule);
  };
}

/** Acts on changes while the component is there; `act` must keep its identity or be cheap to swap. */
export function useLiveEvents(types: readonly string[], act: (event: LiveEvent) => void): void {
  const key = types.join();
  useEffect(() => addLiveRules([{ types: key.split(","), apply: act }]), [key, act]);
}

/** Whether a rule is about a kind of event. */
export function concerns(rule: Pick<LiveRule, "types">, type: string): boolean {
  return rule.types.some((wanted) => wanted === "*" || wanted === type || (wanted.endsWith(".") && type.startsWith(wanted)));
}

function handle(events: readonly LiveEvent[], client: QueryClient): void {
  const stale = new Map<string, QueryKey>();
  notifyManager.batch(() => {
    for (const event of events) {
      // A tab that joins late hears of recent changes again.
      if (seen.has(event.id)) continue;
      seen.add(event.id);
      if (seen.size > 2000) for (const id of [...seen].slice(0, 1000)) seen.delete(id);
      for (const rule of rules) {
        if (!concerns(rule, event.type)) continue;
        rule.apply?.(event, client);
        const keys = typeof rule.invalidates === "function" ? rule.invalidates(event) : rule.invalidates;
        for (const key of keys ?? []) stale.set(JSON.stringify(key), key);
      }
    }
    for (const key of stale.values()) void client.invalidateQueries({ queryKey: key });
  });
}

/** Begins: one stream for all tabs of this browser. */
export function startLive(client: QueryClient): void {
  const listen = (message: FromWorker) => {
    switch (message.say) {
      case "state": {
        const broken = link.get().kind === "reconnecting" || link.get().kind === "offline";
        link.set(message.state);
        // What could not be read meanwhile is asked for again.
        if (broken && message.state.kind === "live") void client.refetchQueries({ predicate: (query) => query.state.status === "error" });
        break;
      }
      case "events":
        handle(message.events, client);
        break;
      case "reset":
        void client.invalidateQueries();
        break;
      case "expired":
        expire(message.token);
        break;
    }
  };
  const hello = () => post?.({ say: "hello", token: session.get().expired ? null : session.get().token, origin: location.origin });
  if (typeof SharedWorker === "undefined") {
    const worker = new Worker(new URL("./live.worker.ts", import.meta.url), { type: "module", name: "mission-control-live" });
    worker.onmessage = (event: MessageEvent<FromWorker>) => listen(event.data);
    post = (message) => worker.postMessage(message);
  } else {
    const worker = new SharedWorker(new URL("./live.worker.ts", import.meta.url), { type: "module", name: "mission-control-live" });
    worker.port.onmessage = (event: MessageEvent<FromWorker>) => listen(event.data);
    worker.port.start();
    post = (message) => worker.port.postMessage(message);
  }
  hello();
  session.subscribe(hello);
  window.addEventListener("pagehide", () => post?.({ say: "bye" }));
  window.addEventListener("pageshow", (event) => {
    if (event.persisted) hello();
  });
  window.addEventListener("online", () => post?.({ say: "retry" }));
  document.addEventListener("visibilitychange", () => {
    if (document.visibilityState === "visible") post?.({ say: "retry" });
  });
}

/** Another organization became active: everything is read again and the stream begins afresh. */
export function restartLive(): void {
  post?.({ say: "restart" });
}

/** A call found the server away: the stream may only seem to be there. */
export function doubtLive(): void {
  post?.({ say: "doubt" });
}

/** Tries again now. */
export function retryLive(): void {
  post?.({ say: "retry" });
}
