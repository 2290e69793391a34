import { useQuery } from "@tanstack/react-query";
import { Bot, Brain, Columns3, List, MessageSquare, MoreHorizontal, Pause, Play, Plus, Settings, SquareKanban, Undo2 } from "lucide-react";
import { useCallback, useDeferredValue, useEffect, useMemo, useRef, useState } from "react";
import { useLocation, useParams } from "wouter";
import { TaskStatus } from "@/gen/missioncontrol/board/v1/board_pb";
import { useCommands } from "@/lib/commands";
import { useHotkeys } from "@/lib/hotkeys";
import { later } from "@/lib/later";
import { meQuery, useMayWrite } from "@/lib/me";
import { useSearchState } from "@/lib/search";
import board from "@/texts/en/board";
import boardsTexts from "@/texts/en/boards";
import { texts } from "@/texts/catalogue";
import { Button, LinkButton } from "@/ui/button";
import { Menu } from "@/ui/menu";
import { Page } from "@/ui/page";
import { Notice, QueryView } from "@/ui/states";
import { Segments } from "@/ui/tabs";
import { useTaskActions } from "./actions";
import { Columns } from "./columns";
import { type BoardData, boardQuery, setViewer } from "./data";
import { columnsOf, filterCount, filterOf, STATUS_WORDS } from "./filters";
import { Toolbar } from "./toolbar";

const t = texts("board", board);
const b = texts("boards", boardsTexts);

const TaskPanel = later(() => import("./task/panel"));
const NewTask = later(() => import("./task/new-task"));
const SidePanel = later(() => import("./side-panel"));
const ReviewComment = later(() => import("./task/review-comment"));
const TaskList = later(async () => ({ default: (await import("./list")).TaskList }));

/** A board: its tasks as cards or lines, one task or a panel beside them. */
export default function BoardPage() {
  const { boardId = "" } = useParams();
  const query = useQuery(boardQuery(boardId));
  const { data: me } = useQuery(meQuery);
  useEffect(() => setViewer(me?.id ?? ""), [me]);
  return (
    <QueryView query={query} skeleton={<BoardSkeleton />}>
      {(data) =>
        data.gone !== undefined ? (
          <Page title={data.board.name}>
            <Notice icon={SquareKanban} title={t.goneTitle} action={<LinkButton to="/boards">{t.toBoards}</LinkButton>}>
              {t.goneBody(data.gone)}
            </Notice>
          </Page>
        ) : (
          <BoardView key={boardId} boardId={boardId} data={data} />
        )
      }
    </QueryView>
  );
}

/** The shape of a board while it is read. */
function BoardSkeleton() {
  return (
    <div className="flex h-full flex-col" role="status" aria-label={t.board}>
      <div className="h-13 shrink-0 border-b" />
      <div className="h-12 shrink-0 border-b" />
      <div className="flex flex-1 gap-3 px-4 py-3 sm:px-6">
        {[4, 3, 2, 3].map((count, index) => (
          <div key={index} className="flex-1 rounded-xl border border-line-soft bg-sunken/70 p-2 pt-10">
            {Array.from({ length: count }, (_, card) => (
              <div key={card} className="skeleton mb-2 h-19" />
            ))}
          </div>
        ))}
      </div>
    </div>
  );
}

function BoardView({ boardId, data }: { boardId: string; data: BoardData }) {
  const { "*": rest } = useParams() as { "*"?: string };
  const [, part, openTask] = (rest ? `/${rest}` : "").split("/");
  const taskId = part === "tasks" ? openTask : undefined;
  const [params, change] = useSearchState();
  const [, go] = useLocation();
  const actions = useTaskActions(boardId);
  const mayWrite = useMayWrite(boardId);
  const search = useRef<HTMLInputElement>(null);
  const [adding, setAdding] = useState<TaskStatus>();
  const [reviewing, setReviewing] = useState<string>();
  const filter = useMemo(() => filterOf(params), [params]);
  const deferred = useDeferredValue(filter);
  const columns = useMemo(() => columnsOf(data, deferred), [data, deferred]);
  const list = params.get("view") === "list";
  const panel = params.get("panel");

  const openIt = useCallback((id: string) => go(`/boards/${boardId}/tasks/${id}${location.search}`), [boardId, go]);
  const closeTask = useCallback(() => {
    go(`/boards/${boardId}${location.search}`);
    if (taskId) requestAnimationFrame(() => document.querySelector<HTMLElement>(`[data-task="${taskId}"]`)?.focus());
  }, [boardId, go, taskId]);
  const wantsComment = data.board.commentRequiredForReview;
  const move = useCallback(
    (id: string, status: TaskStatus) => {
      if (status === TaskStatus.REVIEW && wantsComment && actions.data?.tasks.get(id)?.status !== TaskStatus.REVIEW) {
        setReviewing(id);
        return Promise.resolve(false);
      }
      return actions.move(id, status);
    },
    [actions, wantsComment],
  );
  const toggle = useCallback((name: string) => change({ panel: params.get("panel") === name ? null : name }), [change, params]);
  const setPaused = useCallback((pause: boolean) => void import("./pause").then((module) => module.setPaused(boardId, pause)), [boardId]);

  useHotkeys([
    { keys: "/", label: t.shortcuts.search, group: t.shortcuts.group, run: () => search.current?.focus() },
    { keys: "c", label: t.shortcuts.new, group: t.shortcuts.group, run: () => mayWrite && setAdding(TaskStatus.INBOX) },
    { keys: "v", label: t.shortcuts.view, group: t.shortcuts.group, run: () => change({ view: list ? null : "list" }) },
    { keys: "m", label: t.shortcuts.chat, group: t.shortcuts.group, run: () => toggle("chat") },
    { keys: "mod+z", label: t.undo, group: t.shortcuts.group, run: () => void actions.undo() },
    {
      keys: "escape",
      label: t.shortcuts.close,
      group: t.shortcuts.group,
      run: () => {
        if (taskId) closeTask();
        else if (panel) change({ panel: null });
      },
    },
    { keys: "shift+arrowright", label: t.shortcuts.move, group: t.group.card, run: () => undefined },
    { keys: "enter", label: t.shortcuts.open, group: t.group.card, run: (event) => (event.target as HTMLElement).click() },
  ]);
  useCommands(
    useMemo(
      () => [
        ...(mayWrite ? [{ id: "task-new", label: t.newTask, group: data.board.name, icon: Plus, hint: "C", run: () => setAdding(TaskStatus.INBOX) }] : []),
        { id: "board-chat", label: t.chat, group: data.board.name, icon: MessageSquare, hint: "M", run: () => toggle("chat") },
        { id: "board-agents", label: t.agents, group: data.board.name, icon: Bot, run: () => toggle("agents") },
        { id: "board-memory", label: t.memory, group: data.board.name, icon: Brain, run: () => toggle("memory") },
        { id: "board-settings", label: t.settings, group: data.board.name, icon: Settings, words: t.rules, to: `/boards/${boardId}/settings` },
        ...(mayWrite
          ? [
              { id: "board-pause", label: t.pause, group: data.board.name, icon: Pause, run: () => setPaused(true) },
              { id: "board-resume", label: t.resume, group: data.board.name, icon: Play, run: () => setPaused(false) },
              { id: "board-undo", label: t.undo, group: data.board.name, icon: Undo2, run: () => void actions.undo() },
            ]
          : []),
        ...[...data.tasks.values()].slice(0, 1000).map((task) => ({ id: `task-${task.id}`, label: task.title, group: t.task, words: t.status[STATUS_WORDS[task.status]], run: () => openIt(task.id) })),
      ],
      [data.board.name, data.tasks, boardId, mayWrite, toggle, setPaused, actions, openIt],
    ),
  );

  const shown = columns.reduce((sum, column) => sum + column.tasks.length, 0);
  const panelOpen = panel === "chat" || panel === "agents" || panel === "memory";
  return (
    <Page
      title={data.board.name}
      above={[{ label: b.boards, to: "/boards" }]}
      lead={data.board.objective || data.board.description}
      bare
      actions={
        <>
          <Segments
            label={t.views}
            value={list ? "list" : "board"}
            onChange={(value) => change({ view: value === "list" ? "list" : null })}
            options={[
              { value: "board", label: t.boardView, icon: <Columns3 size={13} aria-hidden /> },
              { value: "list", label: t.listView, icon: <List size={13} aria-hidden /> },
            ]}
          />
          <Button icon={MessageSquare} aria-pressed={panel === "chat"} onClick={() => toggle("chat")} className="max-sm:hidden">
            {t.chat}
          </Button>
          <Button icon={Bot} aria-pressed={panel === "agents"} onClick={() => toggle("agents")} className="max-lg:hidden">
            {t.agents}
          </Button>
          {mayWrite && (
            <Button variant="primary" icon={Plus} onClick={() => setAdding(TaskStatus.INBOX)}>
              {t.newTask}
            </Button>
          )}
          <Menu
            label={t.moreActions}
            align="end"
            className="inline-flex size-8 items-center justify-center rounded-md text-muted hover:bg-hover hover:text-ink"
            items={[
              { label: t.chat, icon: MessageSquare, run: () => toggle("chat") },
              { label: t.agents, icon: Bot, run: () => toggle("agents") },
              { label: t.memory, icon: Brain, run: () => toggle("memory") },
              ...(mayWrite
                ? [
                    { label: t.pause, icon: Pause, separated: true, run: () => setPaused(true) },
                    { label: t.resume, icon: Play, run: () => setPaused(false) },
                  ]
                : []),
              { label: t.settings, icon: Settings, separated: true, to: `/boards/${boardId}/settings` },
            ]}
          >
            <MoreHorizontal size={16} aria-hidden />
          </Menu>
        </>
      }
    >
      <div className="relative flex h-full min-h-0">
        <div className="flex min-w-0 flex-1 flex-col">
          <Toolbar data={data} filter={filter} change={change} shown={shown} list={list} searchRef={search} />
          <div className="min-h-0 flex-1">
            {data.tasks.size === 0 ? (
              <Notice
                icon={SquareKanban}
                title={t.emptyTitle}
                action={
                  mayWrite && (
                    <Button variant="primary" icon={Plus} onClick={() => setAdding(TaskStatus.INBOX)}>
                      {t.newTask}
                    </Button>
                  )
                }
              >
                {t.emptyBody}
              </Notice>
            ) : list ? (
              <TaskList boardId={boardId} data={data} columns={columns} openTask={taskId} />
            ) : (
              <Columns
                boardId={boardId}
                data={data}
                columns={columns}
                filtered={filterCount(deferred) > 0}
                openTask={taskId}
                onOpen={openIt}
                onMove={move}
                onAdd={setAdding}
                readOnly={!mayWrite}
              />
            )}
          </div>
        </div>
        {panelOpen && !taskId && <SidePanel kind={panel} boardId={boardId} data={data} mayWrite={mayWrite} onClose={() => change({ panel: null })} />}
        {taskId && <TaskPanel key={taskId} boardId={boardId} taskId={taskId} data={data} actions={actions} move={move} mayWrite={mayWrite} onClose={closeTask} onOpen={openIt} />}
        {adding !== undefined && <NewTask boardId={boardId} data={data} status={adding} onClose={() => setAdding(undefined)} onOpen={openIt} />}
        {reviewing !== undefined && <ReviewComment taskId={reviewing} actions={actions} onClose={() => setReviewing(undefined)} />}
      </div>
    </Page>
  );
}

