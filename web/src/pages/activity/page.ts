import { Activity, ScrollText } from "lucide-react";
import { definePage } from "@/lib/page";
import { soon } from "@/lib/soon";
import places from "@/texts/en/places";
import { texts } from "@/texts/catalogue";
import { addToFeeds, isHeartbeat } from "./feeds";

const again = soon(["audit"]);
const t = texts("places", places);

export default definePage({
  routes: [
    { path: "/activity", load: () => import("./activity") },
    { path: "/audit", load: () => import("./audit") },
  ],
  nav: [
    { section: "work", order: 30, label: () => t.activity, icon: Activity, to: "/activity", key: "y" },
    { section: "organization", order: 90, label: () => t.audit, icon: ScrollText, to: "/audit", key: "u", admin: true },
  ],
  live: [
    { types: ["*"], apply: addToFeeds },
    {
      types: ["*"],
      apply: (event, client) => {
        if (!isHeartbeat(event.type)) again(event, client);
      },
    },
  ],
});
