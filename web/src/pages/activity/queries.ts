import { infiniteQueryOptions, queryOptions } from "@tanstack/react-query";
import { type ActivityEvent, ActivityService } from "@/gen/missioncontrol/activity/v1/activity_pb";
import { type AuditEntry, AuditFormat, AuditService } from "@/gen/missioncontrol/activity/v1/audit_pb";
import { api } from "@/lib/api";
import { toDate, toTimestamp } from "@/lib/format";
import type { LiveEvent } from "@/lib/live.types";
import { json } from "@/lib/rest";
import activity from "@/texts/en/activity";
import { texts } from "@/texts/catalogue";
import { words } from "@/ui/json";
import type { FeedPage, Filters } from "./feeds";

const t = texts("activity", activity);

export { isHeartbeat } from "./feeds";

/** The sentence of an event. Words of the contract in it (`in_progress`) are shown as words. */
export function sentence(event: Pick<LiveEvent, "type" | "message">): string {
  if (event.message === "") return words(event.type);
  const spaced = (text: string) => text.replaceAll("_", " ");
  if (event.type === "task.status_changed") return event.message.replace(/^(Task moved to )(\w+)/, (_, begin: string, status: string) => begin + spaced(status));
  if (event.type.startsWith("approval.")) return event.message.replace(/^(Approval )(\w+)/, (_, begin: string, action: string) => begin + spaced(action));
  return event.message;
}

/** Who did it, in words. */
export function actorName(actor: LiveEvent["actor"]): string {
  if (actor.type === "service" || actor.type === "") return t.system;
  return actor.name || t.somebody;
}

const PAGE = 80;
const BEATS = ["agent.heartbeat"];

/** An event of the log in the form in which the stream tells it. */
function happened(event: ActivityEvent): LiveEvent {
  return {
    id: event.id,
    type: event.eventType,
    message: event.message ?? "",
    boardId: event.boardId ?? "",
    taskId: event.taskId ?? "",
    agentId: event.agentId ?? "",
    actor: { type: event.actorType ?? "", id: event.actorId ?? "", name: event.actorName ?? "" },
    requestId: event.requestId ?? "",
    at: event.createdAt ? toDate(event.createdAt).getTime() : 0,
    before: json(event.before) ?? null,
    after: json(event.after) ?? null,
  };
}

/** The server's words for subjects: group chat is memory too. */
function wanted(kinds: readonly string[]): string[] {
  return kinds.flatMap((kind) => (kind === "memory" ? ["memory.*", "group_memory.*"] : [`${kind}.*`]));
}

/** The last few events, without heartbeats. */
export const feedQuery = ({ boardId, limit }: { boardId: string; limit: number }) =>
  queryOptions({
    queryKey: ["activity", "recent", { board: boardId, agent: "", kinds: [], heartbeats: false } satisfies Filters],
    queryFn: async ({ signal }) => (await api(ActivityService).listActivity({ limit, boardId: boardId || undefined, excludeTypes: BEATS }, { signal })).items.map(happened),
  });

/** The feed, page by page; what happens meanwhile is written in front. */
export const feedPages = (filters: Filters) =>
  infiniteQueryOptions({
    queryKey: ["activity", "feed", filters],
    queryFn: async ({ pageParam, signal }): Promise<FeedPage> => {
      const page = await api(ActivityService).listActivity(
        {
          limit: PAGE,
          offset: pageParam,
          boardId: filters.board || undefined,
          agentId: filters.agent || undefined,
          eventTypes: wanted(filters.kinds),
          excludeTypes: filters.heartbeats ? [] : BEATS,
        },
        { signal },
      );
      return { items: page.items.map(happened), total: page.total };
    },
    initialPageParam: 0,
    // What came in live moved the rest on by as much.
    getNextPageParam: (last, pages) => {
      const read = pages.reduce((sum, page) => sum + page.items.length, 0);
      return last.items.length > 0 && read < Math.max(...pages.map((page) => page.total)) ? read : undefined;
    },
  });

/** What of the audit trail is wanted; empty is everything. Days are those of the shown time zone. */
export interface AuditFilters {
  readonly text: string;
  readonly actor: string;
  readonly actorType: string;
  readonly kinds: readonly string[];
  readonly heartbeats: boolean;
  readonly board: string;
  readonly target: string;
  readonly request: string;
  readonly from: string;
  readonly to: string;
}

/** The beginning of a day, or of the day after it, in a time zone (the browser's own when undefined). Undefined for what is no day. */
export function dayBegins(day: string, zone: string | undefined, after = 0): Date | undefined {
  const midnight = Date.parse(`${day}T00:00:00Z`);
  if (!/^\d{4}-\d{2}-\d{2}$/.test(day) || Number.isNaN(midnight)) return undefined;
  const wanted = midnight + after * 86_400_000;
  const format = new Intl.DateTimeFormat("en-US", { timeZone: zone, hourCycle: "h23", year: "numeric", month: "numeric", day: "numeric", hour: "numeric", minute: "numeric", second: "numeric" });
  const shown = (at: number) => {
    const part = new Map(format.formatToParts(at).map(({ type, value }) => [type, Number(value)]));
    return Date.UTC(part.get("year") ?? 0, (part.get("month") ?? 1) - 1, part.get("day") ?? 1, part.get("hour") ?? 0, part.get("minute") ?? 0, part.get("second") ?? 0);
  };
  // Twice: near a change of the clock the first guess has the other offset.
  let at = wanted;
  for (let round = 0; round < 2; round += 1) at += wanted - shown(at);
  return new Date(at);
}

function auditRequest(filters: AuditFilters, zone: string | undefined) {
  const since = dayBegins(filters.from, zone);
  const until = dayBegins(filters.to, zone, 1);
  return {
    text: filters.text || undefined,
    actor: filters.actor || undefined,
    actorType: filters.actorType || undefined,
    kinds: wanted(filters.kinds),
    excludeKinds: filters.heartbeats ? [] : BEATS,
    boardId: filters.board || undefined,
    targetId: filters.target || undefined,
    requestId: filters.request || undefined,
    since: since && toTimestamp(since),
    until: until && toTimestamp(until),
  };
}

/** An entry: an event with its place in the chain. */
export interface Entry extends LiveEvent {
  readonly position: bigint;
  readonly hash: string;
  readonly targetId: string;
}

function entry(from: AuditEntry): Entry {
  return {
    id: from.id,
    type: from.kind,
    message: from.message,
    boardId: from.boardId ?? "",
    taskId: from.taskId ?? "",
    agentId: from.agentId ?? "",
    actor: { type: from.actorType, id: from.actorId, name: from.actorName },
    requestId: from.requestId,
    at: from.createdAt ? toDate(from.createdAt).getTime() : 0,
    before: json(from.before) ?? null,
    after: json(from.after) ?? null,
    position: from.position,
    hash: from.hash ?? "",
    targetId: from.targetId ?? "",
  };
}

/** The audit trail, page by page. */
export const auditPages = (filters: AuditFilters, zone: string | undefined) =>
  infiniteQueryOptions({
    queryKey: ["audit", filters, zone ?? ""],
    queryFn: async ({ pageParam, signal }) => {
      const page = await api(AuditService).listAuditEntries({ ...auditRequest(filters, zone), limit: 60, beforePosition: pageParam }, { signal });
      return { items: page.items.map(entry), next: page.nextBefore, entries: page.entries };
    },
    initialPageParam: undefined as bigint | undefined,
    getNextPageParam: (last) => last.next,
  });

/** Writes the entries that fit into a file, and lets the browser save it. Answers its name. */
export async function exportAudit(filters: AuditFilters, zone: string | undefined, format: AuditFormat): Promise<string> {
  const parts: Uint8Array<ArrayBuffer>[] = [];
  let name = format === AuditFormat.CSV ? "audit.csv" : "audit.jsonl";
  let type = "application/octet-stream";
  for await (const chunk of api(AuditService).exportAudit({ ...auditRequest(filters, zone), format }, { timeoutMs: 600_000 })) {
    name = chunk.filename || name;
    type = chunk.contentType || type;
    parts.push(chunk.data as Uint8Array<ArrayBuffer>);
  }
  const address = URL.createObjectURL(new Blob(parts, { type }));
  const anchor = document.createElement("a");
  anchor.href = address;
  anchor.download = name;
  anchor.click();
  setTimeout(() => URL.revokeObjectURL(address), 10_000);
  return name;
}
