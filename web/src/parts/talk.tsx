// What is said and remembered at one place, a board or a group of boards: the same for both.
import { useEffect, useRef, useState } from "react";
import talk from "@/texts/en/talk";
import { texts } from "@/texts/catalogue";
import { Avatar, Badge } from "@/ui/badge";
import { Button } from "@/ui/button";
import { Composer, type Mentionable } from "@/ui/composer";
import { Input } from "@/ui/field";
import { Markdown } from "@/ui/markdown";
import { Time } from "@/ui/time";

const t = texts("talk", talk);
/** So many at first, and with each step back. */
const SHOWN = 100;

/** A message or an entry. */
export interface Entry {
  readonly id: string;
  readonly content: string;
  readonly source?: string;
  readonly createdAt?: Parameters<typeof Time>[0]["at"];
  readonly tags?: { readonly items: readonly string[] };
}

/** The chat, oldest first, with a composer for who may write. */
export function Chat({
  messages,
  agents,
  names,
  mentions,
  empty,
  placeholder,
  draftKey,
  send,
  older,
}: {
  messages: readonly Entry[];
  /** Names of agents; everybody else is a person. */
  agents: ReadonlySet<string>;
  /** Names that stand out in texts. */
  names: string[];
  mentions: readonly Mentionable[];
  empty: string;
  placeholder: string;
  draftKey: string;
  /** Absent: only to read. */
  send?: (content: string) => Promise<unknown>;
  /** Reads what was said before; absent when all is here. */
  older?: () => Promise<unknown>;
}) {
  const end = useRef<HTMLDivElement>(null);
  const [shown, setShown] = useState(SHOWN);
  const [busy, setBusy] = useState(false);
  const last = messages.at(-1)?.id;
  useEffect(() => {
    // Scrolling answers a promise in newer browsers, which is no clean-up.
    void end.current?.scrollIntoView({ block: "end" });
  }, [last]);
  const more = async () => {
    if (messages.length <= shown && older) {
      setBusy(true);
      await older().finally(() => setBusy(false));
    }
    setShown((now) => now + SHOWN);
  };
  return (
    <>
      <div className="min-h-0 flex-1 overflow-y-auto px-4 py-3" tabIndex={0} role="region" aria-label={t.chat}>
        {(messages.length > shown || older) && messages.length > 0 && (
          <p className="pb-3 text-center">
            <Button size="sm" variant="ghost" busy={busy} onClick={() => void more()}>
              {t.older}
            </Button>
          </p>
        )}
        {messages.length === 0 && <p className="py-6 text-center text-sm text-muted">{empty}</p>}
        <ol className="space-y-4" aria-live="polite">
          {messages.slice(-shown).map((message) => {
            const name = message.source || t.person;
            return (
              <li key={message.id} className="flex gap-2.5">
                <Avatar name={name} kind={agents.has(name) ? "agent" : "person"} size={24} className="mt-0.5" />
                <div className="min-w-0 flex-1">
                  <p className="flex items-baseline gap-2">
                    <span className="truncate font-medium">{name}</span>
                    {message.createdAt && <Time at={message.createdAt} className="shrink-0 text-2xs text-subtle" />}
                  </p>
                  <Markdown text={message.content} mentions={names} />
                </div>
              </li>
            );
          })}
        </ol>
        <div ref={end} />
      </div>
      {send && (
        <div className="border-t p-3">
          <Composer draftKey={draftKey} label={placeholder} placeholder={placeholder} hint={t.sendHint} submit={t.send} mentions={mentions} send={send} autoFocus />
        </div>
      )}
    </>
  );
}

/** What is remembered, newest first. */
export function Entries({ entries, empty }: { entries: readonly Entry[]; empty: string }) {
  const [shown, setShown] = useState(SHOWN);
  if (entries.length === 0) return <p className="py-6 text-center text-sm text-muted">{empty}</p>;
  return (
    <ul className="space-y-3" aria-live="polite">
      {entries.slice(0, shown).map((entry) => (
        <li key={entry.id} className="rounded-lg border bg-surface px-3 py-2">
          <Markdown text={entry.content} />
          <p className="mt-1.5 flex flex-wrap items-center gap-1.5 text-2xs text-subtle">
            {entry.tags?.items.map((tag) => <Badge key={tag}>{tag}</Badge>)}
            <span className="flex-1 truncate text-right">
              {entry.source && `${entry.source} · `}
              {entry.createdAt && <Time at={entry.createdAt} />}
            </span>
          </p>
        </li>
      ))}
      {entries.length > shown && (
        <li className="text-center">
          <Button size="sm" variant="ghost" onClick={() => setShown((now) => now + SHOWN)}>
            {t.older}
          </Button>
        </li>
      )}
    </ul>
  );
}

/** Writes something to remember, with tags. */
export function Remember({ placeholder, draftKey, send }: { placeholder: string; draftKey: string; send: (content: string, tags: string[]) => Promise<unknown> }) {
  const [tags, setTags] = useState("");
  return (
    <div className="space-y-2 border-t p-3">
      <Input aria-label={t.tags} placeholder={t.tags} value={tags} onChange={(event) => setTags(event.target.value)} />
      <Composer
        draftKey={draftKey}
        label={placeholder}
        placeholder={placeholder}
        hint={t.sendHint}
        submit={t.remember}
        send={async (content) => {
          await send(
            content,
            tags
              .split(",")
              .map((tag) => tag.trim())
              .filter(Boolean),
          );
          setTags("");
        }}
      />
    </div>
  );
}
