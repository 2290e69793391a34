import { useQuery, useQueryClient } from "@tanstack/react-query";
import { ExternalLink, MoreHorizontal, Pencil, Plus, Router, Trash2 } from "lucide-react";
import { Link, useLocation } from "wouter";
import type { Gateway, GatewayConnection } from "@/gen/missioncontrol/gateway/v1/gateway_pb";
import { useHotkeys } from "@/lib/hotkeys";
import { useIsAdmin } from "@/lib/me";
import { agentsQuery } from "@/pages/agents/queries";
import { phaseLooks } from "@/parts/gateway";
import gateways from "@/texts/en/gateways";
import { texts } from "@/texts/catalogue";
import { Badge } from "@/ui/badge";
import { LinkButton } from "@/ui/button";
import { Menu } from "@/ui/menu";
import { Card, Page, Table } from "@/ui/page";
import { Notice, QueryView } from "@/ui/states";
import { Time } from "@/ui/time";
import { deleteGateway } from "./delete";
import { boardsQuery, connectionsQuery, gatewaysQuery } from "./queries";

const t = texts("gateways", gateways);

/** All gateways with how their connections stand. */
export default function Gateways() {
  const list = useQuery(gatewaysQuery);
  const admin = useIsAdmin();
  const [, go] = useLocation();
  useHotkeys([{ keys: "c", label: t.new, group: t.gateways, run: () => go("/gateways/new") }]);
  const add = admin && (
    <LinkButton variant="primary" icon={Plus} to="/gateways/new">
      {t.new}
    </LinkButton>
  );
  return (
    <Page title={t.gateways} actions={list.data?.length !== 0 && add}>
      <Card flush>
        <QueryView
          query={list}
          isEmpty={(all) => all.length === 0}
          empty={
            <Notice icon={Router} title={t.emptyTitle} action={add}>
              {t.emptyBody}
            </Notice>
          }
        >
          {(all) => <Rows gateways={all} />}
        </QueryView>
      </Card>
    </Page>
  );
}

function Rows({ gateways: all }: { gateways: readonly Gateway[] }) {
  const queries = useQueryClient();
  const connections = useQuery(connectionsQuery).data;
  const boards = useQuery(boardsQuery).data;
  const agents = useQuery(agentsQuery).data;
  const [, go] = useLocation();
  return (
    <Table label={t.gateways} head={[t.name, t.state, t.version, t.boards, t.agents, ""]} narrow={[3, 4, 5]}>
      {all.map((gateway) => (
        <tr key={gateway.id}>
          <td className="max-w-72 max-sm:max-w-40">
            <Link to={`/gateways/${gateway.id}`} className="block truncate rounded-sm font-medium hover:underline">
              {gateway.name}
            </Link>
            <span className="block truncate font-mono text-xs text-muted">{gateway.url}</span>
          </td>
          <td className="max-w-80">
            <State connection={connections?.get(gateway.id)} />
          </td>
          <td className="whitespace-nowrap text-muted">{connections?.get(gateway.id)?.version ?? "–"}</td>
          <td className="tabular text-muted">{boards ? t.boardCount(boards.filter((board) => board.gatewayId === gateway.id).length) : "…"}</td>
          <td className="tabular text-muted">{agents ? t.agentCount(agents.filter((agent) => agent.gatewayId === gateway.id).length) : "…"}</td>
          <td className="w-10 text-right">
            <Menu
              label={t.actions(gateway.name)}
              align="end"
              className="inline-flex size-7 items-center justify-center rounded-md text-muted hover:bg-hover hover:text-ink"
              items={[
                { label: t.open, icon: ExternalLink, run: () => go(`/gateways/${gateway.id}`) },
                { label: t.edit, icon: Pencil, run: () => go(`/gateways/${gateway.id}/edit`) },
                { label: t.delete, icon: Trash2, danger: true, separated: true, run: () => void deleteGateway(gateway, queries) },
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

/** The state in a word, with since when or what is wrong. */
export function State({ connection }: { connection: GatewayConnection | undefined }) {
  const { tone, label, alive } = phaseLooks(connection?.phase);
  return (
    <div className="flex min-w-0 flex-col items-start gap-0.5">
      <Badge tone={tone} dot className={alive ? "[&>span]:animate-pulse" : ""}>
        {label}
      </Badge>
      {connection?.error ? (
        <span className="line-clamp-2 text-xs text-muted">{connection.error}</span>
      ) : (
        connection?.since && (
          <span className="text-xs text-subtle">
            {t.since} <Time at={connection.since} />
          </span>
        )
      )}
    </div>
  );
}
