// How far the first steps have come, read from what exists: nothing is remembered, so they can be left and taken up again anywhere.
import type { Agent } from "@/gen/missioncontrol/agent/v1/agent_pb";
import type { Board, Task } from "@/gen/missioncontrol/board/v1/board_pb";
import { ConnectionPhase, type Gateway, type GatewayConnection } from "@/gen/missioncontrol/gateway/v1/gateway_pb";

/** The steps in their order. */
export const STEPS = ["organization", "gateway", "board", "agent", "task"] as const;

/** One of the steps. */
export type StepName = (typeof STEPS)[number];

/** What there is. */
export interface World {
  /** Name of the active organization. */
  organization: string;
  /** What a new organization is called that nobody named. */
  unnamed: string;
  /** The person said that the name stays. */
  named: boolean;
  gateways: readonly Gateway[];
  connections: ReadonlyMap<string, GatewayConnection>;
  boards: readonly Board[];
  agents: readonly Agent[];
  task?: Task;
}

/** How far it is, and with what. */
export interface Progress {
  /** The step to do now; undefined when all are done. */
  now: StepName | undefined;
  done: ReadonlySet<StepName>;
  gateway?: Gateway;
  connection?: GatewayConnection;
  board?: Board;
  agent?: Agent;
}

/** Reads the progress from what there is. */
export function progressOf(world: World): Progress {
  const done = new Set<StepName>();
  const connected = (gateway: Gateway) => world.connections.get(gateway.id)?.phase === ConnectionPhase.CONNECTED;
  const gateway = world.gateways.find(connected) ?? world.gateways[0];
  if (world.named || world.organization !== world.unnamed || world.gateways.length > 0) done.add("organization");
  // An agent that was heard of proves that its gateway works, whatever it does at this moment.
  const seen = world.agents.some((agent) => agent.boardId && agent.lastSeenAt);
  if (gateway && (connected(gateway) || seen)) done.add("gateway");
  const own = world.agents.filter((agent) => agent.boardId && agent.status !== "deleting");
  const agent = own.find((one) => one.lastSeenAt) ?? own[0];
  const board = world.boards.find((one) => one.id === (agent?.boardId ?? world.task?.boardId)) ?? world.boards.find((one) => one.gatewayId) ?? world.boards[0];
  if (board?.gatewayId) done.add("board");
  if (agent) done.add("agent");
  if (world.task) done.add("task");
  return { now: STEPS.find((step) => !done.has(step)), done, gateway, connection: gateway && world.connections.get(gateway.id), board, agent };
}
