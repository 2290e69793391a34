import { useQuery } from "@tanstack/react-query";
import { ArrowDownRight, ArrowUpRight, ChevronDown, Layers, Plus, SquareKanban } from "lucide-react";
import { type ReactNode, useMemo } from "react";
import { Link } from "wouter";
import type { Board } from "@/gen/missioncontrol/board/v1/board_pb";
import type { DashboardMetrics } from "@/gen/missioncontrol/activity/v1/metrics_pb";
import { number } from "@/lib/format";
import { useIsAdmin } from "@/lib/me";
import { useSearchState } from "@/lib/search";
import { boardsQuery, groupsQuery } from "@/pages/boards/queries";
import { actorName, feedQuery, isHeartbeat, sentence } from "@/pages/activity/queries";
import { inboxQuery } from "@/pages/inbox/queries";
import { TaskBar, TaskCounts, taskCountsQuery } from "@/parts/task-counts";
import dashboard from "@/texts/en/dashboard";
import { texts } from "@/texts/catalogue";
import { Avatar, Badge } from "@/ui/badge";
import { LinkButton } from "@/ui/button";
import { Chart, Legend, type Series } from "@/ui/chart";
import { cx } from "@/ui/cx";
import { words } from "@/ui/json";
import { Card, Page } from "@/ui/page";
import { Picker } from "@/ui/picker";
import { Notice, QueryView, Skeleton } from "@/ui/states";
import { Segments } from "@/ui/tabs";
import { Time } from "@/ui/time";
import { aligned, change, hours, mean, metricsQuery, pointNames, type RangeKey, RANGES, signedPercent, total, values } from "./figures";
import { InboxKind } from "@/gen/missioncontrol/activity/v1/inbox_pb";

const t = texts("dashboard", dashboard);

/** How the work goes: figures, series, what needs me, what happened. */
export default function Dashboard() {
  const [params, set] = useSearchState();
  const range: RangeKey = (Object.keys(RANGES) as RangeKey[]).find((one) => one === params.get("range")) ?? "7d";
  const boardId = params.get("board") ?? "";
  const groupId = boardId ? "" : (params.get("group") ?? "");
  const metrics = useQuery({ ...metricsQuery(range, boardId, groupId), placeholderData: (before) => before });
  const boards = useQuery(boardsQuery);
  const groups = useQuery(groupsQuery);
  const admin = useIsAdmin();
  const group = groups.data?.find((one) => one.id === groupId);
  const board = boards.data?.find((one) => one.id === boardId);
  const within = boards.data?.filter((one) => !groupId || one.boardGroupId === groupId);
  const scope = board?.name ?? (group ? t.group(group.name) : t.everything);
  return (
    <Page
      wide
      title={t.dashboard}
      actions={
        <>
          <Picker
            label={t.scope}
            value={[boardId ? `board:${boardId}` : groupId ? `group:${groupId}` : ""]}
            choices={[
              { value: "", label: t.everything },
              ...(groups.data ?? []).map((one) => ({ value: `group:${one.id}`, label: one.name, note: t.groupNote, mark: <Layers size={14} aria-hidden className="text-subtle" /> })),
              ...(boards.data ?? []).map((one) => ({ value: `board:${one.id}`, label: one.name, note: t.boardNote, mark: <SquareKanban size={14} aria-hidden className="text-subtle" /> })),
            ]}
            onChange={([chosen = ""]) => {
              const [kind, id] = chosen.split(":");
              set({ board: kind === "board" ? (id ?? null) : null, group: kind === "group" ? (id ?? null) : null });
            }}
            align="end"
            className="inline-flex h-8 max-w-56 items-center gap-1.5 rounded-md border bg-surface px-2.5 text-sm shadow-card hover:bg-hover"
          >
            {group && !board ? <Layers size={14} aria-hidden className="shrink-0 text-subtle" /> : <SquareKanban size={14} aria-hidden className="shrink-0 text-subtle" />}
            <span className="truncate">{scope}</span>
            <ChevronDown size={14} aria-hidden className="shrink-0 text-subtle" />
          </Picker>
          <Segments label={t.range} value={range} onChange={(next) => set({ range: next === "7d" ? null : next })} options={(Object.keys(RANGES) as RangeKey[]).map((value) => ({ value, label: t.ranges[RANGES[value].text].short }))} />
        </>
      }
    >
      <div className="mx-auto max-w-[1400px] space-y-4">
        <QueryView query={metrics} skeleton={<Waiting />}>
          {(data) =>
            boards.data?.length === 0 ? (
              <Notice
                icon={SquareKanban}
                title={t.emptyTitle}
                action={
                  admin && (
                    <LinkButton variant="primary" icon={Plus} to="/boards?new=1">
                      {t.newBoard}
                    </LinkButton>
                  )
                }
              >
                {t.emptyBody}
              </Notice>
            ) : (
              <div className={cx("space-y-4 transition-opacity", metrics.isPlaceholderData && "opacity-60")} aria-busy={metrics.isPlaceholderData}>
                <Kpis metrics={data} range={range} />
                <Charts metrics={data} />
              </div>
            )
          }
        </QueryView>
        {!boardId && within && within.length > 0 && <ByBoard boards={within} onOpen={(id) => set({ board: id })} />}
        <div className="grid items-start gap-4 lg:grid-cols-2">
          <Needs boardId={boardId} boardIds={group && within?.map((one) => one.id)} />
          <Recent boardId={boardId} boardIds={group && within?.map((one) => one.id)} />
        </div>
      </div>
    </Page>
  );
}

function Waiting() {
  return (
    <div className="space-y-4">
      <div className="skeleton h-24" />
      <div className="grid gap-4 lg:grid-cols-2">
        {[0, 1, 2, 3].map((one) => (
          <div key={one} className="skeleton h-64" />
        ))}
      </div>
    </div>
  );
}

function Kpis({ metrics, range }: { metrics: DashboardMetrics; range: RangeKey }) {
  const { kpis, throughput, cycleTime } = metrics;
  const long = t.ranges[RANGES[range].text].long;
  const done = total(throughput?.primary);
  const cycle = kpis?.medianCycleTimeHours7d;
  return (
    <dl className="grid grid-cols-2 overflow-hidden rounded-lg border bg-surface shadow-card sm:grid-cols-4 xl:grid-cols-7 [&>div]:border-line-soft max-sm:[&>div]:border-b sm:max-xl:[&>div]:border-b">
      <Kpi name={t.kpis.done} value={number(done)} hint={t.kpis.doneIn(long)} delta={change(done, total(throughput?.comparison))} good="up" />
      <Kpi
        name={t.kpis.cycle}
        value={cycle === undefined ? "–" : hours(cycle)}
        hint={cycle === undefined ? t.kpis.cycleNone : t.kpis.cycleHint}
        delta={change(mean(cycleTime?.primary), mean(cycleTime?.comparison))}
        good="down"
      />
      <Kpi name={t.kpis.errors} value={number((kpis?.errorRatePct ?? 0) / 100, { style: "percent", maximumFractionDigits: 1 })} hint={t.kpis.errorsHint} />
      <Kpi name={t.kpis.waiting} value={number(kpis?.inboxTasks ?? 0)} hint={t.kpis.now} />
      <Kpi name={t.kpis.inProgress} value={number(kpis?.inProgressTasks ?? 0)} hint={t.kpis.now} />
      <Kpi name={t.kpis.review} value={number(kpis?.reviewTasks ?? 0)} hint={t.kpis.now} />
      <Kpi name={t.kpis.agents} value={number(kpis?.activeAgents ?? 0)} hint={t.kpis.agentsHint(long)} last />
    </dl>
  );
}

function Kpi({ name, value, hint, delta, good, last }: { name: string; value: string; hint: string; delta?: number; good?: "up" | "down"; last?: boolean }) {
  const up = delta !== undefined && delta >= 0.005;
  const flat = delta !== undefined && Math.abs(delta) < 0.005;
  const Icon = up ? ArrowUpRight : ArrowDownRight;
  return (
    <div className={cx("flex min-w-0 flex-col border-r px-4 py-3", last && "max-xl:col-span-2 xl:border-r-0!")}>
      <dt className="text-xs font-medium text-muted">{name}</dt>
      <dd className="mt-1">
        <span className="flex flex-wrap items-baseline gap-x-2">
          <span className="text-2xl font-semibold tracking-[-0.02em] tabular">{value}</span>
          {delta !== undefined && !flat && (
            <span title={t.versus(signedPercent(delta))} className={cx("inline-flex items-center text-xs font-medium", (good === "up") === up ? "text-ok-ink" : "text-bad-ink")}>
              <Icon size={13} aria-hidden />
              <span aria-hidden>{signedPercent(delta)}</span>
              <span className="sr-only">{t.versus(signedPercent(delta))}</span>
            </span>
          )}
        </span>
        <span className="block text-2xs text-subtle">{flat ? t.asBefore : hint}</span>
      </dd>
    </div>
  );
}

function Charts({ metrics }: { metrics: DashboardMetrics }) {
  const { throughput, cycleTime, errorRate, wip } = metrics;
  const series = useMemo(() => {
    const count = throughput?.primary?.points.length ?? 0;
    const versus = (other: (number | null)[]): Series => ({ name: t.series.before, values: aligned(other, count), tone: "neutral", kind: "dashes" });
    const points = wip?.primary?.points ?? [];
    return {
      throughput: [{ name: t.series.done, values: values(throughput?.primary), tone: "ok", kind: "bars" }, versus(values(throughput?.comparison))] satisfies Series[],
      cycle: [{ name: t.series.cycle, values: values(cycleTime?.primary, true), tone: "info", kind: "line" }, versus(values(cycleTime?.comparison, true))] satisfies Series[],
      errors: [{ name: t.series.errors, values: values(errorRate?.primary), tone: "bad", kind: "line" }, versus(values(errorRate?.comparison))] satisfies Series[],
      flow: [
        { name: t.series.done, values: points.map((point) => point.done), tone: "ok", kind: "bars" },
        { name: t.series.review, values: points.map((point) => point.review), tone: "violet", kind: "bars" },
        { name: t.series.inProgress, values: points.map((point) => point.inProgress), tone: "info", kind: "bars" },
        { name: t.series.inbox, values: points.map((point) => point.inbox), tone: "neutral", kind: "bars" },
      ] satisfies Series[],
    };
  }, [throughput, cycleTime, errorRate, wip]);
  if (!throughput?.primary || !cycleTime?.primary || !errorRate?.primary || !wip?.primary) return null;
  const percents = (value: number) => number(value / 100, { style: "percent", maximumFractionDigits: value > 0 && value < 10 ? 1 : 0 });
  return (
    <div className="grid gap-4 lg:grid-cols-2">
      <Figure title={t.throughput} series={series.throughput} nothing={t.nothing.throughput}>
        <Chart label={t.throughput} points={pointNames(throughput.primary)} series={series.throughput} format={number} whole />
      </Figure>
      <Figure title={t.cycle} series={series.cycle} nothing={t.nothing.cycle}>
        <Chart label={t.cycle} points={pointNames(cycleTime.primary)} series={series.cycle} format={(value) => number(value, { style: "unit", unit: "hour", unitDisplay: "narrow", maximumFractionDigits: value > 0 && value < 10 ? 1 : 0 })} />
      </Figure>
      <Figure title={t.flow} hint={t.flowHint} series={series.flow} nothing={t.nothing.flow}>
        <Chart label={t.flow} points={pointNames(wip.primary)} series={series.flow} format={number} whole />
      </Figure>
      <Figure title={t.errors} series={series.errors} nothing={t.nothing.errors}>
        <Chart label={t.errors} points={pointNames(errorRate.primary)} series={series.errors} format={percents} />
      </Figure>
    </div>
  );
}

function Figure({ title, hint, nothing, series, children }: { title: string; hint?: string; nothing: string; series: readonly Series[]; children: ReactNode }) {
  const empty = series.every((one) => one.values.every((value) => !value));
  return (
    <section className="min-w-0 rounded-lg border bg-surface p-4 shadow-card">
      <div className="mb-2 flex flex-wrap items-baseline justify-between gap-x-4 gap-y-1">
        <h2 className="text-sm font-semibold" title={hint}>
          {title}
        </h2>
        {!empty && <Legend series={series} />}
      </div>
      {empty ? <p className="flex h-[190px] items-center justify-center text-muted">{nothing}</p> : children}
    </section>
  );
}

const SHOWN = 6;

function Needs({ boardId, boardIds }: { boardId: string; boardIds?: readonly string[] }) {
  const inbox = useQuery(inboxQuery);
  const fits = (id: string | undefined) => (boardId ? id === boardId : !boardIds || (id !== undefined && boardIds.includes(id)));
  return (
    <Card
      title={t.needsYou}
      flush
      actions={
        (inbox.data?.total ?? 0) > 0 && (
          <Link to="/" className="rounded-sm text-xs font-medium text-info-ink hover:underline">
            {t.all(inbox.data?.total ?? 0)}
          </Link>
        )
      }
    >
      <QueryView query={inbox} skeleton={<Skeleton lines={4} className="p-4" />} isEmpty={(data) => !data.items.some((item) => fits(item.boardId))} empty={<p className="px-4 py-6 text-center text-muted">{t.needsNothing}</p>}>
        {(data) => (
          <ul className="divide-y divide-line-soft">
            {data.items
              .filter((item) => fits(item.boardId))
              .slice(0, SHOWN)
              .map((item) => (
                <li key={item.id}>
                  <Link to={item.kind === InboxKind.APPROVAL ? `/approvals?id=${item.approvalId}` : item.taskId ? `/boards/${item.boardId}/tasks/${item.taskId}` : "/"} className="flex items-baseline gap-3 px-4 py-2 hover:bg-hover">
                    <span className="min-w-0 flex-1">
                      <span className="block truncate font-medium">{item.kind === InboxKind.APPROVAL ? words(item.title) : item.title}</span>
                      <span className="block truncate text-xs text-muted">{item.reason}</span>
                    </span>
                    <Time at={item.since} className="shrink-0 text-xs text-subtle" />
                  </Link>
                </li>
              ))}
          </ul>
        )}
      </QueryView>
    </Card>
  );
}

/** One line for each board: where its tasks stand and what waits; a click goes down to it. */
function ByBoard({ boards, onOpen }: { boards: readonly Pick<Board, "id" | "name">[]; onOpen: (boardId: string) => void }) {
  const counts = useQuery(taskCountsQuery);
  const inbox = useQuery(inboxQuery).data;
  return (
    <Card title={t.boards} flush>
      <QueryView query={counts} skeleton={<Skeleton lines={3} className="p-4" />}>
        {(all) => (
          <ul className="divide-y divide-line-soft">
            {boards.map((board) => {
              const here = all.get(board.id);
              const waiting = inbox?.items.filter((item) => item.boardId === board.id).length ?? 0;
              return (
                <li key={board.id} className="relative flex flex-wrap items-center gap-x-4 gap-y-1 px-4 py-2 hover:bg-hover">
                  <button type="button" onClick={() => onOpen(board.id)} className="min-w-0 flex-1 basis-40 truncate text-left font-medium -outline-offset-2 before:absolute before:inset-0 hover:underline">
                    {board.name}
                  </button>
                  {waiting > 0 && <Badge tone="signal">{t.needs(waiting)}</Badge>}
                  {here && here.overdue > 0 && <Badge tone="bad">{t.late(here.overdue)}</Badge>}
                  {here && <TaskBar counts={here} className="w-40 max-sm:hidden" />}
                  {here && <TaskCounts counts={here} className="w-40 justify-end" />}
                  <Link to={`/boards/${board.id}`} aria-label={t.openNamed(board.name)} title={t.openNamed(board.name)} className="relative rounded-sm text-subtle hover:text-ink">
                    <ArrowUpRight size={15} aria-hidden />
                  </Link>
                </li>
              );
            })}
          </ul>
        )}
      </QueryView>
    </Card>
  );
}

function Recent({ boardId, boardIds }: { boardId: string; boardIds?: readonly string[] }) {
  // The feed knows boards, not groups: of a group's boards the latest are looked for among more.
  const feed = useQuery({ ...feedQuery({ boardId, limit: boardIds ? 50 : 12 }) });
  const here = (event: { boardId: string }) => !boardIds || boardIds.includes(event.boardId);
  return (
    <Card
      title={t.recent}
      flush
      actions={
        <Link to={boardId ? `/activity?board=${boardId}` : "/activity"} className="rounded-sm text-xs font-medium text-info-ink hover:underline">
          {t.allActivity}
        </Link>
      }
    >
      <QueryView query={feed} skeleton={<Skeleton lines={4} className="p-4" />} isEmpty={(all) => !all.some(here)} empty={<p className="px-4 py-6 text-center text-muted">{t.recentNone}</p>}>
        {(all) => (
          <ul className="divide-y divide-line-soft">
            {all
              .filter((event) => !isHeartbeat(event.type) && here(event))
              .slice(0, 8)
              .map((event) => (
                <li key={event.id} className="flex items-center gap-2.5 px-4 py-2">
                  <Avatar name={actorName(event.actor)} kind={event.actor.type === "user" ? "person" : "agent"} size={20} />
                  <span className="min-w-0 flex-1 truncate">
                    <span className="font-medium">{actorName(event.actor)}</span> <span className="text-muted">{sentence(event)}</span>
                  </span>
                  <Time at={new Date(event.at)} className="shrink-0 text-xs text-subtle" />
                </li>
              ))}
          </ul>
        )}
      </QueryView>
    </Card>
  );
}
