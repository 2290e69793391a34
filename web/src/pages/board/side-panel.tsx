// Beside the board: its chat, its agents, what is remembered.
import { useQuery, useQueryClient } from "@tanstack/react-query";
import { Layers, X } from "lucide-react";
import { useState } from "react";
import { type BoardMemory, MemoryService } from "@/gen/missioncontrol/board/v1/memory_pb";
import { api } from "@/lib/api";
import { Chat, Entries, Remember } from "@/parts/talk";
import board from "@/texts/en/board";
import { texts } from "@/texts/catalogue";
import { Avatar, Badge, Dot } from "@/ui/badge";
import { Button, IconButton, LinkButton } from "@/ui/button";
import { QueryView } from "@/ui/states";
import { Time } from "@/ui/time";
import { toastError } from "@/ui/toast";
import { type BoardData, boardQuery, memoryQuery, mergeChat } from "./data";
import { mentionables, mentionNames } from "./mentions";
import { setPaused } from "./pause";

const t = texts("board", board);
/** How many messages a board comes with. */
const SNAPSHOT = 200;

/** The panel. */
export default function SidePanel({ kind, boardId, data, mayWrite, onClose }: { kind: "chat" | "agents" | "memory"; boardId: string; data: BoardData; mayWrite: boolean; onClose: () => void }) {
  const group = data.board.boardGroupId;
  const title = { chat: t.chat, agents: t.agents, memory: t.memory }[kind];
  return (
    <aside aria-label={title} className="flex w-[340px] shrink-0 flex-col border-l bg-raised max-2xl:absolute max-2xl:inset-y-0 max-2xl:right-0 max-2xl:z-20 max-2xl:shadow-pop max-sm:w-full animate-[slide_140ms_ease-out]">
      <header className="flex h-12 shrink-0 items-center border-b pr-2 pl-4">
        <h2 className="flex-1 text-sm font-semibold">{title}</h2>
        {group && kind !== "agents" && (
          <LinkButton size="sm" variant="ghost" icon={Layers} to={`/groups/${group}?panel=${kind}`}>
            {t.ofGroup}
          </LinkButton>
        )}
        <IconButton icon={X} label={t.panelClose} hint="Esc" onClick={onClose} />
      </header>
      {kind === "chat" && <Talk boardId={boardId} data={data} mayWrite={mayWrite} />}
      {kind === "agents" && <Agents boardId={boardId} data={data} mayWrite={mayWrite} />}
      {kind === "memory" && <Memory boardId={boardId} mayWrite={mayWrite} />}
    </aside>
  );
}

function Talk({ boardId, data, mayWrite }: { boardId: string; data: BoardData; mayWrite: boolean }) {
  const queries = useQueryClient();
  // The board comes with the latest messages; those before them are read when somebody looks.
  const [before, setBefore] = useState<readonly BoardMemory[]>([]);
  const [all, setAll] = useState(data.chat.length < SNAPSHOT);
  const older = async () => {
    try {
      const page = await api(MemoryService).listBoardMemory({ boardId, isChat: true, limit: SNAPSHOT, offset: data.chat.length + before.length });
      const known = new Set([...before, ...data.chat].map((message) => message.id));
      setBefore((now) => [...page.items.toReversed().filter((message) => !known.has(message.id)), ...now]);
      setAll(page.offset + page.items.length >= page.total);
    } catch (error) {
      toastError(error, t.notRead);
    }
  };
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
    <Chat
      messages={before.length > 0 ? [...before, ...data.chat] : data.chat}
      agents={new Set(data.agents.map((agent) => agent.name))}
      names={mentionNames(data)}
      mentions={mentionables(data)}
      empty={t.chatEmpty}
      placeholder={t.chatPlaceholder}
      draftKey={`chat.${boardId}`}
      send={mayWrite ? send : undefined}
      older={all ? undefined : older}
    />
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
  const send = async (content: string, items: string[]) => {
    try {
      const memory = await api(MemoryService).createBoardMemory({ boardId, content, tags: items.length > 0 ? { items } : undefined });
      queries.setQueryData(memoryQuery(boardId).queryKey, (all) => (all && !all.some((one) => one.id === memory.id) ? [memory, ...all] : all));
    } catch (error) {
      toastError(error, t.notSent);
      throw error;
    }
  };
  return (
    <>
      <div className="min-h-0 flex-1 overflow-y-auto px-4 py-3" tabIndex={0} role="region" aria-label={t.memory}>
        <QueryView query={query}>{(all) => <Entries entries={all} empty={t.memoryEmpty} />}</QueryView>
      </div>
      {mayWrite && <Remember placeholder={t.memoryPlaceholder} draftKey={`memory.${boardId}`} send={send} />}
    </>
  );
}
