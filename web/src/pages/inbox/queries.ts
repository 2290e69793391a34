import { queryOptions } from "@tanstack/react-query";
import { InboxKind, InboxService } from "@/gen/missioncontrol/activity/v1/inbox_pb";
import { api } from "@/lib/api";

/** What needs the person now, the most urgent first: up to 100 of each kind, with how many there are. */
export const inboxQuery = queryOptions({
  queryKey: ["inbox"],
  queryFn: ({ signal }) => api(InboxService).getInbox({ limit: 100 }, { signal }),
});

/** The order in which kinds are shown. */
export const KINDS = [InboxKind.APPROVAL, InboxKind.GATEWAY, InboxKind.AGENT, InboxKind.DELIVERY, InboxKind.BLOCKED_TASK] as const;
