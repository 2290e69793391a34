import { ChartColumn } from "lucide-react";
import { definePage } from "@/lib/page";
import { soon } from "@/lib/soon";
import places from "@/texts/en/places";
import { texts } from "@/texts/catalogue";

const t = texts("places", places);

export default definePage({
  routes: [{ path: "/dashboard", load: () => import("./dashboard") }],
  nav: [{ section: "work", order: 14, label: () => t.dashboard, icon: ChartColumn, to: "/dashboard", key: "d" }],
  live: [{ types: ["task.", "approval.", "agent.created", "agent.deleted", "agent.status_changed", "board."], apply: soon(["metrics"]) }],
});
