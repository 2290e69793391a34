// Beside the board: its chat, its agents, what is remembered.
import { useQuery, useQueryClient } from "@tanstack/react-query";
import { X } from "lucide-react";
import { useEffect, useRef, useState } from "react";
import { MemoryService } from "@/gen/missioncontrol/board/v1/memory_pb";
import { api } from "@/lib/api";
import board from "@/texts/en/board";
import { texts } from "@/texts/catalogue";
import { Avatar, Badge, Dot } from "@/ui/badge";
import { Button, IconButton } from "@/ui/button";
import { Composer } from "@/ui/composer";
import { Input } from "@/ui/field";
import { Markdown } from "@/ui/markdown";
import { QueryView, Skeleton } from "@/ui/states";
import { Time } from "@/ui/time";
import { toastError } from "@/ui/toast";
import { type BoardData, boardQuery, memoryQuery, mergeChat } from "./data";
import { mentionables, mentionNames } from "./mentions";
import { setPaused } from "./pause";

const t = texts("board", board);

/** The panel. */
export default function SidePanel({ kind, boardId, data, mayWrite, onClose }: { kind: "chat" | "agents" | "memory"; boardId: string; data: BoardData; mayWrite: boolean; onClose: () => void }) {
  const title = { chat: t.chat, agents: t.agents, memory: t.memory }[kind];
  return (
    <aside aria-label={title} className="flex w-[340px] shrink-0 flex-col border-l bg-raised max-2xl:absolute max-2xl:inset-y-0 max-2xl:right-0 max-2xl:z-20 max-2xl:shadow-pop max-sm:w-full animate-[slide_140ms_ease-out]">
      <header className="flex h-12 shrink-0 items-center border-b pr-2 pl-4">
        <h2 className="flex-1 text-sm font-semibold">{title}</h2>
        <IconButton icon={X} label={t.panelClose} hint="Esc" onClick={onClose} />
      </header>
      {kind === "chat" && <Chat boardId={boardId} data={data} mayWrite={mayWrite} />}
      {kind === "agents" && <Agents boardId={boardId} data={data} mayWrite={mayWrite} />}
      {kind === "memory" && <Memory boardId={boardId} mayWrite={mayWrite} />}
    </aside>
  );
}

function Chat({ boardId, data, mayWrite }: { boardId: string; data: BoardData; mayWrite: boolean }) {
  const queries = useQueryClient();
  const end = useRef<HTMLDivElement>(null);
  const names = mentionNames(data);
  useEffect(() => end.current?.scrollIntoView({ block: "end" }), [data.chat.length]);
  const send = async (content: string) => {
    try {
      const message = await api(MemoryService).createBoardMemory({ boardId, content, tags: { items: ["chat"] } });
      queries.setQueryData(boardQuery(boardId).queryKey, (now) => now && mergeChat(now, message));
    } catch (error) {
      toastError(error, t.notSent);
      throw error;
    }
  };
  return (
    <>
      <div className="min-h-0 flex-1 overflow-y-auto px-4 py-3">
        {data.chat.length === 0 && <p className="py-6 text-center text-sm text-muted">{t.chatEmpty}</p>}
        <ol className="space-y-4" aria-live="polite">
          {data.chat.map((message) => {
            const name = message.source || t.person;
            const agent = data.agents.some((one) => one.name === name);
            return (
              <li key={message.id} className="flex gap-2.5">
                <Avatar name={name} kind={agent ? "agent" : "person"} size={24} className="mt-0.5" />
                <div className="min-w-0 flex-1">
                  <p className="flex items-baseline gap-2">
                    <span className="truncate font-medium">{name}</span>
                    <Time at={message.createdAt} className="shrink-0 text-2xs text-subtle" />
                  </p>
                  <Markdown text={message.content} mentions={names} />
                </div>
              </li>
            );
          })}
        </ol>
        <div ref={end} />
      </div>
      {mayWrite && (
        <div className="border-t p-3">
          <Composer draftKey={`chat.${boardId}`} label={t.chatPlaceholder} placeholder={t.chatPlaceholder} hint={t.sendHint} submit={t.send} mentions={mentionables(data)} send={send} autoFocus />
        </div>
      )}
    </>
  );
}

function Agents({ boardId, data, mayWrite }: { boardId: string; data: BoardData; mayWrite: boolean }) {
  const working = new Map<string, number>();
  for (const task of data.tasks.values()) if (task.assignedAgentId && task.status === 2) working.set(task.assignedAgentId, (working.get(task.assignedAgentId) ?? 0) + 1);
  return (
    <div className="min-h-0 flex-1 overflow-y-auto">
      {data.agents.length === 0 && <p className="px-4 py-6 text-center text-sm text-muted">{t.noAgents}</p>}
      <ul className="py-1">
        {data.agents.map((agent) => (
          <li key={agent.id} className="flex items-center gap-3 px-4 py-2">
            <Avatar name={agent.name} kind="agent" size={28} />
            <div className="min-w-0 flex-1">
              <p className="flex items-center gap-2">
                <span className="truncate font-medium">{agent.name}</span>
                {agent.isBoardLead && <Badge tone="signal">{t.lead}</Badge>}
              </p>
              <p className="flex items-center gap-1.5 text-xs text-muted">
                <Dot tone={agent.status === "online" ? "ok" : agent.status === "offline" ? "neutral" : "warn"} alive={agent.status === "online"} />
                {t.presence[agent.status] ?? agent.status}
                {agent.status !== "online" && (
                  <span className="text-subtle">
                    ·{" "}
                    {agent.lastSeenAt ? (
                      <>
                        {t.seen} <Time at={agent.lastSeenAt} />
                      </>
                    ) : (
                      t.never
                    )}
                  </span>
                )}
              </p>
            </div>
            {(working.get(agent.id) ?? 0) > 0 && <span className="text-2xs text-subtle">{t.tasks(working.get(agent.id) ?? 0)}</span>}
          </li>
        ))}
      </ul>
      {mayWrite && data.agents.length > 0 && (
        <div className="flex gap-2 border-t px-4 py-3">
          <Button size="sm" onClick={() => void setPaused(boardId, true)}>
            {t.pause}
          </Button>
          <Button size="sm" onClick={() => void setPaused(boardId, false)}>
            {t.resume}
          </Button>
        </div>
      )}
    </div>
  );
}

function Memory({ boardId, mayWrite }: { boardId: string; mayWrite: boolean }) {
  const query = useQuery(memoryQuery(boardId));
  const queries = useQueryClient();
  const [tags, setTags] = useState("");
  const send = async (content: string) => {
    try {
      const items = tags.split(",").map((tag) => tag.trim()).filter(Boolean);
      const memory = await api(MemoryService).createBoardMemory({ boardId, content, tags: items.length > 0 ? { items } : undefined });
      queries.setQueryData(memoryQuery(boardId).queryKey, (all) => (all && !all.some((one) => one.id === memory.id) ? [memory, ...all] : all));
      setTags("");
    } catch (error) {
      toastError(error, t.notSent);
      throw error;
    }
  };
  return (
    <>
      <div className="min-h-0 flex-1 overflow-y-auto px-4 py-3">
        <QueryView query={query} skeleton={<Skeleton />} isEmpty={(all) => all.length === 0} empty={<p className="py-6 text-center text-sm text-muted">{t.memoryEmpty}</p>}>
          {(all) => (
            <ul className="space-y-3">
              {all.map((memory) => (
                <li key={memory.id} className="rounded-lg border bg-surface px-3 py-2">
                  <Markdown text={memory.content} />
                  <p className="mt-1.5 flex flex-wrap items-center gap-1.5 text-2xs text-subtle">
                    {memory.tags?.items.map((tag) => <Badge key={tag}>{tag}</Badge>)}
                    <span className="flex-1 truncate text-right">
                      {memory.source && `${memory.source} · `}
                      <Time at={memory.createdAt} />
                    </span>
                  </p>
                </li>
              ))}
            </ul>
          )}
        </QueryView>
      </div>
      {mayWrite && (
        <div className="space-y-2 border-t p-3">
          <Input aria-label={t.memoryTags} placeholder={t.memoryTags} value={tags} onChange={(event) => setTags(event.target.value)} />
          <Composer draftKey={`memory.${boardId}`} label={t.memoryPlaceholder} placeholder={t.memoryPlaceholder} hint={t.sendHint} submit={t.remember} send={send} />
        </div>
      )}
    </>
  );
}
