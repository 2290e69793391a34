// What settles things where they stand in the inbox. Loaded when somebody acts.
import type { QueryClient } from "@tanstack/react-query";
import { DeliveryStatus, WebhookService } from "@/gen/missioncontrol/activity/v1/activity_pb";
import type { InboxItem } from "@/gen/missioncontrol/activity/v1/inbox_pb";
import { TaskService } from "@/gen/missioncontrol/board/v1/board_pb";
import { api } from "@/lib/api";
import { list } from "@/lib/format";
import { readAll } from "@/lib/pages";
import { provisionAgain } from "@/pages/agents/acts";
import inbox from "@/texts/en/inbox";
import { texts } from "@/texts/catalogue";
import { confirm } from "@/ui/confirm";
import { toast, toastError } from "@/ui/toast";

const t = texts("inbox", inbox);
/** Deliveries that are sent again at the same time. */
const AT_ONCE = 4;
/** Names that are told of what a task waits for. */
const NAMED = 4;

/** Sets an agent up again and wakes it. */
export function wake(item: Pick<InboxItem, "agentId">, queries: QueryClient): Promise<void> {
  return provisionAgain({ id: item.agentId ?? "" }, queries);
}

/** Switches a webhook on again when the server switched it off, and sends what was given up once more. */
export async function deliverAgain(item: Pick<InboxItem, "webhookId">, queries: QueryClient): Promise<void> {
  const webhookId = item.webhookId ?? "";
  try {
    const { enabled } = await api(WebhookService).getWebhook({ webhookId });
    if (!enabled) await api(WebhookService).updateWebhook({ webhookId, updateMask: { paths: ["enabled"] }, enabled: true });
    const failed = await readAll((limit, offset) => api(WebhookService).listDeliveries({ webhookId, status: DeliveryStatus.FAILED, limit, offset }));
    for (let from = 0; from < failed.length; from += AT_ONCE) {
      await Promise.all(failed.slice(from, from + AT_ONCE).map((delivery) => api(WebhookService).redeliver({ webhookId, deliveryId: delivery.id })));
    }
    toast({ tone: "ok", title: t.delivering(failed.length) });
  } catch (error) {
    toastError(error, t.notDelivered);
  } finally {
    for (const key of ["webhooks", "deliveries", "inbox"]) void queries.invalidateQueries({ queryKey: [key] });
  }
}

/** Asks, and lets a task go on without what it waits for. */
export async function unblock(item: Pick<InboxItem, "boardId" | "taskId" | "title">): Promise<void> {
  const [boardId, taskId] = [item.boardId ?? "", item.taskId ?? ""];
  try {
    const task = await api(TaskService).getTask({ taskId });
    const waitsFor = await Promise.all(task.blockedByTaskIds.slice(0, NAMED).map((id) => api(TaskService).getTask({ taskId: id })));
    const names = waitsFor.map((one) => `“${one.title}”`);
    if (task.blockedByTaskIds.length > NAMED) names.push("…");
    if (!(await confirm({ title: t.unblockTitle(task.title), body: t.unblockBody(list(names)), action: t.unblock, mild: true }))) return;
    await api(TaskService).updateTask({ boardId, taskId, updateMask: { paths: ["depends_on_task_ids"] }, dependsOnTaskIds: { items: task.dependsOnTaskIds.filter((id) => !task.blockedByTaskIds.includes(id)) } });
    toast({ tone: "ok", title: t.unblocked(task.title) });
  } catch (error) {
    toastError(error, t.notUnblocked);
  }
}
