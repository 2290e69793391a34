import { definePage } from "@/lib/page";
import { applyToBoards } from "./live";

export default definePage({
  routes: [
    { path: "/boards/:boardId/settings/*?", load: () => import("./settings/settings") },
    {
      path: "/boards/:boardId/*?",
      load: () => import("./board"),
      ahead: "missioncontrol.board.v1.SnapshotService/GetBoardSnapshot",
      read: async (client, { boardId = "" }) => client.prefetchQuery((await import("./data")).boardQuery(boardId)),
    },
  ],
  live: [
    { types: ["*"], apply: applyToBoards },
    { types: ["task."], invalidates: (event) => (event.taskId ? [["task", event.taskId, "activity"]] : []) },
    { types: ["webhook_payload.", "board_webhook.", "board.webhook", "webhook.received"], invalidates: (event) => [["board-webhooks", event.boardId]] },
    { types: ["custom_field."], invalidates: [["custom-fields"]] },
    { types: ["tag."], invalidates: [["tags"]] },
  ],
});
