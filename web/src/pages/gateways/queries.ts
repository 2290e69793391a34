import { queryOptions } from "@tanstack/react-query";
import { GatewayService } from "@/gen/missioncontrol/gateway/v1/gateway_pb";
import { api } from "@/lib/api";
import { json } from "@/lib/rest";
import type { SessionPlace } from "@/parts/conversation";

export { boardsQuery, gatewaysQuery } from "@/pages/boards/queries";

/** How the connections of all gateways stand, by gateway. */
export const connectionsQuery = queryOptions({
  queryKey: ["gateways", "connections"],
  queryFn: async ({ signal }) => {
    const { items } = await api(GatewayService).listGatewayConnections({}, { signal });
    return new Map(items.map((connection) => [connection.gatewayId, connection]));
  },
});

/** One gateway. */
export const gatewayQuery = (gatewayId: string) =>
  queryOptions({
    queryKey: ["gateways", gatewayId],
    queryFn: ({ signal }) => api(GatewayService).getGateway({ gatewayId }, { signal }),
  });

/** A session as its gateway lists it. */
export interface Session {
  key: string;
  label?: string | null;
  displayName?: string | null;
  updatedAt?: number | null;
  model?: string | null;
  totalTokens?: number | null;
}

/** The sessions of a gateway; asked of the gateway itself. */
export const sessionsQuery = (gatewayId: string, at: SessionPlace) =>
  queryOptions({
    // Not below `gateways`: a change of the connection is no reason to ask for all sessions again.
    queryKey: ["sessions", gatewayId],
    queryFn: async ({ signal }) => json<Session[]>((await api(GatewayService).listGatewaySessions(at, { signal })).sessions) ?? [],
    staleTime: 10_000,
    retry: false,
  });
