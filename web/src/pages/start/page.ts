import { Rocket } from "lucide-react";
import { definePage } from "@/lib/page";
import { stepsLeft } from "@/lib/setup";
import fleet from "@/texts/en/fleet";
import { texts } from "@/texts/catalogue";

const t = texts("fleet", fleet);

export default definePage({
  routes: [{ path: "/start", load: () => import("./start") }],
  nav: [{ section: "work", order: 5, label: () => t.start, icon: Rocket, to: "/start", badge: stepsLeft, whileWaiting: true, admin: true }],
  background: () => import("./background"),
  live: [
    { types: ["task."], invalidates: [["first-task"]] },
    { types: ["gateway.created", "gateway.deleted", "board.created", "board.deleted", "agent.created", "agent.deleted"], invalidates: [["setup"]] },
  ],
});
