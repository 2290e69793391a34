import { create } from "@bufbuild/protobuf";
import { timestampNow } from "@bufbuild/protobuf/wkt";
import { expect, test } from "vitest";
import { AgentSchema } from "@/gen/missioncontrol/agent/v1/agent_pb";
import { BoardSchema, TaskSchema } from "@/gen/missioncontrol/board/v1/board_pb";
import { ConnectionPhase, GatewayConnectionSchema, GatewaySchema } from "@/gen/missioncontrol/gateway/v1/gateway_pb";
import { progressOf, type World } from "./progress";

const NOTHING: World = { organization: "Personal", unnamed: "Personal", named: false, gateways: [], connections: new Map(), boards: [], agents: [] };
const gateway = create(GatewaySchema, { id: "g" });
const phase = (phase: ConnectionPhase) => new Map([["g", create(GatewayConnectionSchema, { gatewayId: "g", phase })]]);
const board = create(BoardSchema, { id: "b", gatewayId: "g" });

test("each step follows from what exists", () => {
  const worlds: Partial<World>[] = [
    {},
    { named: true },
    { gateways: [gateway], connections: phase(ConnectionPhase.PAIRING_REQUIRED) },
    { connections: phase(ConnectionPhase.CONNECTED) },
    { boards: [board] },
    { agents: [create(AgentSchema, { id: "a", boardId: "b", status: "provisioning" })] },
    { task: create(TaskSchema, { id: "t", boardId: "b" }) },
  ];
  let world = NOTHING;
  const seen = worlds.map((more) => progressOf((world = { ...world, ...more })).now);
  expect(seen).toEqual(["organization", "gateway", "gateway", "board", "agent", "task", undefined]);
});

test("a named organization needs no name, and a main agent is not the first agent", () => {
  const progress = progressOf({ ...NOTHING, organization: "Analog", gateways: [gateway], connections: phase(ConnectionPhase.CONNECTED), boards: [board], agents: [create(AgentSchema, { id: "m", status: "online" })] });
  expect(progress.now).toBe("agent");
});

test("a board without a gateway is not enough", () => {
  const progress = progressOf({ ...NOTHING, gateways: [gateway], connections: phase(ConnectionPhase.CONNECTED), boards: [create(BoardSchema, { id: "x" })] });
  expect([progress.now, progress.board?.id]).toEqual(["board", "x"]);
});

test("a gateway that is away for a moment does not undo the step when an agent was heard of", () => {
  const agents = [create(AgentSchema, { id: "a", boardId: "b", status: "online", lastSeenAt: timestampNow() })];
  const progress = progressOf({ ...NOTHING, gateways: [gateway], connections: phase(ConnectionPhase.UNREACHABLE), boards: [board], agents });
  expect(progress.now).toBe("task");
});
