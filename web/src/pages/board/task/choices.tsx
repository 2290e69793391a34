// The choices of a task's properties, shared by the panel and the form of a new task.
import { useQuery, queryOptions } from "@tanstack/react-query";
import { useMemo } from "react";
import { TagService } from "@/gen/missioncontrol/board/v1/board_pb";
import { api } from "@/lib/api";
import { readAll } from "@/lib/pages";
import board from "@/texts/en/board";
import { texts } from "@/texts/catalogue";
import { Avatar } from "@/ui/badge";
import type { Choice } from "@/ui/picker";
import { type BoardData, STATUSES, wouldCycle } from "../data";
import { STATUS_WORDS } from "../filters";
import { PriorityIcon, priorityName, StatusIcon } from "../marks";

const t = texts("board", board);

/** All tags of the organization. */
export const tagsQuery = queryOptions({
  queryKey: ["tags", "list"],
  queryFn: ({ signal }) => readAll((limit, offset) => api(TagService).listTags({ limit, offset }, { signal })),
});

export const STATUS_CHOICES: Choice[] = STATUSES.map((status) => ({ value: String(status), label: t.status[STATUS_WORDS[status]], mark: <StatusIcon status={status} /> }));

/** The usual priorities, and the task's own when it is another word. */
export function priorityChoices(own?: string): Choice[] {
  const words = ["urgent", "high", "medium", "low"];
  if (own && !words.includes(own)) words.unshift(own);
  return words.map((word) => ({ value: word, label: priorityName(word), mark: <PriorityIcon priority={word} /> }));
}

/** The agents of the board, and nobody. */
export function agentChoices(data: BoardData): Choice[] {
  return [{ value: "", label: t.nobody }, ...data.agents.map((agent) => ({ value: agent.id, label: agent.name, note: t.presence[agent.status] ?? agent.status, mark: <Avatar name={agent.name} kind="agent" size={18} /> }))];
}

/** The tags of the organization. */
export function useTagChoices(): Choice[] {
  const { data } = useQuery(tagsQuery);
  return useMemo(
    () => (data ?? []).map((tag) => ({ value: tag.id, label: tag.name, note: tag.description, mark: <span className="size-2 shrink-0 rounded-full" style={{ background: `#${tag.color}` }} /> })),
    [data],
  );
}

/** Tasks that `taskId` can wait for; those that would close a circle say so. */
export function useDependencyChoices(data: BoardData, taskId?: string): Choice[] {
  return useMemo(() => {
    const circle = taskId ? wouldCycle(data.tasks, taskId) : new Set<string>();
    return [...data.tasks.values()]
      .filter((task) => task.id !== taskId)
      .map((task) => ({
        value: task.id,
        label: task.title,
        mark: <StatusIcon status={task.status} />,
        disabled: circle.has(task.id),
        note: circle.has(task.id) ? t.cycle : undefined,
      }));
  }, [data.tasks, taskId]);
}
