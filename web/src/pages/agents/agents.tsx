import { useQuery } from "@tanstack/react-query";
import { Bot, Plus, Search } from "lucide-react";
import { Link, useLocation } from "wouter";
import type { Agent } from "@/gen/missioncontrol/agent/v1/agent_pb";
import { useHotkeys } from "@/lib/hotkeys";
import { useIsAdmin } from "@/lib/me";
import { useSearchState } from "@/lib/search";
import { boardsQuery, gatewaysQuery } from "@/pages/boards/queries";
import { statusLooks } from "@/parts/gateway";
import agents from "@/texts/en/agents";
import { texts } from "@/texts/catalogue";
import { Avatar, Badge, Dot } from "@/ui/badge";
import { LinkButton } from "@/ui/button";
import { Input, Select } from "@/ui/field";
import { Card, Page, Table } from "@/ui/page";
import { Notice, QueryView } from "@/ui/states";
import { Time } from "@/ui/time";
import { AgentMenu } from "./menu";
import { profileOf } from "./profile";
import { agentsQuery } from "./queries";

const t = texts("agents", agents);

/** All agents with what they are doing. */
export default function Agents() {
  const list = useQuery(agentsQuery);
  const boards = useQuery(boardsQuery).data;
  const admin = useIsAdmin();
  const [params, change] = useSearchState();
  const [, go] = useLocation();
  useHotkeys([{ keys: "c", label: t.new, group: t.agents, run: () => admin && go("/agents/new") }]);
  const add = admin && (
    <LinkButton variant="primary" icon={Plus} to="/agents/new">
      {t.new}
    </LinkButton>
  );
  const statuses = [...new Set(list.data?.map((agent) => agent.status))].toSorted();
  return (
    <Page
      title={t.agents}
      actions={
        list.data?.length !== 0 &&
        !list.error && (
          <>
            <div className="relative max-sm:w-full">
              <Search size={14} aria-hidden className="pointer-events-none absolute top-2.25 left-2.5 text-subtle" />
              <Input type="search" aria-label={t.filter} placeholder={t.filter} value={params.get("q") ?? ""} onChange={(event) => change({ q: event.target.value })} className="pl-8 sm:w-44" />
            </div>
            <Select aria-label={t.board} value={params.get("board") ?? ""} onChange={(event) => change({ board: event.target.value })} className="w-auto! max-w-40">
              <option value="">{t.anyBoard}</option>
              {boards?.map((board) => (
                <option key={board.id} value={board.id}>
                  {board.name}
                </option>
              ))}
            </Select>
            <Select aria-label={t.status} value={params.get("status") ?? ""} onChange={(event) => change({ status: event.target.value })} className="w-auto! max-w-36">
              <option value="">{t.anyStatus}</option>
              {statuses.map((status) => (
                <option key={status} value={status}>
                  {statusLooks(status).label}
                </option>
              ))}
            </Select>
            {add}
          </>
        )
      }
    >
      <Card flush>
        <QueryView
          query={list}
          isEmpty={(all) => all.length === 0}
          empty={
            <Notice icon={Bot} title={t.emptyTitle} action={add}>
              {t.emptyBody}
            </Notice>
          }
        >
          {(all) => <Rows agents={all} params={params} />}
        </QueryView>
      </Card>
    </Page>
  );
}

function Rows({ agents: all, params }: { agents: readonly Agent[]; params: URLSearchParams }) {
  const boards = new Map(useQuery(boardsQuery).data?.map((board) => [board.id, board.name]));
  const gateways = new Map(useQuery(gatewaysQuery).data?.map((gateway) => [gateway.id, gateway.name]));
  const words = (params.get("q") ?? "").toLowerCase().split(/\s+/).filter(Boolean);
  const [board, status] = [params.get("board"), params.get("status")];
  const shown = all.filter(
    (agent) =>
      (!board || agent.boardId === board) &&
      (!status || agent.status === status) &&
      words.every((word) => `${agent.name} ${profileOf(agent).role} ${boards.get(agent.boardId ?? "") ?? ""} ${gateways.get(agent.gatewayId) ?? ""}`.toLowerCase().includes(word)),
  );
  if (shown.length === 0) return <Notice title={t.noneTitle}>{t.noneBody}</Notice>;
  return (
    <Table label={t.agents} head={[t.name, t.status, t.board, t.gateway, t.seen, ""]} narrow={[3, 4, 5]}>
      {shown.map((agent) => {
        const { tone, label, alive } = statusLooks(agent.status);
        return (
          <tr key={agent.id}>
            <td className="max-w-72 max-sm:max-w-44">
              <div className="flex items-center gap-2.5">
                <Avatar name={agent.name} kind="agent" size={26} />
                <div className="min-w-0">
                  <div className="flex items-center gap-x-1.5 max-sm:flex-wrap">
                    <Link to={`/agents/${agent.id}`} className="truncate rounded-sm font-medium hover:underline">
                      {agent.name}
                    </Link>
                    {agent.isBoardLead && <Badge tone="signal">{t.lead}</Badge>}
                    {agent.isGatewayMain && <Badge>{t.main}</Badge>}
                  </div>
                  <span className="block truncate text-xs text-muted">{profileOf(agent).role || "–"}</span>
                </div>
              </div>
            </td>
            <td className="max-w-80 min-w-28">
              <span className="flex items-center gap-1.5 font-medium">
                <Dot tone={tone} alive={alive} />
                {label}
              </span>
              {agent.status !== "online" && agent.statusReason && <span className="line-clamp-2 text-xs text-muted">{agent.statusReason}</span>}
            </td>
            <td className="whitespace-nowrap">
              {agent.boardId ? (
                <Link to={`/boards/${agent.boardId}`} className="rounded-sm hover:underline">
                  {boards.get(agent.boardId) ?? "…"}
                </Link>
              ) : (
                <span className="text-subtle">{t.noBoard}</span>
              )}
            </td>
            <td className="whitespace-nowrap text-muted">{gateways.get(agent.gatewayId) ?? "–"}</td>
            <td className="whitespace-nowrap text-muted">{agent.lastSeenAt ? <Time at={agent.lastSeenAt} /> : t.never}</td>
            <td className="w-10 text-right">
              <AgentMenu agent={agent} />
            </td>
          </tr>
        );
      })}
    </Table>
  );
}
