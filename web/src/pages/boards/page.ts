import { Layers, Plus, SquareKanban } from "lucide-react";
import { definePage } from "@/lib/page";
import { soon } from "@/lib/soon";
import boards from "@/texts/en/boards";
import { texts } from "@/texts/catalogue";

const t = texts("boards", boards);

export default definePage({
  routes: [
    { path: "/boards", load: () => import("./boards") },
    { path: "/groups", load: () => import("./groups") },
    { path: "/groups/:groupId", load: () => import("./group") },
  ],
  nav: [
    { section: "work", order: 20, label: () => t.boards, icon: SquareKanban, to: "/boards", key: "b" },
    { section: "work", order: 21, label: () => t.groups, icon: Layers, to: "/groups", key: "o" },
  ],
  commands: () => [{ id: "new-board", label: t.newBoard, group: t.boards, icon: Plus, to: "/boards?new=1", admin: true }],
  live: [
    { types: ["board.", "board_group."], invalidates: [["boards"], ["groups"]] },
    { types: ["task.created", "task.deleted", "task.status_changed"], invalidates: [["groups"]] },
    { types: ["task.", "board."], apply: soon(["task-counts"]) },
    { types: ["group_memory."], invalidates: (event) => [["group-memory", (event.after as { board_group_id?: string } | null)?.board_group_id]] },
    { types: ["gateway."], invalidates: [["gateways"]] },
  ],
});
