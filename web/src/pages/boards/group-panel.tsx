// Beside the boards of a group: what they say to each other and remember together.
import { useQuery, useQueryClient } from "@tanstack/react-query";
import { X } from "lucide-react";
import { useEffect } from "react";
import { GroupMemoryService } from "@/gen/missioncontrol/board/v1/memory_pb";
import { api } from "@/lib/api";
import { useIsAdmin, useOrganization } from "@/lib/me";
import { inOneTab } from "@/lib/one-tab";
import { agentsQuery } from "@/pages/agents/queries";
import { Chat, Entries, Remember } from "@/parts/talk";
import talk from "@/texts/en/talk";
import { texts } from "@/texts/catalogue";
import { IconButton } from "@/ui/button";
import { QueryView } from "@/ui/states";
import { toastError } from "@/ui/toast";
import { groupMemoryQuery } from "./queries";

const t = texts("talk", talk);

/** The panel. `boardIds`: the boards of the group. */
export default function GroupPanel({ kind, groupId, boardIds, mayWrite, onClose }: { kind: "chat" | "memory"; groupId: string; boardIds: readonly string[]; mayWrite: boolean; onClose: () => void }) {
  const isChat = kind === "chat";
  const query = useQuery(groupMemoryQuery(groupId, isChat));
  const agents = (useQuery(agentsQuery).data ?? []).filter((agent) => agent.boardId && boardIds.includes(agent.boardId));
  const queries = useQueryClient();
  useOthers(groupId);
  const write = async (content: string, items: string[]) => {
    try {
      const entry = await api(GroupMemoryService).createGroupMemory({ groupId, content, tags: items.length > 0 ? { items } : undefined });
      queries.setQueryData(groupMemoryQuery(groupId, isChat).queryKey, (all) => (all && !all.some((one) => one.id === entry.id) ? [entry, ...all] : all));
    } catch (error) {
      toastError(error, t.notSent);
      throw error;
    }
  };
  return (
    <aside aria-label={t[kind]} className="flex w-[360px] shrink-0 flex-col border-l bg-raised max-xl:absolute max-xl:inset-y-0 max-xl:right-0 max-xl:z-20 max-xl:shadow-pop max-sm:w-full animate-[slide_140ms_ease-out]">
      <header className="flex h-12 shrink-0 items-center border-b pr-2 pl-4">
        <h2 className="flex-1 text-sm font-semibold">{t[kind]}</h2>
        <IconButton icon={X} label={t.close} hint="Esc" onClick={onClose} />
      </header>
      {isChat ? (
        <QueryView query={query}>
          {(all) => (
            <Chat
              messages={all.toReversed()}
              agents={new Set(agents.map((agent) => agent.name))}
              names={["all", "lead", ...agents.map((agent) => agent.name)]}
              mentions={[{ name: "all", note: t.mentionAll }, { name: "lead", note: t.mentionLead }, ...agents.map((agent) => ({ name: agent.name, note: agent.isBoardLead ? t.lead : undefined }))]}
              empty={t.groupChatEmpty}
              placeholder={t.groupChatPlaceholder}
              draftKey={`group-chat.${groupId}`}
              send={mayWrite ? (content) => write(content, ["chat"]) : undefined}
            />
          )}
        </QueryView>
      ) : (
        <>
          <div className="min-h-0 flex-1 overflow-y-auto px-4 py-3" tabIndex={0} role="region" aria-label={t.memory}>
            <QueryView query={query}>{(all) => <Entries entries={all} empty={t.groupMemoryEmpty} />}</QueryView>
          </div>
          {mayWrite && <Remember placeholder={t.groupMemoryPlaceholder} draftKey={`group-memory.${groupId}`} send={write} />}
        </>
      )}
    </aside>
  );
}

/** What others write into a group belongs to no board, and the change stream tells it to owners and admins only: members have it from the group itself. */
function useOthers(groupId: string): void {
  const queries = useQueryClient();
  const known = useOrganization() !== undefined;
  const admin = useIsAdmin();
  useEffect(() => {
    if (!known || admin) return;
    const read = () => void queries.invalidateQueries({ queryKey: ["group-memory", groupId] });
    return inOneTab<string>(
      `group.${groupId}`,
      async (tell, signal) => {
        for await (const event of api(GroupMemoryService).watchGroupMemory({ groupId }, { signal, timeoutMs: 0 })) tell(event.id);
      },
      read,
      read,
    );
  }, [groupId, known, admin, queries]);
}
