import { Inbox } from "lucide-react";
import { definePage } from "@/lib/page";
import { soon } from "@/lib/soon";
import { inboxWaiting } from "@/lib/waiting";
import places from "@/texts/en/places";
import { texts } from "@/texts/catalogue";

const t = texts("places", places);

export default definePage({
  routes: [{ path: "/", load: () => import("./inbox"), ahead: "missioncontrol.activity.v1.InboxService/GetInbox", read: async (client) => client.prefetchQuery((await import("./queries")).inboxQuery) }],
  nav: [{ section: "work", order: 10, label: () => t.inbox, icon: Inbox, to: "/", key: "i", badge: inboxWaiting }],
  background: () => import("./background"),
  live: [
    {
      types: [
        "approval.",
        "task.created",
        "task.updated",
        "task.status_changed",
        "task.deleted",
        "board.created",
        "board.deleted",
        "agent.created",
        "agent.updated",
        "agent.deleted",
        "agent.status_changed",
        "agent.provisioned",
        "gateway.",
        "webhook.",
        "delivery.",
      ],
      apply: soon(["inbox"]),
    },
  ],
});
