import { queryOptions, useQuery, useQueryClient } from "@tanstack/react-query";
import { Check, PartyPopper } from "lucide-react";
import { type ReactNode, useState } from "react";
import type { Agent } from "@/gen/missioncontrol/agent/v1/agent_pb";
import { type Board, BoardService, type Task, TaskService, TaskStatus } from "@/gen/missioncontrol/board/v1/board_pb";
import { GatewayService } from "@/gen/missioncontrol/gateway/v1/gateway_pb";
import { api } from "@/lib/api";
import { organizationsQuery, useIsAdmin } from "@/lib/me";
import { pathOf } from "@/lib/why";
import { agentsQuery } from "@/pages/agents/queries";
import { boardsQuery, gatewaysQuery } from "@/pages/boards/queries";
import { connectionsQuery } from "@/pages/gateways/queries";
import { phaseLooks } from "@/parts/gateway";
import { GatewayForm } from "@/parts/gateway-form";
import { Approve, PreflightView, usePreflight } from "@/parts/preflight";
import { ProvisioningView } from "@/parts/provisioning";
import parts from "@/texts/en/parts";
import start from "@/texts/en/start";
import { texts } from "@/texts/catalogue";
import { Badge } from "@/ui/badge";
import { Button, LinkButton } from "@/ui/button";
import { cx } from "@/ui/cx";
import { Page } from "@/ui/page";
import { Denied, Failure, Skeleton } from "@/ui/states";
import { toastError } from "@/ui/toast";
import { PlugZap } from "lucide-react";
import { AgentForm, BoardForm, OrganizationForm, TaskForm } from "./forms";
import { progressOf, type Progress, STEPS, type StepName } from "./progress";

const t = texts("start", start);
const p = texts("parts", parts);

/** A task of a board: the newest. */
const firstTaskQuery = (boardId: string) =>
  queryOptions({
    queryKey: ["first-task", boardId],
    queryFn: async ({ signal }) => (await api(TaskService).listTasks({ boardId, limit: 1 }, { signal })).items[0] ?? null,
  });

/** The way from nothing to an agent at work. */
export default function Start() {
  const admin = useIsAdmin();
  const organizations = useQuery(organizationsQuery);
  const gateways = useQuery(gatewaysQuery);
  const connections = useQuery(connectionsQuery);
  const boards = useQuery(boardsQuery);
  const agents = useQuery(agentsQuery);
  const ownBoard = agents.data?.find((agent) => agent.boardId)?.boardId ?? boards.data?.find((board) => board.gatewayId)?.id;
  const task = useQuery({ ...firstTaskQuery(ownBoard ?? ""), enabled: ownBoard !== undefined });
  const [named, setNamed] = useState(false);
  const [opened, setOpened] = useState<StepName>();

  const all = [organizations, gateways, connections, boards, agents];
  const broken = all.find((query) => query.error && query.data === undefined);
  let content: ReactNode;
  if (organizations.data && !admin) {
    content = <Denied refused={{ method: pathOf(GatewayService.method.createGateway) }} />;
  } else if (broken) {
    content = <Failure error={broken.error} retry={() => void broken.refetch()} />;
  } else if (all.some((query) => query.data === undefined) || (ownBoard !== undefined && task.data === undefined)) {
    content = <Skeleton lines={6} />;
  } else {
    const organization = organizations.data?.find((one) => one.isActive)?.name ?? "";
    const progress = progressOf({
      organization,
      unnamed: t.organization.personal,
      named,
      gateways: gateways.data ?? [],
      connections: connections.data ?? new Map(),
      boards: boards.data ?? [],
      agents: agents.data ?? [],
      task: task.data ?? undefined,
    });
    const now = opened ?? progress.now;
    content = (
      <div className="mx-auto max-w-4xl space-y-3">
        <p className="pb-2 text-sm text-muted">{t.lead}</p>
        <ol className="space-y-3">
          {STEPS.map((step, index) => {
            const state = step === now ? "now" : progress.done.has(step) ? "done" : "later";
            return (
              <StepCard key={step} number={index + 1} title={t.steps[step]} state={state} done={progress.done.has(step)} summary={summary(step, progress, organization, task.data ?? undefined)}>
                {step === "organization" && <OrganizationForm current={organization} onKeep={() => setNamed(true)} />}
                {step === "gateway" && <GatewayStep progress={progress} onClose={() => setOpened(undefined)} />}
                {step === "board" && <BoardStep progress={progress} />}
                {step === "agent" && progress.board && <AgentForm boardId={progress.board.id} />}
                {step === "task" && progress.board && <TaskForm boardId={progress.board.id} agent={progress.agent} />}
              </StepCard>
            );
          })}
        </ol>
        {progress.now === undefined && <AllDone board={progress.board} agent={progress.agent} />}
      </div>
    );
  }
  return <Page title={t.title}>{content}</Page>;
}

function summary(step: StepName, progress: Progress, organization: string, task: Task | undefined): ReactNode {
  switch (step) {
    case "organization":
      return t.organization.done(organization);
    case "gateway":
      return progress.gateway && t.gateway.done(progress.gateway.name, progress.connection?.version ?? "");
    case "board":
      return progress.board && t.board.done(progress.board.name);
    case "agent":
      return progress.agent && <AgentSummary agent={progress.agent} />;
    case "task":
      return task && <TaskSummary task={task} />;
  }
}

function StepCard({ number, title, state, done, summary: said, children }: { number: number; title: string; state: "done" | "now" | "later"; done: boolean; summary: ReactNode; children: ReactNode }) {
  return (
    <li aria-current={state === "now" ? "step" : undefined} className={cx("rounded-lg border", state === "now" ? "bg-surface shadow-card" : state === "done" ? "bg-surface" : "border-dashed")}>
      <div className="flex items-start gap-3 p-4">
        <span
          className={cx(
            "inline-flex size-6 shrink-0 items-center justify-center rounded-full text-xs font-semibold tabular",
            done ? "bg-ok-wash text-ok-ink" : state === "now" ? "bg-primary text-on-primary" : "border text-subtle",
          )}
        >
          {done ? <Check size={14} aria-hidden /> : number}
        </span>
        <div className="min-w-0 flex-1">
          <h2 className={cx("leading-6 font-semibold", state === "later" && "text-subtle")}>
            {title}
            <span className="sr-only">: {t.states[done ? "done" : state]}</span>
          </h2>
          {done && state !== "now" && <div className="text-sm text-muted">{said}</div>}
          {state === "now" && <div className="pt-2">{children}</div>}
        </div>
      </div>
    </li>
  );
}

function AllDone({ board, agent }: { board: Board | undefined; agent: Agent | undefined }) {
  return (
    <section className="flex flex-wrap items-center gap-x-4 gap-y-3 rounded-lg border border-transparent bg-ok-wash p-4 text-ok-ink" role="status">
      <PartyPopper size={20} aria-hidden className="shrink-0" />
      <div className="min-w-0 flex-1 basis-44">
        <p className="font-semibold">{t.doneTitle}</p>
        <p className="text-sm">{agent && !agent.lastSeenAt ? t.doneSoon(agent.name) : t.doneBody}</p>
      </div>
      <div className="flex flex-wrap gap-2">
        {board && (
          <LinkButton variant="primary" to={`/boards/${board.id}`}>
            {t.toBoard}
          </LinkButton>
        )}
        <LinkButton to="/">{t.toInbox}</LinkButton>
      </div>
    </section>
  );
}

function GatewayStep({ progress, onClose }: { progress: Progress; onClose: () => void }) {
  const queries = useQueryClient();
  const [form, setForm] = useState<"none" | "edit" | "add">("none");
  const { gateway, connection } = progress;
  const settle = () => {
    setForm("none");
    onClose();
    void queries.invalidateQueries({ queryKey: ["gateways"] });
  };
  if (!gateway || form !== "none") {
    return (
      <div className="space-y-4">
        <p className="text-sm text-muted">{t.gateway.lead}</p>
        <GatewayForm key={form} gateway={form === "edit" ? gateway : undefined} onDone={settle} />
        {gateway && (
          <Button variant="ghost" onClick={() => setForm("none")}>
            {t.back}
          </Button>
        )}
      </div>
    );
  }
  const { tone, label } = phaseLooks(connection?.phase);
  return (
    <div className="space-y-4">
      <p className="flex flex-wrap items-center gap-2 text-sm text-muted">
        <Badge tone={tone} dot>
          {label}
        </Badge>
        {t.gateway.waiting(gateway.name)}
      </p>
      {connection?.pairingRequestId ? (
        <Approve requestId={connection.pairingRequestId} />
      ) : (
        connection?.error && (
          <div className="space-y-1 rounded-md bg-bad-wash px-3 py-2 text-sm text-bad-ink">
            <p className="font-medium break-words">{connection.error}</p>
            {connection.remedy && <p className="text-xs break-words">{connection.remedy}</p>}
          </div>
        )
      )}
      <Look gatewayId={gateway.id} />
      <div className="flex flex-wrap gap-2">
        <Button onClick={() => setForm("edit")}>{t.gateway.settings}</Button>
        <Button variant="ghost" onClick={() => setForm("add")}>
          {t.gateway.other}
        </Button>
      </div>
    </div>
  );
}

/** The walk to a stored gateway, on request. */
function Look({ gatewayId }: { gatewayId: string }) {
  const preflight = usePreflight();
  const look = () => {
    void preflight.walk({ gatewayId }).catch(() => undefined);
  };
  return (
    <div className="space-y-3">
      <Button icon={PlugZap} busy={preflight.running} onClick={look}>
        {preflight.steps.length > 0 ? p.preflight.again : p.preflight.run}
      </Button>
      {(preflight.steps.length > 0 || preflight.running || preflight.broken !== null) && <PreflightView preflight={preflight} />}
    </div>
  );
}

function BoardStep({ progress }: { progress: Progress }) {
  const queries = useQueryClient();
  const [busy, setBusy] = useState(false);
  const { board, gateway } = progress;
  if (board && !board.gatewayId && gateway) {
    return (
      <div className="space-y-3">
        <p className="text-sm text-muted">{t.board.connectLead(board.name)}</p>
        <Button
          variant="primary"
          busy={busy}
          onClick={() => {
            setBusy(true);
            api(BoardService)
              .updateBoard({ boardId: board.id, gatewayId: gateway.id, updateMask: { paths: ["gateway_id"] } })
              .then(() => queries.invalidateQueries({ queryKey: ["boards"] }))
              .catch((error: unknown) => toastError(error, t.board.connectFailed))
              .finally(() => setBusy(false));
          }}
        >
          {t.board.connect(board.name)}
        </Button>
      </div>
    );
  }
  return <BoardForm gatewayId={gateway?.id} />;
}

function AgentSummary({ agent }: { agent: Agent }) {
  const there = agent.lastSeenAt !== undefined;
  return (
    <div className="space-y-3">
      <p>{there ? t.agent.done(agent.name) : t.agent.progress(agent.name)}</p>
      {!there && (
        <div className="max-w-xl rounded-md border bg-canvas p-3">
          <p className="mb-3 text-xs">{t.agent.progressLead}</p>
          <ProvisioningView agentId={agent.id} />
        </div>
      )}
    </div>
  );
}

const STATUS: Partial<Record<TaskStatus, string>> = {
  [TaskStatus.INBOX]: "inbox",
  [TaskStatus.IN_PROGRESS]: "in_progress",
  [TaskStatus.REVIEW]: "review",
  [TaskStatus.DONE]: "done",
};

function TaskSummary({ task }: { task: Task }) {
  const status = STATUS[task.status] ?? "inbox";
  return (
    <span className="flex flex-wrap items-center gap-2">
      {t.task.done(task.title)}
      <Badge tone={status === "done" ? "ok" : status === "review" ? "violet" : status === "in_progress" ? "info" : "neutral"}>{t.task.status[status]}</Badge>
    </span>
  );
}
