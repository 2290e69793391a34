import { AgentService } from "@/gen/missioncontrol/agent/v1/agent_pb";
import { BoardService } from "@/gen/missioncontrol/board/v1/board_pb";
import { GatewayService } from "@/gen/missioncontrol/gateway/v1/gateway_pb";
import { api } from "@/lib/api";

/** How many steps are left between nothing and an agent with a task, read from what exists. */
export async function countLeft(signal: AbortSignal): Promise<number> {
  const [gateways, boards, agents] = await Promise.all([
    api(GatewayService).listGateways({ limit: 1 }, { signal }),
    api(BoardService).listBoards({ limit: 1 }, { signal }),
    api(AgentService).listAgents({ limit: 50 }, { signal }),
  ]);
  if (agents.items.some((agent) => agent.boardId)) return 0;
  if (gateways.total === 0) return 4;
  return boards.total === 0 ? 3 : 2;
}
