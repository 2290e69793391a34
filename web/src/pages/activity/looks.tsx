import { Bot, Building2, Circle, Code, Inbox, KeyRound, Layers, type LucideIcon, Mail, MessageSquare, MessagesSquare, Router, Send, ShieldCheck, SlidersHorizontal, Sparkles, SquareCheck, SquareKanban, Tag, UserRound, Webhook } from "lucide-react";
import { calendarDay, dayName, time } from "@/lib/format";
import type { LiveEvent } from "@/lib/live.types";
import activity from "@/texts/en/activity";
import { texts } from "@/texts/catalogue";
import { Avatar } from "@/ui/badge";
import type { Choice } from "@/ui/picker";
import { subject } from "./feeds";
import { actorName, sentence } from "./queries";

const t = texts("activity", activity);

const ICONS: Record<string, LucideIcon> = {
  task: SquareCheck,
  approval: ShieldCheck,
  agent: Bot,
  board: SquareKanban,
  board_group: Layers,
  memory: MessagesSquare,
  gateway: Router,
  webhook: Webhook,
  delivery: Send,
  organization: Building2,
  member: UserRound,
  user: UserRound,
  invite: Mail,
  api_key: KeyRound,
  tag: Tag,
  custom_field: SlidersHorizontal,
  skill: Sparkles,
  onboarding: Inbox,
};

/** Subjects that can be filtered by. */
export const KIND_CHOICES: readonly Choice[] = Object.entries(t.subjects).map(([value, label]) => {
  const Icon = ICONS[value] ?? Circle;
  return { value, label, mark: <Icon size={14} aria-hidden className="text-subtle" /> };
});

/** What kind of thing an event is about, as a picture. */
export function Icon({ type }: { type: string }) {
  const Found = type === "task.comment" ? MessageSquare : (ICONS[subject(type)] ?? Code);
  const bad = /failed|disabled|rejected|error/.test(type);
  return (
    <span aria-hidden className={`inline-flex size-6 shrink-0 items-center justify-center rounded-md ${bad ? "bg-bad-wash text-bad-ink" : "bg-sunken text-subtle"}`}>
      <Found size={13} />
    </span>
  );
}

/** Events that say the same one after the other, as one with how many there are: the newest stands for them. */
export function fold<T extends LiveEvent>(events: readonly T[]): { event: T; count: number }[] {
  const folded: { event: T; count: number }[] = [];
  for (const event of events) {
    const last = folded.at(-1);
    const alike = last && last.event.type === event.type && last.event.message === event.message && last.event.actor.id === event.actor.id && last.event.boardId === event.boardId;
    if (alike && event.taskId === last.event.taskId) last.count += 1;
    else folded.push({ event, count: 1 });
  }
  return folded;
}

/** Events by the day they happened on, in their order. */
export function days<T extends { at: number }>(events: readonly T[]): { day: string; name: string; events: T[] }[] {
  const found: { day: string; name: string; events: T[] }[] = [];
  for (const event of events) {
    const at = new Date(event.at);
    const day = calendarDay(at);
    const last = found.at(-1);
    if (last?.day === day) last.events.push(event);
    else found.push({ day, name: dayName(at), events: [event] });
  }
  return found;
}

/** The day's name above its events; stays at the top while they are scrolled. */
export function Day({ name }: { name: string }) {
  return (
    <h2 className="sticky top-0 z-10 border-b border-line-soft! bg-canvas/95 px-4 py-1.5 text-xs font-semibold text-muted backdrop-blur-sm first-letter:uppercase sm:px-6">{name}</h2>
  );
}

/** One event in a line, or two on narrow screens. */
export function EventRow({ event, count = 1, board, place, current, onOpen }: { event: LiveEvent; count?: number; board?: string; place?: string; current: boolean; onOpen: () => void }) {
  return (
    <button
      id={`event-${event.id}`}
      type="button"
      onClick={onOpen}
      aria-haspopup="dialog"
      className={`flex w-full items-start gap-3 border-b border-line-soft! px-4 py-1.5 text-left -outline-offset-2 hover:bg-hover sm:items-center sm:px-6 ${current ? "bg-hover" : ""}`}
    >
      <time dateTime={new Date(event.at).toISOString()} className="w-15 shrink-0 text-xs whitespace-nowrap text-subtle tabular max-sm:pt-1">
        {time(new Date(event.at))}
      </time>
      <Icon type={event.type} />
      <span className="flex min-w-0 flex-1 flex-col gap-x-3 sm:flex-row sm:items-center">
        <span className="min-w-0 flex-1 break-words sm:truncate">{sentence(event)}
          {count > 1 && <span className="ml-2 rounded-sm bg-sunken px-1 text-xs font-medium text-muted tabular">{t.times(count)}</span>}
        </span>
        <span className="flex shrink-0 items-center gap-x-3 text-xs text-muted">
          {board && <span className="max-w-40 truncate text-subtle">{board}</span>}
          <span className="flex min-w-0 items-center gap-1.5 sm:w-36">
            <Avatar name={actorName(event.actor)} kind={event.actor.type === "user" ? "person" : "agent"} size={16} />
            <span className="truncate">{actorName(event.actor)}</span>
          </span>
          {place && <span className="w-12 text-right text-subtle tabular max-sm:hidden">{place}</span>}
        </span>
      </span>
    </button>
  );
}
