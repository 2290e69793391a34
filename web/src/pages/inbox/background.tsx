import { useQuery } from "@tanstack/react-query";
import { useEffect } from "react";
import { InboxKind } from "@/gen/missioncontrol/activity/v1/inbox_pb";
import { titleBadge } from "@/lib/title";
import { approvalsWaiting, inboxWaiting } from "@/lib/waiting";
import { inboxQuery } from "./queries";

/** Keeps the numbers beside the inbox and the approvals, and the one in front of the browser tab's title. */
export default function Background() {
  const { data } = useQuery(inboxQuery);
  const approvals = data?.counts.find((count) => count.kind === InboxKind.APPROVAL)?.count ?? 0;
  useEffect(() => {
    inboxWaiting.set(data?.total ?? 0);
    approvalsWaiting.set(approvals);
    titleBadge.set(approvals);
    return () => {
      inboxWaiting.set(0);
      approvalsWaiting.set(0);
      titleBadge.set(0);
    };
  }, [data?.total, approvals]);
  return null;
}
