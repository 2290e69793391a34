import { useInfiniteQuery } from "@tanstack/react-query";
import { ActivityService } from "@/gen/missioncontrol/activity/v1/activity_pb";
import { api } from "@/lib/api";
import board from "@/texts/en/board";
import ui from "@/texts/en/ui";
import { texts } from "@/texts/catalogue";
import { Avatar } from "@/ui/badge";
import { Button } from "@/ui/button";
import { QueryView, Skeleton } from "@/ui/states";
import { Time } from "@/ui/time";

const t = texts("board", board);
const words = texts("ui", ui);

/** What happened to a task, newest first. */
export function TaskActivity({ boardId, taskId }: { boardId: string; taskId: string }) {
  const query = useInfiniteQuery({
    queryKey: ["task", taskId, "activity"],
    queryFn: ({ pageParam, signal }) => api(ActivityService).listActivity({ boardId, taskId, limit: 100, offset: pageParam }, { signal }),
    initialPageParam: 0,
    getNextPageParam: ({ offset, items, total }) => (items.length > 0 && offset + items.length < total ? offset + items.length : undefined),
    select: ({ pages }) => pages.flatMap((page) => page.items),
  });
  return (
    <QueryView query={query} skeleton={<Skeleton lines={4} />} isEmpty={(all) => all.length === 0} empty={<p className="py-2 text-sm text-muted">{t.noActivity}</p>}>
      {(all) => (
        <ol className="space-y-2.5">
          {all.map((event) => (
            <li key={event.id} className="flex gap-2.5 text-sm">
              <Avatar name={event.actorName || event.actorType || "?"} kind={event.actorType === "user" ? "person" : "agent"} size={20} className="mt-px" />
              <p className="min-w-0 flex-1">
                <span className="font-medium">{event.actorName || event.actorType}</span> <span className="break-words text-muted">{event.message || event.eventType}</span>
              </p>
              <Time at={event.createdAt} className="shrink-0 text-2xs text-subtle" />
            </li>
          ))}
          {query.hasNextPage && (
            <li className="text-center">
              <Button size="sm" variant="ghost" busy={query.isFetchingNextPage} onClick={() => void query.fetchNextPage()}>
                {words.showMore}
              </Button>
            </li>
          )}
        </ol>
      )}
    </QueryView>
  );
}
