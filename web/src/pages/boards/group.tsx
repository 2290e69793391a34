import { useQuery, useQueryClient } from "@tanstack/react-query";
import { Brain, Layers, MessageSquare, Pencil, Trash2 } from "lucide-react";
import { useState } from "react";
import { Link, useLocation, useParams } from "wouter";
import type { BoardGroupBoardSnapshot } from "@/gen/missioncontrol/board/v1/groups_pb";
import { useHotkeys } from "@/lib/hotkeys";
import { later } from "@/lib/later";
import { useIsAdmin, useMayWriteAny } from "@/lib/me";
import { useSearchState } from "@/lib/search";
import { TaskCounts } from "@/parts/task-counts";
import talk from "@/texts/en/talk";
import boards from "@/texts/en/boards";
import { texts } from "@/texts/catalogue";
import { Avatar, Dot, type Tone } from "@/ui/badge";
import { Button, IconButton } from "@/ui/button";
import { Card, Page } from "@/ui/page";
import { Notice, QueryView } from "@/ui/states";
import { deleteGroup } from "./delete";
import { GroupForm } from "./groups";
import { groupQuery } from "./queries";

const t = texts("boards", boards);
const words = texts("talk", talk);
const Panel = later(() => import("./group-panel"));
const TONES: Record<string, Tone> = { inbox: "neutral", in_progress: "info", review: "violet", done: "ok" };

/** A group: its boards side by side with what goes on. */
export default function Group() {
  const { groupId = "" } = useParams();
  const snapshot = useQuery(groupQuery(groupId));
  const queries = useQueryClient();
  const admin = useIsAdmin();
  const [editing, setEditing] = useState(false);
  const [, go] = useLocation();
  const [params, change] = useSearchState();
  const panel = (["chat", "memory"] as const).find((one) => one === params.get("panel"));
  const group = snapshot.data?.group;
  const boardIds = snapshot.data?.boards.flatMap((entry) => (entry.board ? [entry.board.id] : [])) ?? [];
  const mayWrite = useMayWriteAny(boardIds);
  const toggle = (name: "chat" | "memory") => change({ panel: panel === name ? null : name });
  useHotkeys([
    { keys: "m", label: words.groupChat, group: t.group, run: () => toggle("chat") },
    { keys: "escape", label: words.close, group: t.group, run: () => panel && change({ panel: null }) },
  ]);
  return (
    <Page
      title={group?.name ?? t.group}
      above={[{ label: t.groups, to: "/groups" }]}
      lead={group?.description}
      bare
      actions={
        group && (
          <>
            <Button icon={MessageSquare} aria-pressed={panel === "chat"} onClick={() => toggle("chat")}>
              {words.chat}
            </Button>
            <Button icon={Brain} aria-pressed={panel === "memory"} onClick={() => toggle("memory")}>
              {words.memory}
            </Button>
            {admin && (
              <>
                <IconButton icon={Pencil} label={t.editGroup} onClick={() => setEditing(true)} />
                <IconButton
                  icon={Trash2}
                  label={t.deleteGroup}
                  onClick={() => void deleteGroup(group, snapshot.data?.boards.length ?? 0, queries).then((gone) => gone && go("/groups"))}
                />
              </>
            )}
          </>
        )
      }
    >
      <div className="relative flex h-full min-h-0">
        <div className="min-w-0 flex-1 overflow-y-auto px-4 py-5 sm:px-6" tabIndex={-1}>
          <QueryView query={snapshot} isEmpty={(data) => data.boards.length === 0} empty={<Notice icon={Layers} title={t.addBoards}>{t.groupBoardsNone}</Notice>}>
            {(data) => (
              <div className="grid items-start gap-4 lg:grid-cols-2 2xl:grid-cols-3">
                {data.boards.map((entry) => (
                  <BoardCard key={entry.board?.id} entry={entry} />
                ))}
              </div>
            )}
          </QueryView>
        </div>
        {panel && group && (
          <Panel key={panel} kind={panel} groupId={group.id} boardIds={boardIds} mayWrite={mayWrite} onClose={() => change({ panel: null })} />
        )}
      </div>
      {editing && group && <GroupForm group={group} onClose={() => setEditing(false)} />}
    </Page>
  );
}

function BoardCard({ entry }: { entry: BoardGroupBoardSnapshot }) {
  const { board } = entry;
  if (!board) return null;
  return (
    <Card
      title={
        <Link to={`/boards/${board.id}`} className="rounded-sm hover:underline">
          {board.name}
        </Link>
      }
      actions={
        <TaskCounts counts={{ inbox: entry.taskCounts["inbox"] ?? 0, inProgress: entry.taskCounts["in_progress"] ?? 0, review: entry.taskCounts["review"] ?? 0, done: entry.taskCounts["done"] ?? 0 }} />
      }
      flush
    >
      {entry.tasks.length === 0 ? (
        <p className="px-4 py-5 text-center text-sm text-muted">{t.groupTasksNone}</p>
      ) : (
        <ul className="py-1">
          {entry.tasks.map((task) => (
            <li key={task.id}>
              <Link to={`/boards/${board.id}/tasks/${task.id}`} className="flex h-8 items-center gap-2.5 px-4 hover:bg-hover">
                <Dot tone={TONES[task.status]} />
                <span className="min-w-0 flex-1 truncate">{task.title}</span>
                {task.assignee && <Avatar name={task.assignee} kind="agent" size={18} />}
              </Link>
            </li>
          ))}
        </ul>
      )}
    </Card>
  );
}
