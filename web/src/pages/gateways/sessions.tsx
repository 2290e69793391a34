import { useQuery } from "@tanstack/react-query";
import { MessagesSquare, RotateCw, Search } from "lucide-react";
import { useState } from "react";
import { Link } from "wouter";
import { number } from "@/lib/format";
import { later } from "@/lib/later";
import { useSearchState } from "@/lib/search";
import { agentsQuery } from "@/pages/agents/queries";
import type { SessionPlace } from "@/parts/conversation";
import gateways from "@/texts/en/gateways";
import { texts } from "@/texts/catalogue";
import { Badge } from "@/ui/badge";
import { IconButton } from "@/ui/button";
import { Sheet } from "@/ui/dialog";
import { Input } from "@/ui/field";
import { Card, Table } from "@/ui/page";
import { Notice, QueryView, Skeleton } from "@/ui/states";
import { Time } from "@/ui/time";
import { X } from "lucide-react";
import ui from "@/texts/en/ui";
import { boardsQuery, type Session, sessionsQuery } from "./queries";

const t = texts("gateways", gateways);
const words = texts("ui", ui);
const Conversation = later(
  async () => ({ default: (await import("@/parts/conversation")).Conversation }),
  () => (
    <div className="p-4">
      <Skeleton />
    </div>
  ),
);

/** The sessions of a gateway, asked of the gateway itself. */
export default function Sessions({ gatewayId }: { gatewayId: string }) {
  const boards = useQuery(boardsQuery);
  return (
    <QueryView query={boards}>
      {(all) => {
        // With a board, what is said is told on it; any board of the gateway reaches all its sessions.
        const board = all.find((one) => one.gatewayId === gatewayId);
        return <List at={board ? { boardId: board.id } : { gatewayId }} gatewayId={gatewayId} />;
      }}
    </QueryView>
  );
}

function List({ at, gatewayId }: { at: SessionPlace; gatewayId: string }) {
  const sessions = useQuery(sessionsQuery(gatewayId, at));
  const agents = new Map(useQuery(agentsQuery).data?.map((agent) => [agent.openclawSessionId, agent]));
  const [params, change] = useSearchState();
  const [query, setQuery] = useState("");
  const openKey = params.get("session");
  const nameOf = (session: Pick<Session, "key" | "label" | "displayName">) => agents.get(session.key)?.name ?? session.label ?? session.displayName ?? session.key;
  return (
    <>
      <Card
        flush
        title={t.sessions}
        actions={
          <>
            <div className="relative">
              <Search size={14} aria-hidden className="pointer-events-none absolute top-2.25 left-2.5 text-subtle" />
              <Input type="search" aria-label={t.sessionsFilter} placeholder={t.sessionsFilter} value={query} onChange={(event) => setQuery(event.target.value)} className="w-44 pl-8" />
            </div>
            <IconButton icon={RotateCw} label={t.reload} onClick={() => void sessions.refetch()} className={sessions.isFetching ? "[&>svg]:animate-spin" : ""} />
          </>
        }
      >
        <QueryView query={sessions} skeleton={<div className="p-4"><Skeleton /></div>} isEmpty={(all) => all.length === 0} empty={<Notice icon={MessagesSquare} title={t.sessionsEmpty} />}>
          {(all) => (
            <Table label={t.sessions} head={[t.session, t.agent, t.model, t.tokens, t.lastChange]} narrow={[3, 4]}>
              {all
                .filter((session) => `${nameOf(session)} ${session.key} ${session.model ?? ""}`.toLowerCase().includes(query.trim().toLowerCase()))
                .toSorted((a, b) => (b.updatedAt ?? 0) - (a.updatedAt ?? 0))
                .map((session) => {
                  const agent = agents.get(session.key);
                  return (
                    <tr key={session.key}>
                      <td className="max-w-96 max-sm:max-w-44">
                        <button type="button" className="block max-w-full truncate rounded-sm text-left font-medium hover:underline" onClick={() => change({ session: session.key })}>
                          {session.label ?? session.displayName ?? nameOf(session)}
                        </button>
                        <span className="block truncate font-mono text-2xs text-subtle">{session.key}</span>
                      </td>
                      <td>
                        {agent ? (
                          <Link to={`/agents/${agent.id}`} className="rounded-sm hover:underline">
                            {agent.name}
                          </Link>
                        ) : (
                          <Badge>{t.otherSession}</Badge>
                        )}
                      </td>
                      <td className="whitespace-nowrap text-muted">{session.model ?? "–"}</td>
                      <td className="text-muted tabular">{session.totalTokens != null ? number(session.totalTokens) : "–"}</td>
                      <td className="whitespace-nowrap text-muted">{session.updatedAt ? <Time at={new Date(session.updatedAt)} /> : "–"}</td>
                    </tr>
                  );
                })}
            </Table>
          )}
        </QueryView>
      </Card>
      {openKey && (
        <Sheet open onClose={() => change({ session: null })} label={t.historyTitle} width="sm:w-[640px]">
          <header className="flex items-center gap-2 border-b py-2.5 pr-2 pl-4">
            <h2 className="min-w-0 flex-1 truncate font-semibold">{nameOf(sessions.data?.find((session) => session.key === openKey) ?? { key: openKey })}</h2>
            <IconButton icon={X} label={words.close} onClick={() => change({ session: null })} />
          </header>
          <Conversation at={at} sessionKey={openKey} name={nameOf(sessions.data?.find((session) => session.key === openKey) ?? { key: openKey })} className="min-h-0 flex-1" />
        </Sheet>
      )}
    </>
  );
}
