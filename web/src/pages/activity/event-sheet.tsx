import { X } from "lucide-react";
import { type ReactNode, useMemo } from "react";
import { Link } from "wouter";
import { differences } from "@/lib/diff";
import { dateTime } from "@/lib/format";
import type { LiveEvent } from "@/lib/live.types";
import { useIsAdmin } from "@/lib/me";
import activity from "@/texts/en/activity";
import ui from "@/texts/en/ui";
import { texts } from "@/texts/catalogue";
import { Avatar } from "@/ui/badge";
import { IconButton } from "@/ui/button";
import { CopyButton } from "@/ui/copy";
import { Diff } from "@/ui/diff";
import { Sheet } from "@/ui/dialog";
import { Facts } from "@/ui/page";
import { Time } from "@/ui/time";
import { actorName, type Entry, sentence } from "./queries";

const t = texts("activity", activity);
const words = texts("ui", ui);
const LINK = "rounded-sm text-info-ink underline underline-offset-2";

/** All that is known about one event: who, when, what changed, by which request. */
export function EventSheet({ event, board, onClose }: { event: LiveEvent & Partial<Pick<Entry, "position" | "hash" | "targetId">>; board?: string; onClose: () => void }) {
  const admin = useIsAdmin();
  const changes = useMemo(() => differences(event.before, event.after), [event]);
  const target = event.targetId ?? event.taskId ?? "";
  const facts: [ReactNode, ReactNode][] = [
    [
      t.who,
      <span key="who" className="flex items-center gap-2">
        <Avatar name={actorName(event.actor)} kind={event.actor.type === "user" ? "person" : "agent"} size={18} />
        {actorName(event.actor)}
      </span>,
    ],
    [
      t.when,
      <span key="when">
        {dateTime(new Date(event.at))} <Time at={new Date(event.at)} className="text-subtle" />
      </span>,
    ],
    [
      t.kind,
      <code key="kind" className="font-mono text-xs">
        {event.type}
      </code>,
    ],
  ];
  if (event.boardId) {
    facts.push([
      t.onBoard,
      <Link key="board" to={`/boards/${event.boardId}`} className={LINK} onClick={onClose}>
        {board ?? event.boardId}
      </Link>,
    ]);
  }
  if (event.taskId && event.boardId) {
    facts.push([
      t.task,
      <Link key="task" to={`/boards/${event.boardId}/tasks/${event.taskId}`} className={LINK} onClick={onClose}>
        {t.openTask}
      </Link>,
    ]);
  }
  if (event.agentId) {
    facts.push([
      t.aboutAgent,
      <Link key="agent" to={`/agents/${event.agentId}`} className={LINK} onClick={onClose}>
        {t.openAgent}
      </Link>,
    ]);
  }
  if (event.requestId) {
    facts.push([
      t.request,
      <span key="request" className="flex min-w-0 items-center gap-1">
        <code className="min-w-0 truncate font-mono text-xs" title={event.requestId}>
          {event.requestId}
        </code>
        <CopyButton text={event.requestId} />
      </span>,
    ]);
  }
  if (event.position !== undefined) facts.push([t.position, <span key="position" className="tabular">{event.position.toString()}</span>]);
  if (event.hash !== undefined) {
    facts.push([
      t.hash,
      event.hash ? (
        <span key="hash" className="flex min-w-0 items-center gap-1">
          <code className="min-w-0 truncate font-mono text-xs" title={event.hash}>
            {event.hash}
          </code>
          <CopyButton text={event.hash} />
        </span>
      ) : (
        <span key="hash" className="text-subtle">
          {t.unchained}
        </span>
      ),
    ]);
  }
  const title = event.before === null ? t.created : event.after === null ? t.deleted : t.changes;
  return (
    <Sheet open onClose={onClose} label={t.detail} width="sm:w-[520px]">
      <header className="flex items-start gap-3 border-b px-5 py-4">
        <h2 className="min-w-0 flex-1 text-base font-semibold break-words">{sentence(event)}</h2>
        <IconButton icon={X} label={words.close} onClick={onClose} className="-mt-1 -mr-2" />
      </header>
      <div className="min-h-0 flex-1 space-y-6 overflow-y-auto px-5 py-4" tabIndex={-1}>
        <Facts items={facts} />
        {admin && (
          <ul className="flex flex-wrap gap-x-4 gap-y-1 text-xs font-medium">
            {event.requestId && <More to={`/audit?request=${encodeURIComponent(event.requestId)}`} label={t.sameRequest} onClose={onClose} />}
            {event.actor.id && <More to={`/audit?actor=${encodeURIComponent(event.actor.id)}&actor-name=${encodeURIComponent(actorName(event.actor))}`} label={t.sameActor} onClose={onClose} />}
            {target && <More to={`/audit?target=${target}`} label={t.sameThing} onClose={onClose} />}
          </ul>
        )}
        <section>
          <h3 className="mb-2 text-xs font-medium text-subtle">{changes.length > 0 ? title : t.changes}</h3>
          {changes.length > 0 ? <Diff changes={changes} /> : <p className="text-muted">{t.noChanges}</p>}
        </section>
      </div>
    </Sheet>
  );
}

function More({ to, label, onClose }: { to: string; label: string; onClose: () => void }) {
  return (
    <li>
      <Link to={to} onClick={onClose} className="rounded-sm text-info-ink hover:underline">
        {label}
      </Link>
    </li>
  );
}
