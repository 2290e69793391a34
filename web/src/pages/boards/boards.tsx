import { useQuery, useQueryClient } from "@tanstack/react-query";
import { ExternalLink, MoreHorizontal, Pencil, Plus, Search, SquareKanban, Trash2 } from "lucide-react";
import { useState } from "react";
import { Link, useLocation } from "wouter";
import type { Agent } from "@/gen/missioncontrol/agent/v1/agent_pb";
import type { Board, BoardTaskCounts } from "@/gen/missioncontrol/board/v1/board_pb";
import { useHotkeys } from "@/lib/hotkeys";
import { useIsAdmin, useWritable } from "@/lib/me";
import { number } from "@/lib/format";
import { useSearchState } from "@/lib/search";
import { agentsQuery } from "@/pages/agents/queries";
import { statusLooks } from "@/parts/gateway";
import { TaskCounts, taskCountsQuery } from "@/parts/task-counts";
import boards from "@/texts/en/boards";
import { texts } from "@/texts/catalogue";
import { Avatar, Badge, Dot } from "@/ui/badge";
import { Button } from "@/ui/button";
import { Input } from "@/ui/field";
import { Menu } from "@/ui/menu";
import { Card, Page, Table } from "@/ui/page";
import { Notice, QueryView } from "@/ui/states";
import { Time } from "@/ui/time";
import { BoardForm } from "./board-form";
import { deleteBoard } from "./delete";
import { boardsQuery, gatewaysQuery, groupsQuery } from "./queries";

const t = texts("boards", boards);

/** All boards. */
export default function Boards() {
  const list = useQuery(boardsQuery);
  const admin = useIsAdmin();
  const [params, change] = useSearchState();
  const [editing, setEditing] = useState<Board>();
  const [, go] = useLocation();
  const query = params.get("q") ?? "";
  useHotkeys([{ keys: "c", label: t.newBoard, group: t.boards, run: () => admin && change({ new: "1" }) }]);
  return (
    <Page
      title={t.boards}
      actions={
        <>
          <div className="relative">
            <Search size={14} aria-hidden className="pointer-events-none absolute top-2.25 left-2.5 text-subtle" />
            <Input type="search" aria-label={t.filter} placeholder={t.filter} value={query} onChange={(event) => change({ q: event.target.value })} className="w-52 pl-8" />
          </div>
          {admin && (
            <Button variant="primary" icon={Plus} onClick={() => change({ new: "1" })}>
              {t.newBoard}
            </Button>
          )}
        </>
      }
    >
      <Card flush>
        <QueryView
          query={list}
          isEmpty={(all) => all.length === 0}
          empty={
            <Notice
              icon={SquareKanban}
              title={t.emptyTitle}
              action={
                admin && (
                  <Button variant="primary" icon={Plus} onClick={() => change({ new: "1" })}>
                    {t.newBoard}
                  </Button>
                )
              }
            >
              {t.emptyBody}
            </Notice>
          }
        >
          {(all) => <Rows boards={all} query={query} onEdit={setEditing} />}
        </QueryView>
      </Card>
      {params.get("new") !== null && admin && <BoardForm onClose={() => change({ new: null })} onDone={(board) => go(`/boards/${board.id}`)} />}
      {editing && <BoardForm board={editing} onClose={() => setEditing(undefined)} />}
    </Page>
  );
}

function Rows({ boards: all, query, onEdit }: { boards: readonly Board[]; query: string; onEdit: (board: Board) => void }) {
  const queries = useQueryClient();
  const admin = useIsAdmin();
  const writable = useWritable();
  const groups = new Map(useQuery(groupsQuery).data?.map((group) => [group.id, group.name]));
  const gateways = new Map(useQuery({ ...gatewaysQuery, enabled: admin }).data?.map((gateway) => [gateway.id, gateway.name]));
  const counts = useQuery(taskCountsQuery).data;
  const agents = useQuery(agentsQuery).data ?? [];
  const [, go] = useLocation();
  const words = query.toLowerCase().split(/\s+/).filter(Boolean);
  const shown = all.filter((board) => words.every((word) => `${board.name} ${board.description} ${board.objective ?? ""} ${groups.get(board.boardGroupId ?? "") ?? ""}`.toLowerCase().includes(word)));
  if (shown.length === 0) return <Notice title={t.noneTitle}>{t.noneBody}</Notice>;
  return (
    <Table label={t.boards} head={[t.name, t.tasks, t.agents, t.group, t.gateway, t.updated, ""]} narrow={[3, 4, 5]}>
      {shown.map((board) => (
        <tr key={board.id} className="group">
          <td className="max-w-[440px]">
            <Link to={`/boards/${board.id}`} className="block rounded-sm font-medium hover:underline">
              {board.name}
            </Link>
            <span className="block truncate text-xs text-muted">{board.objective || board.description}</span>
          </td>
          <td className="whitespace-nowrap">
            <Counts counts={counts?.get(board.id)} />
          </td>
          <td className="whitespace-nowrap">
            <Crew agents={agents.filter((agent) => agent.boardId === board.id)} />
          </td>
          <td>{board.boardGroupId ? <Badge>{groups.get(board.boardGroupId) ?? "…"}</Badge> : <span className="text-subtle">–</span>}</td>
          <td className="text-muted">{board.gatewayId ? (gateways.get(board.gatewayId) ?? "–") : <span className="text-subtle">{t.noGateway}</span>}</td>
          <td className="whitespace-nowrap text-muted">
            <Time at={board.updatedAt} />
          </td>
          <td className="w-10 text-right">
            <Menu
              label={t.actions(board.name)}
              align="end"
              className="inline-flex size-7 items-center justify-center rounded-md text-muted hover:bg-hover hover:text-ink"
              items={[
                { label: t.open, icon: ExternalLink, run: () => go(`/boards/${board.id}`) },
                ...(writable(board.id)
                  ? [
                      { label: t.editBoard, icon: Pencil, run: () => onEdit(board) },
                      { label: t.deleteBoard, icon: Trash2, danger: true, separated: true, run: () => void deleteBoard(board, queries) },
                    ]
                  : []),
              ]}
            >
              <MoreHorizontal size={16} aria-hidden />
            </Menu>
          </td>
        </tr>
      ))}
    </Table>
  );
}

/** Where the tasks stand, and how many are late. */
function Counts({ counts }: { counts: BoardTaskCounts | undefined }) {
  if (!counts) return <span className="skeleton block h-4 w-28" />;
  if (counts.total === 0) return <span className="text-subtle">{t.noTasks}</span>;
  return (
    <span className="flex items-center gap-3">
      <TaskCounts counts={counts} />
      {counts.overdue > 0 && <Badge tone="bad">{t.overdue(counts.overdue)}</Badge>}
    </span>
  );
}

/** Who works on it, and how many of them are there. */
function Crew({ agents }: { agents: readonly Agent[] }) {
  if (agents.length === 0) return <span className="text-subtle">–</span>;
  const online = agents.filter((agent) => agent.status === "online").length;
  const ill = agents.find((agent) => agent.status !== "online");
  const looks = statusLooks(ill ? ill.status : "online");
  return (
    <span className="flex items-center gap-2" title={agents.map((agent) => `${agent.name}: ${statusLooks(agent.status).label}`).join("\n")}>
      <span className="flex -space-x-1.5" aria-hidden>
        {agents.slice(0, 3).map((agent) => (
          <Avatar key={agent.id} name={agent.name} kind="agent" size={20} className="ring-2 ring-surface" />
        ))}
      </span>
      <Dot tone={looks.tone} />
      <span className="text-xs text-muted tabular">
        {number(online)}/{number(agents.length)} {t.online}
      </span>
    </span>
  );
}
