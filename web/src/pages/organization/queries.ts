import { infiniteQueryOptions, queryOptions } from "@tanstack/react-query";
import { DeliveryStatus, WebhookService } from "@/gen/missioncontrol/activity/v1/activity_pb";
import { ApiKeyService } from "@/gen/missioncontrol/org/v1/keys_pb";
import { InviteService, MemberService, OrganizationService } from "@/gen/missioncontrol/org/v1/org_pb";
import { api } from "@/lib/api";
import { toDate } from "@/lib/format";
import { readAll } from "@/lib/pages";

/** The active organization. */
export const organizationQuery = queryOptions({ queryKey: ["organizations", "active"], queryFn: ({ signal }) => api(OrganizationService).getMyOrganization({}, { signal }) });

/** Its members, by address and name. */
export const membersQuery = queryOptions({ queryKey: ["members"], queryFn: ({ signal }) => readAll((limit, offset) => api(MemberService).listMembers({ limit, offset }, { signal })) });

/** Invites that nobody has accepted, the newest first. */
export const invitesQuery = queryOptions({ queryKey: ["invites"], queryFn: ({ signal }) => readAll((limit, offset) => api(InviteService).listInvites({ limit, offset }, { signal })) });

/** Keys: one's own, or all that act in the organization. */
export const keysQuery = (whose: "mine" | "organization") =>
  queryOptions({
    queryKey: ["keys", whose],
    queryFn: ({ signal }) =>
      readAll((limit, offset) => (whose === "mine" ? api(ApiKeyService).listMyApiKeys({ limit, offset }, { signal }) : api(ApiKeyService).listOrganizationApiKeys({ limit, offset }, { signal }))),
  });

/** Outbound webhooks, the newest first. */
export const webhooksQuery = queryOptions({ queryKey: ["webhooks", "list"], queryFn: ({ signal }) => readAll((limit, offset) => api(WebhookService).listWebhooks({ limit, offset }, { signal })) });

/** One webhook. */
export const webhookQuery = (webhookId: string) => queryOptions({ queryKey: ["webhooks", webhookId], queryFn: ({ signal }) => api(WebhookService).getWebhook({ webhookId }, { signal }) });

const PAGE = 50;

/** When a delivery that waits is tried next, in milliseconds from now; false when none waits. What becomes of an attempt is no event of the log. */
export function nextLook(deliveries: readonly { status: DeliveryStatus; nextAttemptAt?: Parameters<typeof toDate>[0] }[], now = Date.now()): number | false {
  const due = deliveries.filter((one) => one.status === DeliveryStatus.PENDING).map((one) => (one.nextAttemptAt ? toDate(one.nextAttemptAt).getTime() : now));
  return due.length === 0 ? false : Math.max(1000, Math.min(...due) - now + 700);
}

/** The delivery log, page by page. */
export const deliveriesQuery = (webhookId: string, status: DeliveryStatus) =>
  infiniteQueryOptions({
    queryKey: ["deliveries", webhookId, status],
    queryFn: ({ pageParam, signal }) => api(WebhookService).listDeliveries({ webhookId, status, limit: PAGE, offset: pageParam }, { signal }),
    initialPageParam: 0,
    getNextPageParam: (last, pages) => {
      const read = pages.reduce((sum, page) => sum + page.items.length, 0);
      return last.items.length > 0 && read < last.total ? read : undefined;
    },
    refetchInterval: (query) => nextLook(query.state.data?.pages.flatMap((page) => page.items) ?? []),
  });

/** One delivery with its attempts. */
export const deliveryQuery = (webhookId: string, deliveryId: string) =>
  queryOptions({
    queryKey: ["deliveries", webhookId, "one", deliveryId],
    queryFn: ({ signal }) => api(WebhookService).getDelivery({ webhookId, deliveryId }, { signal }),
    refetchInterval: (query) => nextLook(query.state.data?.delivery ? [query.state.data.delivery] : []),
  });
