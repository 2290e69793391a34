import { useInfiniteQuery, useQuery } from "@tanstack/react-query";
import { Activity as ActivityIcon, ArrowUp } from "lucide-react";
import { useCallback, useEffect, useMemo, useRef, useState } from "react";
import { AgentService } from "@/gen/missioncontrol/agent/v1/agent_pb";
import { api } from "@/lib/api";
import { useHotkeys } from "@/lib/hotkeys";
import { readAll } from "@/lib/pages";
import { useRows } from "@/lib/rows";
import { useSearchState } from "@/lib/search";
import { boardsQuery } from "@/pages/boards/queries";
import activity from "@/texts/en/activity";
import ui from "@/texts/en/ui";
import { texts } from "@/texts/catalogue";
import { Button } from "@/ui/button";
import { Page } from "@/ui/page";
import { Notice, QueryView, Skeleton } from "@/ui/states";
import { EventSheet } from "./event-sheet";
import type { Filters } from "./feeds";
import { Filter, FilterBar, Toggle } from "./filters";
import { Day, days, EventRow, fold, KIND_CHOICES } from "./looks";
import { feedPages } from "./queries";

const t = texts("activity", activity);
const words = texts("ui", ui);

/** Agents by name, for the filter. */
const agentsQuery = { queryKey: ["agents", "names"], queryFn: ({ signal }: { signal: AbortSignal }) => readAll((limit, offset) => api(AgentService).listAgents({ limit, offset }, { signal })) };

/** One live stream of everything that happens. */
export default function Activity() {
  const [params, change] = useSearchState();
  const kinds = params.getAll("kind").join();
  const filters = useMemo<Filters>(
    () => ({ board: params.get("board") ?? "", agent: params.get("agent") ?? "", kinds: kinds ? kinds.split(",") : [], heartbeats: params.get("heartbeats") === "1" }),
    [params, kinds],
  );
  const feed = useInfiniteQuery(feedPages(filters));
  const boards = useQuery(boardsQuery);
  const agents = useQuery(agentsQuery);
  const boardNames = useMemo(() => new Map(boards.data?.map((board) => [board.id, board.name])), [boards.data]);
  const events = useMemo(() => {
    const found = new Map((feed.data?.pages ?? []).flatMap((page) => page.items).map((event) => [event.id, event]));
    return [...found.values()];
  }, [feed.data]);
  const ids = useMemo(() => fold(events).map(({ event }) => event.id), [events]);
  const { current, choose, step } = useRows(ids, "event-");
  const [opened, setOpened] = useState<string>();
  const shown = events.find((event) => event.id === opened);
  useHotkeys([
    { keys: "j", label: words.next, group: t.activity, run: () => step(1) },
    { keys: "k", label: words.previous, group: t.activity, run: () => step(-1) },
  ]);

  // Whoever reads further down is not moved by what is new: it is counted, and one press away.
  const scroller = useRef<HTMLDivElement>(null);
  const [mark, setMark] = useState<string>();
  const fresh = mark === undefined ? 0 : Math.max(0, ids.indexOf(mark));
  const scrolled = useCallback(() => {
    const down = (scroller.current?.scrollTop ?? 0) > 60;
    setMark((now) => (down ? (now ?? ids[0]) : undefined));
  }, [ids]);
  const more = useCallback(() => {
    if (feed.hasNextPage && !feed.isFetchingNextPage) void feed.fetchNextPage();
  }, [feed.hasNextPage, feed.isFetchingNextPage, feed.fetchNextPage]);
  const filtered = filters.board !== "" || filters.agent !== "" || filters.kinds.length > 0;
  return (
    <Page bare title={t.activity} lead={t.lead}>
      <div className="flex h-full min-h-0 flex-col">
        <FilterBar>
          <Filter
            label={t.board}
            none={t.allBoards}
            choices={[{ value: "", label: t.allBoards }, ...(boards.data ?? []).map((board) => ({ value: board.id, label: board.name }))]}
            value={[filters.board]}
            onChange={([id = ""]) => change({ board: id })}
          />
          <Filter
            label={t.agent}
            none={t.allAgents}
            choices={[{ value: "", label: t.allAgents }, ...(agents.data ?? []).map((agent) => ({ value: agent.id, label: agent.name, note: boardNames.get(agent.boardId ?? "") }))]}
            value={[filters.agent]}
            onChange={([id = ""]) => change({ agent: id })}
          />
          <Filter label={t.kinds} none={t.allKinds} choices={KIND_CHOICES} value={filters.kinds} multiple onChange={(next) => change({ kind: next.join() })} />
          <Toggle on={filters.heartbeats} onChange={(on) => change({ heartbeats: on ? "1" : null })}>
            {t.heartbeats}
          </Toggle>
          {filtered && (
            <Button size="sm" variant="ghost" onClick={() => change({ board: null, agent: null, kind: null })}>
              {t.clear}
            </Button>
          )}
        </FilterBar>
        <div ref={scroller} onScroll={scrolled} className="relative min-h-0 flex-1 overflow-y-auto" tabIndex={-1}>
          {fresh > 0 && (
            <div className="sticky top-2 z-20 flex h-0 justify-center">
              <Button size="sm" variant="primary" icon={ArrowUp} className="rounded-full" onClick={() => scroller.current?.scrollTo({ top: 0, behavior: "smooth" })}>
                {t.fresh(fresh)}
              </Button>
            </div>
          )}
          <QueryView
            query={{ ...feed, data: feed.data && events }}
            skeleton={<Skeleton lines={12} className="p-6" />}
            isEmpty={(all) => all.length === 0}
            empty={
              <Notice icon={ActivityIcon} title={filtered ? t.noneTitle : t.emptyTitle} className="py-24">
                {filtered ? t.noneBody : t.emptyBody}
              </Notice>
            }
          >
            {(all) => (
              <>
                {days(all).map(({ day, name, events: some }) => (
                  <section key={day}>
                    <Day name={name} />
                    <ul>
                      {fold(some).map(({ event, count }) => (
                        <li key={event.id}>
                          <EventRow
                            event={event}
                            count={count}
                            board={filters.board ? undefined : boardNames.get(event.boardId)}
                            current={event.id === current}
                            onOpen={() => {
                              choose(event.id);
                              setOpened(event.id);
                            }}
                          />
                        </li>
                      ))}
                    </ul>
                  </section>
                ))}
                <End more={feed.hasNextPage} busy={feed.isFetchingNextPage} onMore={more} />
              </>
            )}
          </QueryView>
        </div>
      </div>
      {shown && <EventSheet event={shown} board={boardNames.get(shown.boardId)} onClose={() => setOpened(undefined)} />}
    </Page>
  );
}

/** Reads on when it comes into sight; says where the beginning is. */
export function End({ more, busy, onMore }: { more: boolean; busy: boolean; onMore: () => void }) {
  const element = useRef<HTMLDivElement>(null);
  useEffect(() => {
    const target = element.current;
    if (!target || !more) return;
    const watcher = new IntersectionObserver((entries) => entries.some((entry) => entry.isIntersecting) && onMore(), { rootMargin: "600px" });
    watcher.observe(target);
    return () => watcher.disconnect();
  }, [more, onMore]);
  return (
    <div ref={element} className="p-4 text-center text-xs text-subtle">
      {more ? (
        <Button size="sm" busy={busy} onClick={onMore}>
          {words.showMore}
        </Button>
      ) : (
        t.end
      )}
    </div>
  );
}
