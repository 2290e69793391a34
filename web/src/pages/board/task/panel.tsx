// One task beside its board: everything is changed where it stands.
import { useQuery } from "@tanstack/react-query";
import { Link2, Trash2, X } from "lucide-react";
import { type ReactNode, useEffect, useRef, useState } from "react";
import type { TaskStatus } from "@/gen/missioncontrol/board/v1/board_pb";
import type { TaskCard } from "@/gen/missioncontrol/board/v1/snapshot_pb";
import { toDate, toTimestamp } from "@/lib/format";
import board from "@/texts/en/board";
import ui from "@/texts/en/ui";
import { texts } from "@/texts/catalogue";
import { Avatar } from "@/ui/badge";
import { IconButton } from "@/ui/button";
import { copy } from "@/ui/copy";
import { cx } from "@/ui/cx";
import { Picker } from "@/ui/picker";
import { Notice } from "@/ui/states";
import { Tabs } from "@/ui/tabs";
import { Time } from "@/ui/time";
import { toast } from "@/ui/toast";
import type { TaskActions } from "../actions";
import { touchWords, useTouch } from "../card";
import { type BoardData, blockers, commentsQuery, isOverdue } from "../data";
import { STATUS_WORDS } from "../filters";
import { PriorityIcon, priorityName, StatusIcon, TagMark } from "../marks";
import { TaskActivity } from "./activity";
import { TaskApprovals } from "./approvals";
import { agentChoices, priorityChoices, STATUS_CHOICES, useDependencyChoices, useTagChoices } from "./choices";
import { Comments } from "./comments";
import { Description } from "./description";
import { CustomFields } from "./fields";

const t = texts("board", board);
const words = texts("ui", ui);
const VALUE = "inline-flex min-h-7 min-w-0 max-w-full items-center gap-1.5 rounded-md px-2 text-left text-sm hover:bg-hover disabled:hover:bg-transparent";

/** The panel. */
export default function TaskPanel({
  boardId,
  taskId,
  data,
  actions,
  move,
  mayWrite,
  onClose,
  onOpen,
}: {
  boardId: string;
  taskId: string;
  data: BoardData;
  actions: TaskActions;
  move: (taskId: string, status: TaskStatus) => Promise<boolean>;
  mayWrite: boolean;
  onClose: () => void;
  onOpen: (id: string) => void;
}) {
  const task = data.tasks.get(taskId);
  const heading = useRef<HTMLElement>(null);
  useEffect(() => heading.current?.focus({ preventScroll: true }), []);
  return (
    <aside
      ref={heading}
      tabIndex={-1}
      aria-label={task?.title ?? t.task}
      className="absolute inset-y-0 right-0 z-20 flex w-full max-w-[540px] flex-col border-l bg-raised shadow-pop outline-none max-sm:max-w-none animate-[slide_140ms_ease-out]"
    >
      {task ? (
        <TaskView boardId={boardId} task={task} data={data} actions={actions} move={move} mayWrite={mayWrite} onClose={onClose} onOpen={onOpen} />
      ) : (
        <>
          <div className="flex justify-end p-2">
            <IconButton icon={X} label={t.close} onClick={onClose} />
          </div>
          <Notice title={t.taskGone}>{t.taskGoneBody}</Notice>
        </>
      )}
    </aside>
  );
}

function TaskView({
  boardId,
  task,
  data,
  actions,
  move,
  mayWrite,
  onClose,
  onOpen,
}: {
  boardId: string;
  task: TaskCard;
  data: BoardData;
  actions: TaskActions;
  move: (taskId: string, status: TaskStatus) => Promise<boolean>;
  mayWrite: boolean;
  onClose: () => void;
  onOpen: (id: string) => void;
}) {
  const [tab, setTab] = useState<"comments" | "activity" | "approvals">("comments");
  const comments = useQuery(commentsQuery(boardId, task.id));
  const tags = useTagChoices();
  const dependencies = useDependencyChoices(data, task.id);
  const touch = useTouch(task.id);
  const waitsFor = blockers(data, task);
  const dependents = [...data.tasks.values()].filter((one) => one.dependsOnTaskIds.includes(task.id));
  const due = task.dueAt ? toDate(task.dueAt) : undefined;
  const dueDay = due ? `${due.getFullYear()}-${String(due.getMonth() + 1).padStart(2, "0")}-${String(due.getDate()).padStart(2, "0")}` : "";
  return (
    <>
      <header className="flex h-12 shrink-0 items-center gap-1 border-b pr-2 pl-4">
        <Picker label={t.statusLabel} choices={STATUS_CHOICES} value={[String(task.status)]} onChange={([value]) => void move(task.id, Number(value))} className={cx(VALUE, "-ml-2 font-medium")} disabled={!mayWrite}>
          <StatusIcon status={task.status} />
          {t.status[STATUS_WORDS[task.status]]}
        </Picker>
        <span className="min-w-0 flex-1 truncate text-right text-2xs font-medium text-signal-ink" role="status">
          {touch && touchWords(touch)}
        </span>
        <IconButton
          icon={Link2}
          label={t.copyLink}
          onClick={() => void copy(`${location.origin}/boards/${boardId}/tasks/${task.id}`).then((ok) => ok && toast({ tone: "ok", title: words.copied }))}
        />
        {mayWrite && <IconButton icon={Trash2} label={t.deleteTask} onClick={() => void actions.remove(task).then((gone) => gone && onClose())} />}
        <IconButton icon={X} label={t.close} hint="Esc" onClick={onClose} />
      </header>
      <div className="min-h-0 flex-1 overflow-y-auto">
        <div className="px-4 pt-4 pb-2 sm:px-5">
          <Title task={task} actions={actions} mayWrite={mayWrite} />
          {waitsFor.length > 0 && (
            <p className="mt-2 rounded-md bg-bad-wash px-3 py-2 text-xs text-bad-ink">
              {t.blockedByCount(waitsFor.length)}
            </p>
          )}
          <dl className="mt-3 grid grid-cols-[104px_minmax(0,1fr)] items-start gap-y-1">
            <Property name={t.assignee}>
              <Picker label={t.assignee} choices={agentChoices(data)} value={[task.assignedAgentId ?? ""]} onChange={([value]) => void actions.assign(task.id, value || undefined)} className={VALUE} disabled={!mayWrite}>
                {task.assignedAgentId ? (
                  <>
                    <Avatar name={task.assignee ?? "?"} kind="agent" size={18} />
                    {task.assignee ?? t.deletedAgent}
                  </>
                ) : (
                  <span className="text-subtle">{t.unassigned}</span>
                )}
              </Picker>
            </Property>
            <Property name={t.priority}>
              <Picker
                label={t.priority}
                choices={priorityChoices(task.priority)}
                value={[task.priority]}
                onChange={([priority]) => void actions.tryUpdate(task.id, { priority }, { priority: priority ?? task.priority })}
                className={VALUE}
                disabled={!mayWrite}
              >
                <PriorityIcon priority={task.priority} />
                {priorityName(task.priority)}
              </Picker>
            </Property>
            <Property name={t.due}>
              <span className="relative inline-flex">
                {!due && <span aria-hidden className="pointer-events-none absolute inset-y-0 left-2 flex items-center text-subtle">{t.none}</span>}
                <input
                  type="date"
                  aria-label={t.due}
                  value={dueDay}
                  disabled={!mayWrite}
                  onChange={(event) => {
                    const dueAt = event.target.value ? toTimestamp(new Date(`${event.target.value}T12:00`)) : undefined;
                    void actions.tryUpdate(task.id, { dueAt });
                  }}
                  className={cx(VALUE, "bg-transparent", !due && "date-empty", isOverdue(task) && "font-medium text-bad-ink")}
                />
              </span>
            </Property>
            <Property name={t.tags}>
              <Picker label={t.tags} multiple empty={t.noTags} choices={tags} value={task.tagIds} onChange={(items) => void actions.tryUpdate(task.id, { tagIds: { items } })} className={cx(VALUE, "flex-wrap py-1")} disabled={!mayWrite}>
                {task.tags.length === 0 ? <span className="text-subtle">{t.none}</span> : task.tags.map((tag) => <TagMark key={tag.id} tag={tag} />)}
              </Picker>
            </Property>
            <Property name={t.dependencies}>
              <div className="min-w-0">
                {task.dependsOnTaskIds.map((id) => (
                  <TaskLink key={id} task={data.tasks.get(id)} onOpen={onOpen} remove={mayWrite ? () => void actions.tryUpdate(task.id, { dependsOnTaskIds: { items: task.dependsOnTaskIds.filter((one) => one !== id) } }) : undefined} />
                ))}
                <Picker
                  label={t.addDependency}
                  prefix={task.dependsOnTaskIds.length === 0}
                  multiple
                  choices={dependencies}
                  value={task.dependsOnTaskIds}
                  onChange={(items) => void actions.tryUpdate(task.id, { dependsOnTaskIds: { items } })}
                  className={cx(VALUE, "text-subtle")}
                  disabled={!mayWrite}
                >
                  {task.dependsOnTaskIds.length === 0 ? t.noDependencies : t.addDependency}
                </Picker>
              </div>
            </Property>
            {dependents.length > 0 && (
              <Property name={t.dependents}>
                <div className="min-w-0">
                  {dependents.map((one) => (
                    <TaskLink key={one.id} task={one} onOpen={onOpen} />
                  ))}
                </div>
              </Property>
            )}
            <CustomFields boardId={boardId} task={task} actions={actions} mayWrite={mayWrite} />
          </dl>
          <Description task={task} data={data} actions={actions} mayWrite={mayWrite} />
          <p className="mt-3 flex flex-wrap gap-x-3 text-2xs text-subtle">
            <span>
              {t.created} <Time at={task.createdAt} />
            </span>
            <span>
              {t.changed} <Time at={task.updatedAt} />
            </span>
            {task.inProgressAt && (
              <span>
                {t.inProgressSince} <Time at={task.inProgressAt} />
              </span>
            )}
          </p>
        </div>
        <Tabs
          label={t.task}
          value={tab}
          onChange={setTab}
          className="sticky top-0 z-10 bg-raised px-3 sm:px-4"
          panelClassName="px-4 pt-3 pb-6 sm:px-5"
          tabs={[
            { value: "comments", label: t.comments, count: comments.data?.length },
            { value: "approvals", label: t.approvals, count: task.approvalsCount },
            { value: "activity", label: t.activity },
          ]}
        >
          {tab === "comments" && <Comments boardId={boardId} taskId={task.id} data={data} query={comments} mayWrite={mayWrite} />}
          {tab === "approvals" && <TaskApprovals boardId={boardId} taskId={task.id} data={data} mayWrite={mayWrite} />}
          {tab === "activity" && <TaskActivity boardId={boardId} taskId={task.id} />}
        </Tabs>
      </div>
    </>
  );
}

/** A name and its value in the list of properties. */
export function Property({ name, children }: { name: string; children: ReactNode }) {
  return (
    <>
      <dt className="flex min-h-7 items-center text-xs text-muted">{name}</dt>
      <dd className="flex min-h-7 min-w-0 items-center">{children}</dd>
    </>
  );
}

function TaskLink({ task, onOpen, remove }: { task: TaskCard | undefined; onOpen: (id: string) => void; remove?: () => void }) {
  if (!task) return null;
  return (
    <div className="flex min-w-0 items-center">
      <button type="button" className={cx(VALUE, "flex-1")} onClick={() => onOpen(task.id)}>
        <StatusIcon status={task.status} />
        <span className="truncate">{task.title}</span>
      </button>
      {remove && <IconButton icon={X} size="sm" label={t.removeDependency(task.title)} onClick={remove} />}
    </div>
  );
}

function Title({ task, actions, mayWrite }: { task: TaskCard; actions: TaskActions; mayWrite: boolean }) {
  const [draft, setDraft] = useState<string>();
  const save = async () => {
    const title = draft?.trim();
    if (title && title !== task.title && !(await actions.tryUpdate(task.id, { title }, { title }))) return;
    setDraft(undefined);
  };
  return (
    <textarea
      aria-label={t.title}
      rows={1}
      readOnly={!mayWrite}
      value={draft ?? task.title}
      onChange={(event) => setDraft(event.target.value.replace(/\n/g, " "))}
      onBlur={() => void save()}
      onKeyDown={(event) => {
        if (event.key === "Enter") {
          event.preventDefault();
          event.currentTarget.blur();
        } else if (event.key === "Escape") {
          event.stopPropagation();
          setDraft(undefined);
          requestAnimationFrame(() => (document.activeElement as HTMLElement | null)?.blur());
        }
      }}
      className="field-sizing-content w-full resize-none rounded-md bg-transparent text-xl font-semibold tracking-[-0.012em] outline-offset-4"
    />
  );
}
