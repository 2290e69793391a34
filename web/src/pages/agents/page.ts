import { Bot, Plus } from "lucide-react";
import { definePage } from "@/lib/page";
import fleet from "@/texts/en/fleet";
import { texts } from "@/texts/catalogue";

const t = texts("fleet", fleet);

export default definePage({
  routes: [
    { path: "/agents", load: () => import("./agents") },
    { path: "/agents/new", load: () => import("./edit") },
    { path: "/agents/:agentId", load: () => import("./agent") },
    { path: "/agents/:agentId/edit", load: () => import("./edit") },
  ],
  nav: [{ section: "fleet", order: 20, label: () => t.agents, icon: Bot, to: "/agents", key: "a", admin: true }],
  commands: () => [{ id: "new-agent", label: t.newAgent, group: t.agents, icon: Plus, to: "/agents/new", admin: true }],
  live: [
    { types: ["task."], invalidates: [["agent-tasks"]] },
    { types: ["agent."], apply: (event, client) => void import("./live").then(({ applyAgent }) => applyAgent(event, client)) },
  ],
});
