import { useQuery, useQueryClient } from "@tanstack/react-query";
import { Activity, BellRing, Pencil } from "lucide-react";
import { useMemo, useState } from "react";
import { Link, useLocation, useParams } from "wouter";
import type { Agent as AgentType } from "@/gen/missioncontrol/agent/v1/agent_pb";
import { TaskStatus } from "@/gen/missioncontrol/board/v1/board_pb";
import { useCommands } from "@/lib/commands";
import { useHotkeys } from "@/lib/hotkeys";
import { later } from "@/lib/later";
import { useLiveEvents } from "@/lib/live";
import { useSearchState } from "@/lib/search";
import { boardsQuery, gatewaysQuery } from "@/pages/boards/queries";
import { statusLooks } from "@/parts/gateway";
import { ProvisioningView } from "@/parts/provisioning";
import agents from "@/texts/en/agents";
import { texts } from "@/texts/catalogue";
import { Avatar, Badge, Dot, type Tone } from "@/ui/badge";
import { Button, LinkButton } from "@/ui/button";
import { Card, Facts, Page } from "@/ui/page";
import { Notice, QueryView, Skeleton } from "@/ui/states";
import { Tabs } from "@/ui/tabs";
import { Time } from "@/ui/time";
import { AgentMenu } from "./menu";
import { everyOf, profileOf } from "./profile";
import { agentQuery, agentTasksQuery } from "./queries";

const t = texts("agents", agents);
const Nudge = later(() => import("./nudge"));
const Files = later(async () => ({ default: (await import("./files")).StoredFiles }), () => <Skeleton />);
const Conversation = later(async () => ({ default: (await import("@/parts/conversation")).Conversation }));

/** One agent: how it is, what was written for it, what was said with it. */
export default function Agent() {
  const { agentId = "" } = useParams();
  const agent = useQuery(agentQuery(agentId));
  const [params, change] = useSearchState();
  const [nudging, setNudging] = useState(false);
  const [, go] = useLocation();
  const tab = (["files", "conversation"] as const).find((name) => name === params.get("tab")) ?? "overview";
  const data = agent.data;
  useHotkeys(data?.boardId ? [{ keys: "n", label: t.nudge, group: t.agent, run: () => setNudging(true) }, { keys: "e", label: t.editAgent, group: t.agent, run: () => go(`/agents/${agentId}/edit`) }] : []);
  useCommands(
    useMemo(
      () =>
        data
          ? [
              ...(data.boardId ? [{ id: "nudge-agent", label: t.nudgeTitle(data.name), group: t.agent, icon: BellRing, hint: "N", run: () => setNudging(true) }] : []),
              { id: "edit-agent", label: t.editAgent, group: t.agent, icon: Pencil, hint: "E", to: `/agents/${data.id}/edit` },
            ]
          : [],
      [data],
    ),
  );
  const { tone, label } = statusLooks(data?.status ?? "");
  return (
    <Page
      title={data?.name ?? t.agent}
      above={[{ label: t.agents, to: "/agents" }]}
      lead={data && (profileOf(data).role || (data.isGatewayMain ? t.mainHint : undefined))}
      actions={
        data && (
          <>
            <Badge tone={tone} dot>
              {label}
            </Badge>
            {data.boardId && (
              <Button icon={BellRing} onClick={() => setNudging(true)}>
                {t.nudge}
              </Button>
            )}
            <LinkButton icon={Pencil} to={`/agents/${data.id}/edit`}>
              {t.edit}
            </LinkButton>
            <AgentMenu agent={data} here onGone={() => go("/agents")} />
          </>
        )
      }
    >
      <QueryView query={agent}>
        {(found) => (
          <Tabs
            label={found.name}
            value={tab}
            onChange={(value) => change({ tab: value === "overview" ? null : value })}
            tabs={[
              { value: "overview", label: t.overview },
              { value: "files", label: t.files },
              { value: "conversation", label: t.conversation },
            ]}
            panelClassName="pt-5"
          >
            {tab === "overview" && <Overview agent={found} />}
            {tab === "files" && <Files agent={found} />}
            {tab === "conversation" && <Said agent={found} />}
          </Tabs>
        )}
      </QueryView>
      {nudging && data && <Nudge agent={data} onClose={() => setNudging(false)} />}
    </Page>
  );
}

function Overview({ agent }: { agent: AgentType }) {
  const board = useQuery(boardsQuery).data?.find((one) => one.id === agent.boardId);
  const gateway = useQuery(gatewaysQuery).data?.find((one) => one.id === agent.gatewayId);
  const { tone, label, alive } = statusLooks(agent.status);
  const profile = profileOf(agent);
  return (
    <div className="grid items-start gap-5 lg:grid-cols-2">
      <div className="space-y-5">
        <Card>
          <div className="flex items-start gap-3">
            <Avatar name={agent.name} kind="agent" size={40} />
            <div className="min-w-0 flex-1">
              <p className="flex flex-wrap items-center gap-2 font-medium">
                <Dot tone={tone} alive={alive} />
                {label}
                {agent.isBoardLead && <Badge tone="signal">{t.lead}</Badge>}
                {agent.isGatewayMain && <Badge>{t.main}</Badge>}
              </p>
              {agent.statusReason && <p className="mt-0.5 text-sm text-muted">{agent.statusReason}</p>}
            </div>
          </div>
        </Card>
        <Card title={t.facts}>
          <Facts
            items={[
              [
                t.board,
                agent.boardId ? (
                  <Link key="board" to={`/boards/${agent.boardId}`} className="rounded-sm font-medium hover:underline">
                    {board?.name ?? "…"}
                  </Link>
                ) : (
                  t.noBoard
                ),
              ],
              [
                t.gateway,
                <Link key="gateway" to={`/gateways/${agent.gatewayId}`} className="rounded-sm font-medium hover:underline">
                  {gateway?.name ?? "…"}
                </Link>,
              ],
              [t.seen, agent.lastSeenAt ? <Time key="seen" at={agent.lastSeenAt} /> : t.never],
              ...(agent.offlineAt && agent.status !== "offline" ? [[t.offlineAt, <Time key="offline" at={agent.offlineAt} />] as const] : []),
              [t.every, everyOf(agent)],
              ...(profile.purpose ? [[t.form.purpose, profile.purpose] as const] : []),
              ...(profile.style ? [[t.form.style, profile.style] as const] : []),
              [t.created, <Time key="created" at={agent.createdAt} />],
              [t.changed, <Time key="changed" at={agent.updatedAt} />],
            ]}
          />
        </Card>
      </div>
      <div className="space-y-5">
        <Card title={t.provisioning}>
          <ProvisioningView agentId={agent.id} />
        </Card>
        {agent.boardId && <Work boardId={agent.boardId} agentId={agent.id} />}
      </div>
    </div>
  );
}

const ORDER = [TaskStatus.IN_PROGRESS, TaskStatus.REVIEW, TaskStatus.INBOX, TaskStatus.DONE];
const TASK_LOOKS: Partial<Record<TaskStatus, { tone: Tone; label: string }>> = {
  [TaskStatus.INBOX]: { tone: "neutral", label: t.taskStatus.inbox },
  [TaskStatus.IN_PROGRESS]: { tone: "info", label: t.taskStatus.in_progress },
  [TaskStatus.REVIEW]: { tone: "violet", label: t.taskStatus.review },
  [TaskStatus.DONE]: { tone: "ok", label: t.taskStatus.done },
};

/** What it works on, what waits for it, what it did last. */
function Work({ boardId, agentId }: { boardId: string; agentId: string }) {
  const tasks = useQuery(agentTasksQuery(boardId, agentId));
  return (
    <Card
      title={t.tasks}
      flush
      actions={
        <LinkButton size="sm" variant="ghost" icon={Activity} to={`/activity?agent=${agentId}`}>
          {t.activity}
        </LinkButton>
      }
    >
      <QueryView query={tasks} skeleton={<div className="p-4"><Skeleton lines={3} /></div>} isEmpty={(all) => all.length === 0} empty={<p className="px-4 py-5 text-center text-sm text-muted">{t.tasksNone}</p>}>
        {(all) => (
          <ul className="py-1.5">
            {all
              .toSorted((a, b) => ORDER.indexOf(a.status) - ORDER.indexOf(b.status))
              .slice(0, 8)
              .map((task) => (
                <li key={task.id}>
                  <Link to={`/boards/${boardId}/tasks/${task.id}`} className="flex h-8 items-center gap-2.5 px-4 -outline-offset-2 hover:bg-hover">
                    <Dot tone={TASK_LOOKS[task.status]?.tone} />
                    <span className="min-w-0 flex-1 truncate">{task.title}</span>
                    <span className="text-xs text-muted">{TASK_LOOKS[task.status]?.label}</span>
                  </Link>
                </li>
              ))}
          </ul>
        )}
      </QueryView>
    </Card>
  );
}

function Said({ agent }: { agent: AgentType }) {
  const queries = useQueryClient();
  // What is said is not in the log of changes; what the agent does is, and then there is something new.
  useLiveEvents(
    ["agent.", "task."],
    useMemo(
      () => (event) => {
        if (event.agentId === agent.id || event.actor.id === agent.id) void queries.invalidateQueries({ queryKey: ["history", agent.openclawSessionId] });
      },
      [agent.id, agent.openclawSessionId, queries],
    ),
  );
  if (!agent.openclawSessionId) {
    return (
      <Card flush>
        <Notice title={t.noConversation}>{t.noConversationBody}</Notice>
      </Card>
    );
  }
  return (
    <Card flush>
      <Conversation at={agent.boardId ? { boardId: agent.boardId } : { gatewayId: agent.gatewayId }} sessionKey={agent.openclawSessionId} name={agent.name} className="h-[calc(100dvh-240px)] min-h-96" />
    </Card>
  );
}
