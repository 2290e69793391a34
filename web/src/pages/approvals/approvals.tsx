import { useInfiniteQuery, useQuery } from "@tanstack/react-query";
import { ChevronDown, ShieldCheck, SquareKanban } from "lucide-react";
import { useCallback, useMemo, useState } from "react";
import { type Approval, ApprovalSchema, ApprovalStatus } from "@/gen/missioncontrol/approval/v1/approval_pb";
import { useHotkeys } from "@/lib/hotkeys";
import { type LiveEvent, useLiveEvents } from "@/lib/live";
import { meQuery, useWritable } from "@/lib/me";
import { fromRest } from "@/lib/rest";
import { useRows } from "@/lib/rows";
import { useSearchState } from "@/lib/search";
import { boardsQuery } from "@/pages/boards/queries";
import approvals from "@/texts/en/approvals";
import ui from "@/texts/en/ui";
import { texts } from "@/texts/catalogue";
import { Key } from "@/ui/badge";
import { Button } from "@/ui/button";
import { cx } from "@/ui/cx";
import { Page } from "@/ui/page";
import { Picker } from "@/ui/picker";
import { Notice, QueryView } from "@/ui/states";
import { Segments } from "@/ui/tabs";
import { useLocation } from "wouter";
import { Detail } from "./detail";
import { Rows } from "./rows";
import { approve, approveWithNote, decideMany, historyQuery, pendingQuery, reject, type View, VIEWS } from "./queries";

const t = texts("approvals", approvals);
const words = texts("ui", ui);
const none: readonly Approval[] = [];
const CHANGES = ["approval."];

/** The queue of all boards, and one approval with all that helps to decide. */
export default function Approvals() {
  const [params, change] = useSearchState();
  const [, go] = useLocation();
  const view = VIEWS.find((one) => one === params.get("view")) ?? "pending";
  const boardId = params.get("board") ?? "";
  const wanted = params.get("id") ?? undefined;
  const boards = useQuery(boardsQuery);
  const pending = useQuery(pendingQuery(boardId));
  const history = useInfiniteQuery({ ...historyQuery(view, boardId), enabled: view !== "pending" });
  const read = useMemo(() => {
    const found = new Map<string, Approval>();
    for (const page of history.data?.pages ?? []) for (const approval of page.items) found.set(approval.id, approval);
    return [...found.values()];
  }, [history.data]);
  const { data: me } = useQuery(meQuery);
  // The oldest question first: who asked waits longest for it. One's own come last: others decide about them.
  const waiting = useMemo(() => {
    const all = pending.data?.toReversed() ?? none;
    const own = (approval: Approval) => me !== undefined && approval.requestedByUserId === me.id;
    return [...all.filter((approval) => !own(approval)), ...all.filter(own)];
  }, [pending.data, me]);
  const list = view === "pending" ? waiting : read;
  const ids = useMemo(() => list.map((approval) => approval.id), [list]);
  const rows = useRows(ids, "approval-");
  const writable = useWritable();
  // What this person can decide: pending, on a board that is theirs to change.
  const decidable = useMemo(() => list.filter((one) => one.status === ApprovalStatus.PENDING && writable(one.boardId)).map((one) => one.id), [list, writable]);
  const [selected, setSelected] = useState<readonly string[]>([]);
  const chosen = list.filter((approval) => selected.includes(approval.id));

  // What is looked at stays in sight when somebody else decides it, with who did.
  const [held, setHeld] = useState<Approval>();
  const follow = useCallback((event: LiveEvent) => {
    const after = fromRest(ApprovalSchema, event.after);
    setHeld((now) => (now && after.id === now.id ? { ...after, boardName: now.boardName, resolvedByName: after.resolvedByName || event.actor.name } : now));
  }, []);
  useLiveEvents(CHANGES, follow);
  const linked = wanted !== undefined && !ids.includes(wanted);
  const wide = useQuery({ ...pendingQuery(""), enabled: linked });
  const everything = useInfiniteQuery({ ...historyQuery("all", ""), enabled: linked });
  const elsewhere = linked ? (wide.data?.find((one) => one.id === wanted) ?? everything.data?.pages.flatMap((page) => page.items).find((one) => one.id === wanted)) : undefined;
  const opened = wanted !== undefined && !linked ? list.find((one) => one.id === wanted) : elsewhere;
  const first = list.find((one) => one.id === rows.current) ?? list[0];
  const shown = opened ?? (wanted !== undefined && held?.id === wanted ? held : wanted === undefined ? first : undefined);

  const open = useCallback(
    (approval: Approval | undefined) => {
      setHeld(approval);
      rows.choose(approval?.id);
      change({ id: approval?.id ?? null });
    },
    [rows.choose, change],
  );
  const step = (by: number) => {
    const at = ids.indexOf(wanted ?? rows.current ?? "");
    const next = list[Math.max(0, Math.min(list.length - 1, at < 0 ? (by > 0 ? 0 : list.length - 1) : at + by))];
    if (!next) return;
    open(next);
    document.getElementById(`approval-${next.id}`)?.scrollIntoView({ block: "nearest" });
  };
  // After a decision the next one that waits is there, on wide screens without a word.
  const decided = async (act: (approval: Approval) => Promise<boolean>, approval: Approval | undefined) => {
    if (!approval || approval.status !== ApprovalStatus.PENDING || !writable(approval.boardId)) return;
    const at = ids.indexOf(approval.id);
    const next = list[at + 1] ?? list[at - 1];
    if (!(await act(approval))) return;
    setSelected((all) => all.filter((id) => id !== approval.id));
    if (view === "pending") open(next);
  };
  const many = async (yes: boolean) => {
    if (await decideMany(chosen.filter((one) => one.status === ApprovalStatus.PENDING), yes)) setSelected([]);
  };
  const toggle = (id: string | undefined) => {
    if (id !== undefined && decidable.includes(id)) setSelected((all) => (all.includes(id) ? all.filter((one) => one !== id) : [...all, id]));
  };

  useHotkeys([
    { keys: "j", label: t.keys.next, group: t.keys.group, run: () => step(1) },
    { keys: "k", label: t.keys.previous, group: t.keys.group, run: () => step(-1) },
    { keys: "a", label: t.keys.approve, group: t.keys.group, run: () => (chosen.length > 0 ? void many(true) : void decided(approve, shown)) },
    { keys: "r", label: t.keys.reject, group: t.keys.group, run: () => (chosen.length > 0 ? void many(false) : void decided(reject, shown)) },
    { keys: "n", label: t.keys.note, group: t.keys.group, run: () => void decided(approveWithNote, shown) },
    { keys: "x", label: t.keys.select, group: t.keys.group, run: () => toggle(shown?.id) },
    { keys: "b", label: t.keys.board, group: t.keys.group, run: () => shown && go(`/boards/${shown.boardId}`) },
  ]);

  const board = boards.data?.find((one) => one.id === boardId);
  const choose = (next: View) => {
    setSelected([]);
    setHeld(undefined);
    change({ view: next === "pending" ? null : next, id: null });
  };
  const query = view === "pending" ? { ...pending, data: pending.data && waiting } : { ...history, data: history.data && read };
  return (
    <Page
      bare
      wide
      title={t.approvals}
      lead={pending.data && (pending.data.length > 0 ? t.lead(pending.data.length) : t.none)}
      actions={
        <>
          <Picker
            label={t.filterBoard}
            choices={[{ value: "", label: t.allBoards }, ...(boards.data ?? []).map((one) => ({ value: one.id, label: one.name }))]}
            value={[boardId]}
            onChange={([id = ""]) => change({ board: id || null, id: null })}
            align="end"
            className="inline-flex h-8 max-w-48 items-center gap-1.5 rounded-md border bg-surface px-2.5 text-sm shadow-card hover:bg-hover"
          >
            <SquareKanban size={14} aria-hidden className="shrink-0 text-subtle" />
            <span className="truncate">{board?.name ?? t.allBoards}</span>
            <ChevronDown size={14} aria-hidden className="shrink-0 text-subtle" />
          </Picker>
          <Segments label={t.view} value={view} onChange={choose} options={VIEWS.map((value) => ({ value, label: t.views[value] }))} />
        </>
      }
    >
      <div className="flex h-full min-h-0">
        <div className={cx("flex min-h-0 w-full flex-col border-r lg:w-[400px] lg:shrink-0", wanted !== undefined && "max-lg:hidden")}>
          {chosen.length > 0 ? (
            <Bulk count={chosen.length} onApprove={() => void many(true)} onReject={() => void many(false)} onClear={() => setSelected([])} />
          ) : (
            <p className="hidden h-10 shrink-0 items-center gap-1 border-b px-4 text-xs text-subtle lg:flex">
              <Key>J</Key>
              <Key>K</Key>
              <span className="mr-3">{t.hint}</span>
              {decidable.length > 0 && (
                <>
                  <Key>A</Key>
                  <span className="mr-3">{t.approve}</span>
                  <Key>R</Key>
                  <span>{t.reject}</span>
                </>
              )}
            </p>
          )}
          <div className="min-h-0 flex-1 overflow-y-auto" tabIndex={-1}>
            <QueryView
              query={query}
              isEmpty={(all) => all.length === 0}
              empty={
                view === "pending" || view === "all" ? (
                  <Notice icon={ShieldCheck} title={t.emptyTitle}>
                    {t.emptyBody}
                  </Notice>
                ) : (
                  <Notice icon={ShieldCheck} title={t.emptyDecided}>
                    {t.emptyDecidedBody}
                  </Notice>
                )
              }
            >
              {(all) => (
                <>
                  <Rows approvals={all} current={shown?.id} decidable={decidable} selected={selected} onOpen={open} onSelect={toggle} onSelectAll={view === "pending" && decidable.length > 1 ? () => setSelected(selected.length === decidable.length ? [] : decidable) : undefined} />
                  {view !== "pending" && history.hasNextPage && (
                    <div className="p-3 text-center">
                      <Button size="sm" busy={history.isFetchingNextPage} onClick={() => void history.fetchNextPage()}>
                        {words.showMore}
                      </Button>
                    </div>
                  )}
                </>
              )}
            </QueryView>
          </div>
        </div>
        <div className={cx("min-h-0 min-w-0 flex-1", wanted === undefined && "max-lg:hidden")}>
          {shown ? (
            <Detail
              key={shown.id}
              approval={shown}
              onBack={() => open(undefined)}
              onApprove={() => void decided(approve, shown)}
              onNote={() => void decided(approveWithNote, shown)}
              onReject={() => void decided(reject, shown)}
            />
          ) : wanted !== undefined && !pending.isPending && !wide.isFetching && !everything.isFetching ? (
            <Notice
              icon={ShieldCheck}
              title={t.missing}
              action={
                <Button className="lg:hidden" onClick={() => open(undefined)}>
                  {t.back}
                </Button>
              }
            >
              {t.missingBody}
            </Notice>
          ) : (
            list.length > 0 && (
              <Notice icon={ShieldCheck} title={t.choose}>
                {t.chooseBody}
              </Notice>
            )
          )}
        </div>
      </div>
    </Page>
  );
}

function Bulk({ count, onApprove, onReject, onClear }: { count: number; onApprove: () => void; onReject: () => void; onClear: () => void }) {
  return (
    <div role="region" aria-label={words.selected(count)} className="flex h-10 shrink-0 items-center gap-2 border-b bg-info-wash px-3 animate-[fade_120ms_ease-out]">
      <Button size="sm" variant="primary" onClick={onApprove}>
        {t.approveMany(count)}
      </Button>
      <Button size="sm" onClick={onReject}>
        {t.rejectMany(count)}
      </Button>
      <Button size="sm" variant="ghost" className="ml-auto" onClick={onClear}>
        {t.clear}
      </Button>
    </div>
  );
}
