import { useQuery, useQueryClient } from "@tanstack/react-query";
import { Pencil, PlugZap, Trash2 } from "lucide-react";
import { Link, useLocation, useParams } from "wouter";
import type { Gateway as GatewayType, GatewayConnection } from "@/gen/missioncontrol/gateway/v1/gateway_pb";
import { useCommands } from "@/lib/commands";
import { later } from "@/lib/later";
import { useSearchState } from "@/lib/search";
import { agentsQuery } from "@/pages/agents/queries";
import { fingerprintWords, phaseLooks, statusLooks } from "@/parts/gateway";
import { Approve, PreflightView, usePreflight } from "@/parts/preflight";
import gateways from "@/texts/en/gateways";
import parts from "@/texts/en/parts";
import { texts } from "@/texts/catalogue";
import { Badge, Dot } from "@/ui/badge";
import { Button, IconButton, LinkButton } from "@/ui/button";
import { Card, Facts, Page } from "@/ui/page";
import { QueryView, Skeleton } from "@/ui/states";
import { Tabs } from "@/ui/tabs";
import { Time } from "@/ui/time";
import { useMemo } from "react";
import { deleteGateway } from "./delete";
import { boardsQuery, connectionsQuery, gatewayQuery } from "./queries";

const t = texts("gateways", gateways);
const p = texts("parts", parts);
const Sessions = later(() => import("./sessions"), () => <Skeleton />);
const Templates = later(() => import("./templates"), () => <Skeleton />);

/** One gateway: its connection, its sessions, its agents' files. */
export default function Gateway() {
  const { gatewayId = "" } = useParams();
  const gateway = useQuery(gatewayQuery(gatewayId));
  const connection = useQuery(connectionsQuery).data?.get(gatewayId);
  const queries = useQueryClient();
  const [params, change] = useSearchState();
  const [, go] = useLocation();
  const tab = (["sessions", "templates"] as const).find((name) => name === params.get("tab")) ?? "overview";
  useCommands(
    useMemo(
      () => [
        { id: "gateway-check", label: t.check, group: t.gateway, icon: PlugZap, to: `/gateways/${gatewayId}?check=1` },
        { id: "gateway-templates", label: t.template.title, group: t.gateway, to: `/gateways/${gatewayId}?tab=templates`, words: "sync diff" },
      ],
      [gatewayId],
    ),
  );
  const { tone, label } = phaseLooks(connection?.phase);
  return (
    <Page
      title={gateway.data?.name ?? t.gateway}
      above={[{ label: t.gateways, to: "/gateways" }]}
      lead={gateway.data && <span className="font-mono">{gateway.data.url}</span>}
      actions={
        gateway.data && (
          <>
            <Badge tone={tone} dot>
              {label}
            </Badge>
            <LinkButton icon={Pencil} to={`/gateways/${gatewayId}/edit`}>
              {t.edit}
            </LinkButton>
            <IconButton icon={Trash2} label={t.delete} onClick={() => gateway.data && void deleteGateway(gateway.data, queries).then((gone) => gone && go("/gateways"))} />
          </>
        )
      }
    >
      <QueryView query={gateway}>
        {(data) => (
          <Tabs
            label={data.name}
            value={tab}
            onChange={(value) => change({ tab: value === "overview" ? null : value, check: null })}
            tabs={[
              { value: "overview", label: t.overview },
              { value: "sessions", label: t.sessions },
              { value: "templates", label: t.templates },
            ]}
            panelClassName="pt-5"
          >
            {tab === "overview" && <Overview gateway={data} connection={connection} />}
            {tab === "sessions" && <Sessions gatewayId={data.id} />}
            {tab === "templates" && <Templates gateway={data} />}
          </Tabs>
        )}
      </QueryView>
    </Page>
  );
}

function Overview({ gateway, connection }: { gateway: GatewayType; connection: GatewayConnection | undefined }) {
  return (
    <div className="grid items-start gap-5 lg:grid-cols-2">
      <div className="space-y-5">
        <Connection gateway={gateway} connection={connection} />
        <Uses gatewayId={gateway.id} />
      </div>
      <Check gateway={gateway} />
    </div>
  );
}

function Connection({ gateway, connection }: { gateway: GatewayType; connection: GatewayConnection | undefined }) {
  const { tone, label } = phaseLooks(connection?.phase);
  return (
    <Card title={t.connection}>
      {connection?.error && (
        <div className="mb-4 space-y-1 rounded-md bg-bad-wash px-3 py-2 text-sm text-bad-ink">
          <p className="font-medium break-words">{connection.error}</p>
          {connection.remedy && !connection.pairingRequestId && <p className="text-xs break-words">{connection.remedy}</p>}
          {connection.nextAttemptAt && (
            <p className="text-xs">
              {t.nextAttempt} <Time at={connection.nextAttemptAt} />
            </p>
          )}
        </div>
      )}
      {connection?.pairingRequestId && (
        <div className="mb-4">
          <Approve requestId={connection.pairingRequestId} />
        </div>
      )}
      <Facts
        items={[
          [
            t.state,
            <span key="state" className="inline-flex items-center gap-1.5">
              <Dot tone={tone} />
              {label}
              {connection?.since && (
                <span className="text-subtle">
                  {" · "}
                  <Time at={connection.since} />
                </span>
              )}
            </span>,
          ],
          [t.version, connection?.version ?? "–"],
          [t.protocol, connection?.protocol ?? "–"],
          [
            t.scopes,
            connection && connection.scopes.length > 0 ? (
              <span key="scopes" className="flex flex-wrap gap-1">
                {connection.scopes.map((scope) => (
                  <Badge key={scope}>{scope}</Badge>
                ))}
              </span>
            ) : (
              t.scopesNone
            ),
          ],
          [
            t.certificate,
            gateway.url.startsWith("wss:") ? (
              <span key="certificate">
                {gateway.tlsFingerprint ? t.pinned : gateway.allowInsecureTls ? t.insecure : t.authorities}
                {(connection?.tlsFingerprint ?? gateway.tlsFingerprint) && (
                  <code className="mt-0.5 block font-mono text-xs break-all text-muted">{fingerprintWords(connection?.tlsFingerprint ?? gateway.tlsFingerprint ?? "")}</code>
                )}
              </span>
            ) : (
              "–"
            ),
          ],
          [t.token, gateway.token ? t.tokenStored : t.tokenNone],
          [t.device, gateway.disableDevicePairing ? t.deviceNone : t.deviceOwn],
          [
            t.workspace,
            <code key="workspace" className="font-mono text-xs break-all">
              {gateway.workspaceRoot}
            </code>,
          ],
          [t.created, <Time key="created" at={gateway.createdAt} />],
        ]}
      />
    </Card>
  );
}

function Uses({ gatewayId }: { gatewayId: string }) {
  const boards = useQuery(boardsQuery).data?.filter((board) => board.gatewayId === gatewayId);
  const agents = useQuery(agentsQuery).data?.filter((agent) => agent.gatewayId === gatewayId);
  if (!boards || !agents) return <Skeleton lines={3} />;
  return (
    <Card title={t.uses} flush>
      {boards.length + agents.length === 0 ? (
        <p className="px-4 py-5 text-center text-sm text-muted">{t.usesNone}</p>
      ) : (
        <ul className="py-1.5">
          {agents
            .filter((agent) => !agent.boardId)
            .map((agent) => (
              <UseRow key={agent.id} to={`/agents/${agent.id}`} name={agent.name} status={agent.status} />
            ))}
          {boards.map((board) => (
            <li key={board.id}>
              <Link to={`/boards/${board.id}`} className="flex h-8 items-center px-4 font-medium hover:bg-hover">
                {board.name}
              </Link>
              <ul>
                {agents
                  .filter((agent) => agent.boardId === board.id)
                  .map((agent) => (
                    <UseRow key={agent.id} to={`/agents/${agent.id}`} name={agent.name} status={agent.status} inner />
                  ))}
              </ul>
            </li>
          ))}
        </ul>
      )}
    </Card>
  );
}

function UseRow({ to, name, status, inner }: { to: string; name: string; status: string; inner?: boolean }) {
  const { tone, label } = statusLooks(status);
  return (
    <li>
      <Link to={to} className={`flex h-8 items-center gap-2 pr-4 hover:bg-hover ${inner ? "pl-8" : "pl-4 font-medium"}`}>
        <span className="min-w-0 flex-1 truncate">{name}</span>
        <Dot tone={tone} />
        <span className="text-xs font-normal text-muted">{label}</span>
      </Link>
    </li>
  );
}

function Check({ gateway }: { gateway: GatewayType }) {
  const preflight = usePreflight();
  const look = () => {
    void preflight.walk({ gatewayId: gateway.id }).catch(() => undefined);
  };
  return (
    <Card
      title={p.preflight.title}
      actions={
        <Button size="sm" icon={PlugZap} busy={preflight.running} onClick={look}>
          {preflight.steps.length > 0 ? p.preflight.again : p.preflight.run}
        </Button>
      }
    >
      <p className="mb-3 text-xs text-muted">{p.preflight.lead}</p>
      <PreflightView preflight={preflight} onAgain={look} />
    </Card>
  );
}
