// Writes what happens into the feeds that were read. Part of every visit: no generated code here.
import type { InfiniteData, QueryClient } from "@tanstack/react-query";
import type { LiveEvent } from "@/lib/live.types";

/** What of the feed is wanted; empty is everything. */
export interface Filters {
  readonly board: string;
  readonly agent: string;
  /** Subjects: `task`, `agent`. */
  readonly kinds: readonly string[];
  readonly heartbeats: boolean;
}

/** A page of the feed. */
export interface FeedPage {
  items: LiveEvent[];
  total: number;
}

/** Signs of life: many, and seldom what somebody looks for. */
export function isHeartbeat(type: string): boolean {
  return type === "agent.heartbeat" || type === "heartbeat";
}

/** `task` of `task.created`; group memory is memory. */
export function subject(type: string): string {
  const first = type.split(".")[0] ?? "";
  return first === "group_memory" ? "memory" : first;
}

/** Whether an event belongs into a feed with these filters, as the server would say. */
export function fits(event: Pick<LiveEvent, "type" | "boardId" | "agentId">, filters: Filters): boolean {
  if (!filters.heartbeats && isHeartbeat(event.type)) return false;
  if (filters.board && event.boardId !== filters.board) return false;
  if (filters.agent && event.agentId !== filters.agent) return false;
  return filters.kinds.length === 0 || filters.kinds.includes(subject(event.type));
}

/** An event at its place: the newest first; one that is there already stays as it is. */
export function insert(items: readonly LiveEvent[], event: LiveEvent): LiveEvent[] | undefined {
  if (items.slice(0, 200).some((one) => one.id === event.id)) return undefined;
  const at = items.findIndex((one) => one.at <= event.at);
  return at < 0 ? [...items, event] : [...items.slice(0, at), event, ...items.slice(at)];
}

/** A live rule's `apply`: adds the event to every feed it belongs to. */
export function addToFeeds(event: LiveEvent, client: QueryClient): void {
  for (const query of client.getQueryCache().findAll({ queryKey: ["activity"] })) {
    const [, kind, filters] = query.queryKey as [string, string, Filters];
    if (!fits(event, filters)) continue;
    if (kind === "recent") {
      client.setQueryData<LiveEvent[]>(query.queryKey, (items) => items && (insert(items, event)?.slice(0, 50) ?? items));
    } else if (kind === "feed") {
      client.setQueryData<InfiniteData<FeedPage>>(query.queryKey, (data) => {
        const [first, ...rest] = data?.pages ?? [];
        const items = first && insert(first.items, event);
        return data && first && items ? { ...data, pages: [{ items, total: first.total + 1 }, ...rest] } : data;
      });
    }
  }
}
