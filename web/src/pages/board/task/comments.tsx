import { type UseQueryResult, useQuery, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import { type TaskComment, TaskService } from "@/gen/missioncontrol/board/v1/board_pb";
import { api } from "@/lib/api";
import { meQuery } from "@/lib/me";
import board from "@/texts/en/board";
import { texts } from "@/texts/catalogue";
import { Avatar } from "@/ui/badge";
import { Button } from "@/ui/button";
import { Composer } from "@/ui/composer";
import { Markdown } from "@/ui/markdown";
import { QueryView, Skeleton } from "@/ui/states";
import { Time } from "@/ui/time";
import { toastError } from "@/ui/toast";
import { type BoardData, commentsQuery } from "../data";
import { mentionables, mentionNames } from "../mentions";

const t = texts("board", board);
/** So many of the newest at first. */
const SHOWN = 100;

/** What was said about a task, oldest first, and a place to say more. */
export function Comments({ boardId, taskId, data, query, mayWrite }: { boardId: string; taskId: string; data: BoardData; query: UseQueryResult<readonly TaskComment[]>; mayWrite: boolean }) {
  const queries = useQueryClient();
  const { data: me } = useQuery(meQuery);
  const names = mentionNames(data);
  const send = async (message: string) => {
    try {
      const comment = await api(TaskService).createTaskComment({ boardId, taskId, message });
      queries.setQueryData(commentsQuery(boardId, taskId).queryKey, (all) => (all && !all.some((one) => one.id === comment.id) ? [...all, comment] : all));
    } catch (error) {
      toastError(error, t.notSent);
      throw error;
    }
  };
  const [shown, setShown] = useState(SHOWN);
  const agents = new Map(data.agents.map((agent) => [agent.id, agent.name]));
  return (
    <div className="space-y-4">
      <QueryView query={query} skeleton={<Skeleton lines={3} />} isEmpty={(all) => all.length === 0} empty={<p className="py-2 text-sm text-muted">{t.noComments}</p>}>
        {(all) => (
          <ol className="space-y-4">
            {all.length > shown && (
              <li className="text-center">
                <Button size="sm" variant="ghost" onClick={() => setShown(all.length)}>
                  {t.olderComments(all.length - shown)}
                </Button>
              </li>
            )}
            {all.slice(-shown).map((comment) => {
              const agent = comment.agentId !== undefined;
              const name = comment.authorName || (comment.agentId && agents.get(comment.agentId)) || (agent ? t.deletedAgent : t.person);
              return (
                <li key={comment.id} className="flex gap-2.5">
                  <Avatar name={name} kind={agent ? "agent" : "person"} size={24} className="mt-0.5" />
                  <div className="min-w-0 flex-1">
                    <p className="flex flex-wrap items-baseline gap-x-2">
                      <span className="font-medium">{name}</span>
                      {comment.userId && comment.userId === me?.id && <span className="text-2xs text-subtle">{t.you}</span>}
                      <Time at={comment.createdAt} className="text-2xs text-subtle" />
                    </p>
                    <Markdown text={comment.message ?? ""} mentions={names} />
                  </div>
                </li>
              );
            })}
          </ol>
        )}
      </QueryView>
      {mayWrite && <Composer draftKey={`comment.${taskId}`} label={t.commentPlaceholder} placeholder={t.commentPlaceholder} hint={t.sendHint} submit={t.send} mentions={mentionables(data)} send={send} />}
    </div>
  );
}
