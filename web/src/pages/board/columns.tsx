import { useVirtualizer } from "@tanstack/react-virtual";
import { ChevronsLeft, ChevronsRight, Plus } from "lucide-react";
import { type KeyboardEvent, memo, type MouseEvent, startTransition, useCallback, useEffect, useRef, useState } from "react";
import { TaskStatus } from "@/gen/missioncontrol/board/v1/board_pb";
import type { TaskCard } from "@/gen/missioncontrol/board/v1/snapshot_pb";
import { number } from "@/lib/format";
import { kept } from "@/lib/store";
import board from "@/texts/en/board";
import { texts } from "@/texts/catalogue";
import { IconButton } from "@/ui/button";
import { cx } from "@/ui/cx";
import { Card } from "./card";
import { type BoardData, blockers } from "./data";
import { useCardDrag } from "./drag";
import { STATUS_WORDS } from "./filters";
import { StatusIcon } from "./marks";

const t = texts("board", board);
/** Cards drawn beyond what is seen: few at first, so that the board is there sooner, and more for scrolling, after so many milliseconds. */
const [BEYOND_AT_FIRST, BEYOND, SETTLED] = [2, 6, 1000];
/** Beyond this many the finished ones begin folded. */
const MANY_DONE = 200;

interface Column {
  status: TaskStatus;
  tasks: TaskCard[];
  total: number;
}

/** The columns of a board: each scrolls by itself and renders only what is seen. */
export function Columns({
  boardId,
  data,
  columns,
  filtered,
  openTask,
  onOpen,
  onMove,
  onAdd,
  readOnly,
}: {
  boardId: string;
  data: BoardData;
  columns: readonly Column[];
  filtered: boolean;
  openTask: string | undefined;
  onOpen: (taskId: string) => void;
  onMove: (taskId: string, status: TaskStatus) => Promise<boolean>;
  onAdd: (status: TaskStatus) => void;
  readOnly: boolean;
}) {
  const root = useRef<HTMLDivElement>(null);
  const [folded, setFolded] = useState<ReadonlySet<string>>(() => {
    const saved = kept.get("columns");
    if (saved !== null) return new Set(saved.split(",").filter(Boolean));
    return new Set((columns.find((column) => column.status === TaskStatus.DONE)?.total ?? 0) > MANY_DONE ? ["done"] : []);
  });
  const fold = (word: string) => {
    const next = new Set(folded);
    if (!next.delete(word)) next.add(word);
    kept.set("columns", [...next].join(","));
    setFolded(next);
  };
  const [active, setActive] = useState<string>();
  const [said, setSaid] = useState("");
  const focusOn = useRef<string | null>(null);

  const move = useCallback(
    (taskId: string, word: string) => {
      const column = columns.find((one) => STATUS_WORDS[one.status] === word);
      if (column && !readOnly) void onMove(taskId, column.status);
    },
    [columns, onMove, readOnly],
  );
  useCardDrag(root, root, readOnly ? undefined : move);

  // The focus follows a card that keys moved, once it is drawn in its new place.
  useEffect(() => {
    const id = focusOn.current;
    if (!id) return;
    const card = root.current?.querySelector<HTMLElement>(`[data-task="${id}"]`);
    if (card && document.activeElement !== card) {
      card.focus();
      focusOn.current = null;
    }
  });

  const goTo = (id: string | undefined) => {
    if (!id) return;
    focusOn.current = id;
    setActive(id);
    root.current?.dispatchEvent(new CustomEvent("reveal", { detail: id }));
  };

  const keys = (event: KeyboardEvent) => {
    const id = (event.target as HTMLElement).closest<HTMLElement>("[data-task]")?.dataset["task"];
    if (!id || event.ctrlKey || event.metaKey || event.altKey) return;
    const open = columns.filter((column) => !folded.has(STATUS_WORDS[column.status]));
    const x = open.findIndex((column) => column.tasks.some((task) => task.id === id));
    const column = open[x];
    if (!column) return;
    const y = column.tasks.findIndex((task) => task.id === id);
    const sideways = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    const down = { ArrowDown: 1, ArrowUp: -1, j: 1, k: -1 }[event.key];
    if (sideways !== undefined && event.shiftKey) {
      const at = columns.findIndex((one) => one.status === column.status);
      const next = columns[at + sideways];
      const title = data.tasks.get(id)?.title ?? "";
      if (next && !readOnly) {
        focusOn.current = id;
        void onMove(id, next.status).then((moved) => {
          focusOn.current = id;
          setActive(id);
          setSaid(moved ? t.moved(title, t.status[STATUS_WORDS[next.status]]) : t.notMoved(title, t.status[STATUS_WORDS[next.status]]));
          root.current?.dispatchEvent(new CustomEvent("reveal", { detail: id }));
        });
      }
    } else if (sideways !== undefined) {
      for (let next = x + sideways; next >= 0 && next < open.length; next += sideways) {
        const tasks = open[next]?.tasks ?? [];
        if (tasks.length === 0) continue;
        goTo(tasks[Math.min(y, tasks.length - 1)]?.id);
        break;
      }
    } else if (down !== undefined) goTo(column.tasks[y + down]?.id);
    else if (event.key === "Home") goTo(column.tasks[0]?.id);
    else if (event.key === "End") goTo(column.tasks.at(-1)?.id);
    else return;
    event.preventDefault();
  };
  const click = (event: MouseEvent) => {
    const id = (event.target as HTMLElement).closest<HTMLElement>("[data-task]")?.dataset["task"];
    if (!id || event.ctrlKey || event.metaKey || event.shiftKey || event.button !== 0) return;
    event.preventDefault();
    setActive(id);
    onOpen(id);
  };
  const entry = active !== undefined && columns.some((column) => column.tasks.some((task) => task.id === active)) ? active : columns.find((column) => column.tasks.length > 0 && !folded.has(STATUS_WORDS[column.status]))?.tasks[0]?.id;

  return (
    <div
      ref={root}
      onKeyDown={keys}
      onClick={click}
      className="relative flex h-full gap-3 overflow-x-auto overflow-y-hidden px-4 pt-3 pb-3 max-md:snap-x max-md:scroll-px-4 max-md:snap-mandatory sm:px-6"
    >
      <p id="board-keys" className="sr-only">
        {t.dragHint}
      </p>
      <p role="status" className="sr-only">
        {said}
      </p>
      {columns.map((column) => (
        <ColumnView
          key={column.status}
          boardId={boardId}
          column={column}
          data={data}
          folded={folded.has(STATUS_WORDS[column.status])}
          onFold={fold}
          filtered={filtered}
          entry={entry}
          openTask={openTask}
          onAdd={readOnly ? undefined : onAdd}
          root={root}
        />
      ))}
    </div>
  );
}

const ColumnView = memo(function ColumnView({
  boardId,
  column,
  data,
  folded,
  onFold,
  filtered,
  entry,
  openTask,
  onAdd,
  root,
}: {
  boardId: string;
  column: Column;
  data: BoardData;
  folded: boolean;
  onFold: (word: string) => void;
  filtered: boolean;
  entry: string | undefined;
  openTask: string | undefined;
  onAdd: ((status: TaskStatus) => void) | undefined;
  root: React.RefObject<HTMLDivElement | null>;
}) {
  const { status, tasks, total } = column;
  const word = STATUS_WORDS[status];
  const name = t.status[word];
  const scroller = useRef<HTMLDivElement>(null);
  const [beyond, setBeyond] = useState(BEYOND_AT_FIRST);
  useEffect(() => {
    const timer = setTimeout(() => startTransition(() => setBeyond(BEYOND)), SETTLED);
    return () => clearTimeout(timer);
  }, []);
  const rows = useVirtualizer({
    count: folded ? 0 : tasks.length,
    getScrollElement: () => scroller.current,
    estimateSize: () => 84,
    getItemKey: (index) => tasks[index]?.id ?? index,
    // Cards are drawn at once, before the column has been measured.
    initialRect: { width: 260, height: innerHeight - 200 },
    gap: 8,
    paddingStart: 4,
    paddingEnd: 12,
    overscan: beyond,
  });
  useEffect(() => {
    const element = root.current;
    const reveal = (event: Event) => {
      const index = tasks.findIndex((task) => task.id === (event as CustomEvent<string>).detail);
      if (index >= 0) rows.scrollToIndex(index, { align: "auto" });
    };
    element?.addEventListener("reveal", reveal);
    return () => element?.removeEventListener("reveal", reveal);
  }, [root, rows, tasks]);

  const count = filtered && tasks.length !== total ? `${number(tasks.length)}/${number(total)}` : number(total);
  if (folded) {
    return (
      <section aria-label={`${name}, ${t.tasks(total)}`} data-column={word} className="flex w-11 shrink-0 snap-start flex-col items-center rounded-xl border border-line-soft bg-sunken/70 py-2 data-over:border-focus data-over:bg-info-wash">
        <IconButton icon={ChevronsRight} label={t.expand(name)} size="sm" onClick={() => onFold(word)} />
        <span className="mt-2 flex items-center gap-2 text-xs font-semibold [writing-mode:vertical-rl]">
          <StatusIcon status={status} />
          {name}
          <span className="font-normal text-subtle tabular">{count}</span>
        </span>
      </section>
    );
  }
  return (
    <section
      aria-labelledby={`column-${word}`}
      data-column={word}
      className="group/column flex min-w-[220px] flex-1 basis-0 snap-start flex-col rounded-xl border border-line-soft bg-sunken/70 data-over:border-focus data-over:bg-info-wash max-md:min-w-[84vw]"
    >
      <header className="flex h-10 shrink-0 items-center gap-2 pr-1.5 pl-3">
        <StatusIcon status={status} />
        <h2 id={`column-${word}`} className="text-xs font-semibold">
          {name}
        </h2>
        <span className="text-xs text-subtle tabular" title={t.tasks(total)}>
          {count}
        </span>
        <span className="flex-1" />
        {onAdd && <IconButton icon={Plus} label={t.addTo(name)} size="sm" onClick={() => onAdd(status)} />}
        <IconButton icon={ChevronsLeft} label={t.collapse(name)} size="sm" onClick={() => onFold(word)} className="max-md:hidden" />
      </header>
      <div ref={scroller} className="min-h-0 flex-1 overflow-y-auto px-2" tabIndex={tasks.length === 0 ? undefined : -1}>
        {tasks.length === 0 ? (
          <p className="px-3 py-6 text-center text-xs text-muted">{filtered && total > 0 ? t.columnFiltered : t.columnEmpty[word]}</p>
        ) : (
          <ul aria-describedby="board-keys" className="relative" style={{ height: rows.getTotalSize() }}>
            {rows.getVirtualItems().map((row) => {
              const task = tasks[row.index];
              if (!task) return null;
              return (
                <li key={row.key} ref={rows.measureElement} data-index={row.index} aria-setsize={tasks.length} aria-posinset={row.index + 1} className={cx("absolute inset-x-0 top-0")} style={{ transform: `translateY(${row.start}px)` }}>
                  <Card task={task} blocked={task.dependsOnTaskIds.length === 0 ? 0 : blockers(data, task).length} active={entry === task.id} open={openTask === task.id} boardId={boardId} />
                </li>
              );
            })}
          </ul>
        )}
      </div>
    </section>
  );
});
