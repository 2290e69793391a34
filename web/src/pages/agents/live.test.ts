import { create } from "@bufbuild/protobuf";
import { QueryClient } from "@tanstack/react-query";
import { expect, test } from "vitest";
import { type Agent, AgentSchema } from "@/gen/missioncontrol/agent/v1/agent_pb";
import type { LiveEvent } from "@/lib/live";
import { agentOf, applyAgent } from "./live";

const event = (type: string, agentId: string, after: unknown): LiveEvent => ({
  id: "1", type, message: "", boardId: "", taskId: "", agentId, actor: { type: "service", id: "agent", name: "agent" }, requestId: "", at: 0, before: null, after,
});

test("a change of status is written into the list, with nothing asked", () => {
  const client = new QueryClient();
  client.setQueryData(["agents", "list"], [create(AgentSchema, { id: "a", name: "Ada", status: "provisioning" }), create(AgentSchema, { id: "b", name: "Bob", status: "online" })]);
  applyAgent(event("agent.status_changed", "a", { id: "a", name: "Ada", gateway_id: "g", status: "online", status_reason: "It was heard of." }), client);
  const list = client.getQueryData<Agent[]>(["agents", "list"]);
  expect(list?.map(({ id, status }) => [id, status])).toEqual([["a", "online"], ["b", "online"]]);
  expect(list?.[0]?.statusReason).toBe("It was heard of.");
});

test("new agents come first and deleted ones go", () => {
  const client = new QueryClient();
  client.setQueryData(["agents", "list"], [create(AgentSchema, { id: "a" })]);
  applyAgent(event("agent.created", "c", { id: "c", gateway_id: "g", status: "provisioning" }), client);
  applyAgent(event("agent.deleted", "a", null), client);
  expect(client.getQueryData<Agent[]>(["agents", "list"])?.map(({ id }) => id)).toEqual(["c"]);
});

test("what is not an agent is not taken for one", () => {
  expect(agentOf(event("agent.soul.updated", "a", { agent_id: "a" }))).toBeUndefined();
  expect(agentOf(event("agent.deleted", "a", null))).toBeUndefined();
});
