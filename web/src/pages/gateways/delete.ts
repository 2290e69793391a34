import type { QueryClient } from "@tanstack/react-query";
import { type Gateway, GatewayService } from "@/gen/missioncontrol/gateway/v1/gateway_pb";
import { api } from "@/lib/api";
import { list } from "@/lib/format";
import gateways from "@/texts/en/gateways";
import { texts } from "@/texts/catalogue";
import { confirm } from "@/ui/confirm";
import { toast, toastError } from "@/ui/toast";
import { boardsQuery } from "./queries";

const t = texts("gateways", gateways);

/** Says what a gateway is still needed for, or asks and deletes it. Answers whether it is gone. */
export async function deleteGateway(gateway: Pick<Gateway, "id" | "name">, queries: QueryClient): Promise<boolean> {
  const boards = (await queries.fetchQuery(boardsQuery).catch(() => [])).filter((board) => board.gatewayId === gateway.id);
  if (boards.length > 0) {
    await confirm({ title: t.blockedTitle, body: t.deleteUsed(list(boards.map((board) => board.name))), action: t.understood, mild: true });
    return false;
  }
  const yes = await confirm({ title: t.deleteTitle(gateway.name), destroys: [t.deleteConnection, t.deleteMain], action: t.delete });
  if (!yes) return false;
  try {
    await api(GatewayService).deleteGateway({ gatewayId: gateway.id });
    void queries.invalidateQueries({ queryKey: ["gateways"] });
    toast({ tone: "ok", title: t.deleted(gateway.name) });
    return true;
  } catch (error) {
    toastError(error, t.deleteFailed);
    return false;
  }
}
