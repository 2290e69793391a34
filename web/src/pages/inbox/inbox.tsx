import { useQuery, useQueryClient } from "@tanstack/react-query";
import { Bot, CircleCheck, CircleSlash, type LucideIcon, Router, Send, ShieldCheck } from "lucide-react";
import { useCallback, useMemo, useState } from "react";
import { Link, useLocation } from "wouter";
import { type Inbox as Contents, type InboxItem, InboxKind } from "@/gen/missioncontrol/activity/v1/inbox_pb";
import { toDate } from "@/lib/format";
import { useHotkeys } from "@/lib/hotkeys";
import { later } from "@/lib/later";
import { useIsAdmin, useMayWrite, useWritable } from "@/lib/me";
import { useRows } from "@/lib/rows";
import { stepsLeft } from "@/lib/setup";
import { useStore } from "@/lib/store";
import { approve, reject } from "@/pages/approvals/queries";
import inbox from "@/texts/en/inbox";
import { texts } from "@/texts/catalogue";
import { Count, type Tone } from "@/ui/badge";
import { Button, LinkButton } from "@/ui/button";
import { cx } from "@/ui/cx";
import { words } from "@/ui/json";
import { Page } from "@/ui/page";
import { Notice, QueryView, Skeleton } from "@/ui/states";
import { Time } from "@/ui/time";
import { inboxQuery, KINDS } from "./queries";

const t = texts("inbox", inbox);
const Check = later(() => import("./check"));

const LOOKS: Record<(typeof KINDS)[number], { title: string; icon: LucideIcon; tone: Tone }> = {
  [InboxKind.APPROVAL]: { title: t.kinds.approval, icon: ShieldCheck, tone: "signal" },
  [InboxKind.GATEWAY]: { title: t.kinds.gateway, icon: Router, tone: "bad" },
  [InboxKind.AGENT]: { title: t.kinds.agent, icon: Bot, tone: "warn" },
  [InboxKind.DELIVERY]: { title: t.kinds.delivery, icon: Send, tone: "warn" },
  [InboxKind.BLOCKED_TASK]: { title: t.kinds.blocked, icon: CircleSlash, tone: "neutral" },
};
const TONES: Partial<Record<Tone, string>> = { signal: "bg-signal-wash text-signal-ink", bad: "bg-bad-wash text-bad-ink", warn: "bg-warn-wash text-warn-ink", neutral: "bg-sunken text-muted" };

/** Where the thing itself is. */
export function place(item: Pick<InboxItem, "kind" | "approvalId" | "gatewayId" | "agentId" | "webhookId" | "boardId" | "taskId">): string {
  switch (item.kind) {
    case InboxKind.APPROVAL:
      return `/approvals?id=${item.approvalId}`;
    case InboxKind.GATEWAY:
      return `/gateways/${item.gatewayId}`;
    case InboxKind.AGENT:
      return `/agents/${item.agentId}`;
    case InboxKind.DELIVERY:
      return `/organization/webhooks/${item.webhookId}`;
    default:
      return item.taskId ? `/boards/${item.boardId}/tasks/${item.taskId}` : `/boards/${item.boardId}`;
  }
}

/** What needs me now. */
export default function Inbox() {
  const query = useQuery(inboxQuery);
  const total = query.data?.total;
  const steps = useStore(stepsLeft);
  return (
    <Page title={t.inbox} lead={total === undefined ? undefined : total === 0 ? t.calm : t.lead(total)}>
      <div className="mx-auto max-w-4xl">
        <QueryView
          query={query}
          skeleton={<Skeleton lines={6} />}
          isEmpty={(data) => data.items.length === 0}
          empty={
            <Notice
              icon={CircleCheck}
              title={t.emptyTitle}
              className="py-24"
              action={
                <>
                  {steps > 0 && (
                    <LinkButton variant="primary" to="/start">
                      {t.toStart}
                    </LinkButton>
                  )}
                  <LinkButton to="/boards">{t.toBoards}</LinkButton>
                  <LinkButton to="/dashboard">{t.toDashboard}</LinkButton>
                </>
              }
            >
              {t.emptyBody}
            </Notice>
          }
        >
          {(data) => <Groups contents={data} />}
        </QueryView>
      </div>
    </Page>
  );
}

function Groups({ contents }: { contents: Contents }) {
  const client = useQueryClient();
  const [, go] = useLocation();
  const [checking, setChecking] = useState<InboxItem>();
  const groups = useMemo(() => KINDS.map((kind) => ({ kind, items: contents.items.filter((item) => item.kind === kind), count: contents.counts.find((count) => count.kind === kind)?.count ?? 0 })).filter((group) => group.items.length > 0), [contents]);
  const ids = useMemo(() => groups.flatMap((group) => group.items.map((item) => item.id)), [groups]);
  const { current, choose, step } = useRows(ids, "inbox-");
  const writable = useWritable();
  const at = contents.items.find((item) => item.id === current);

  // What was settled here goes at once; the server's own list follows.
  const settle = useCallback(
    async (item: InboxItem, yes: boolean) => {
      const approval = { id: item.approvalId ?? "", actionType: item.title };
      if (!(await (yes ? approve : reject)(approval))) return;
      client.setQueryData(inboxQuery.queryKey, (now) => now && without(now, item));
    },
    [client],
  );
  const decide = (yes: boolean) => {
    if (at?.kind === InboxKind.APPROVAL && writable(at.boardId ?? "")) void settle(at, yes);
  };
  useHotkeys([
    { keys: "j", label: t.keys.next, group: t.inbox, run: () => step(1) },
    { keys: "k", label: t.keys.previous, group: t.inbox, run: () => step(-1) },
    { keys: "a", label: t.keys.approve, group: t.inbox, run: () => decide(true) },
    { keys: "r", label: t.keys.reject, group: t.inbox, run: () => decide(false) },
  ]);
  return (
    <div className="space-y-7">
      {groups.map(({ kind, items, count }) => {
        const looks = LOOKS[kind];
        return (
          <section key={kind} aria-labelledby={`kind-${kind}`}>
            <h2 id={`kind-${kind}`} className="mb-2 flex items-center gap-2 text-sm font-semibold">
              {looks.title}
              <Count value={count} tone={looks.tone} />
            </h2>
            <ul className="overflow-hidden rounded-lg border bg-surface shadow-card">
              {items.map((item) => (
                <Row key={item.id} item={item} tone={looks.tone} icon={looks.icon} here={item.id === current} onFocus={() => choose(item.id)} onOpen={() => go(place(item))} onSettle={settle} onCheck={setChecking} />
              ))}
            </ul>
            {count > items.length && <p className="mt-1.5 px-1 text-xs text-subtle">{t.more(count - items.length)}</p>}
          </section>
        );
      })}
      {checking && (
        <Check gatewayId={checking.gatewayId ?? ""} name={checking.title} onClose={() => setChecking(undefined)} />
      )}
    </div>
  );
}

/** What settles an item here; approvals have theirs. Gateways, agents and webhooks are for owners and admins to mend. */
function useAct(item: InboxItem, onCheck: (item: InboxItem) => void): { label: string; run: () => Promise<void> | void } | undefined {
  const client = useQueryClient();
  const admin = useIsAdmin();
  const mayWrite = useMayWrite(item.boardId ?? "");
  switch (item.kind) {
    case InboxKind.GATEWAY:
      return admin ? { label: t.check, run: () => onCheck(item) } : undefined;
    case InboxKind.AGENT:
      return admin ? { label: t.wake, run: async () => (await import("./acts")).wake(item, client) } : undefined;
    case InboxKind.DELIVERY:
      return admin ? { label: t.deliver, run: async () => (await import("./acts")).deliverAgain(item, client) } : undefined;
    case InboxKind.BLOCKED_TASK:
      return mayWrite ? { label: t.unblock, run: async () => (await import("./acts")).unblock(item) } : undefined;
    default:
      return undefined;
  }
}

/** The inbox without an item. */
export function without(contents: Contents, gone: Pick<InboxItem, "id" | "kind">): Contents {
  if (!contents.items.some((item) => item.id === gone.id)) return contents;
  return {
    ...contents,
    items: contents.items.filter((item) => item.id !== gone.id),
    total: contents.total - 1,
    counts: contents.counts.map((count) => (count.kind === gone.kind ? { ...count, count: count.count - 1 } : count)),
  };
}

function Row({
  item,
  tone,
  icon: Icon,
  here,
  onFocus,
  onOpen,
  onSettle,
  onCheck,
}: {
  item: InboxItem;
  tone: Tone;
  icon: LucideIcon;
  here: boolean;
  onFocus: () => void;
  onOpen: () => void;
  onSettle: (item: InboxItem, yes: boolean) => Promise<void>;
  onCheck: (item: InboxItem) => void;
}) {
  const act = useAct(item, onCheck);
  const mayWrite = useMayWrite(item.boardId ?? "");
  const [busy, setBusy] = useState(false);
  const title = item.kind === InboxKind.APPROVAL ? words(item.title) : item.title;
  const late = item.dueAt && toDate(item.dueAt).getTime() < Date.now();
  return (
    <li
      id={`inbox-${item.id}`}
      tabIndex={-1}
      onFocus={onFocus}
      onKeyDown={(event) => {
        if (event.key === "Enter" && event.target === event.currentTarget) onOpen();
      }}
      className={cx("group relative flex gap-3 border-b border-line-soft! px-4 py-3 -outline-offset-2 last:border-0! hover:bg-hover max-sm:flex-wrap", here && "bg-hover")}
    >
      <span aria-hidden className={cx("mt-0.5 inline-flex size-7 shrink-0 items-center justify-center rounded-md", TONES[tone])}>
        <Icon size={15} />
      </span>
      <div className="min-w-0 flex-1">
        <Link to={place(item)} className="font-medium break-words before:absolute before:inset-0 hover:underline">
          {title}
        </Link>
        <p className="mt-0.5 break-words text-muted">{item.reason}</p>
        <p className="mt-1 flex flex-wrap items-center gap-x-1.5 text-xs text-subtle">
          {item.boardName && <span>{item.boardName} ·</span>}
          <Time at={item.since} />
          {item.dueAt && (
            <span className="text-warn-ink">
              · {late ? t.late : t.due} <Time at={item.dueAt} />
            </span>
          )}
          {item.remedy && item.kind !== InboxKind.APPROVAL && <span>· {item.remedy}</span>}
        </p>
      </div>
      <div className="relative flex items-center gap-2 self-center max-sm:w-full max-sm:pl-10">
        {item.kind === InboxKind.APPROVAL && mayWrite ? (
          <>
            <Button size="sm" variant="primary" onClick={() => void onSettle(item, true)}>
              {t.approve}
            </Button>
            <Button size="sm" onClick={() => void onSettle(item, false)}>
              {t.reject}
            </Button>
          </>
        ) : (
          <>
            {act && (
              <Button
                size="sm"
                busy={busy}
                onClick={() => {
                  setBusy(true);
                  void Promise.resolve(act.run()).finally(() => setBusy(false));
                }}
              >
                {act.label}
              </Button>
            )}
            <LinkButton size="sm" variant={act ? "ghost" : "default"} to={place(item)}>
              {{ [InboxKind.GATEWAY]: t.openGateway, [InboxKind.AGENT]: t.openAgent, [InboxKind.DELIVERY]: t.openDeliveries }[item.kind as number] ?? t.openTask}
            </LinkButton>
          </>
        )}
      </div>
    </li>
  );
}
