import { useInfiniteQuery, useQuery, useQueryClient } from "@tanstack/react-query";
import { MoreHorizontal, Pencil, Power, Send, Trash2 } from "lucide-react";
import { useState } from "react";
import { useLocation, useParams } from "wouter";
import { type Delivery, DeliveryStatus, type Webhook, WebhookService } from "@/gen/missioncontrol/activity/v1/activity_pb";
import { api } from "@/lib/api";
import { number } from "@/lib/format";
import { useSearchState } from "@/lib/search";
import { boardsQuery } from "@/pages/boards/queries";
import organization from "@/texts/en/organization";
import ui from "@/texts/en/ui";
import webhooks from "@/texts/en/webhooks";
import { texts } from "@/texts/catalogue";
import { Badge, type Tone } from "@/ui/badge";
import { Button } from "@/ui/button";
import { confirm } from "@/ui/confirm";
import { Menu } from "@/ui/menu";
import { Card, Page, Table } from "@/ui/page";
import { Notice, QueryView } from "@/ui/states";
import { Segments } from "@/ui/tabs";
import { Time } from "@/ui/time";
import { toast, toastError } from "@/ui/toast";
import { DeliverySheet } from "./delivery";
import { deliveriesQuery, webhookQuery } from "./queries";
import { Kinds, State, WebhookForm } from "./webhook-form";

const t = texts("webhooks", webhooks);
const words = texts("ui", ui);
const places = texts("organization", organization);

type Filter = keyof typeof t.statuses;
const STATUS: Record<Filter, DeliveryStatus> = { all: DeliveryStatus.UNSPECIFIED, pending: DeliveryStatus.PENDING, succeeded: DeliveryStatus.SUCCEEDED, failed: DeliveryStatus.FAILED };

/** Word and colour of what became of a delivery. */
export function fate(status: DeliveryStatus): { label: string; tone: Tone } {
  switch (status) {
    case DeliveryStatus.SUCCEEDED:
      return { label: t.status.succeeded, tone: "ok" };
    case DeliveryStatus.FAILED:
      return { label: t.status.failed, tone: "bad" };
    case DeliveryStatus.PENDING:
      return { label: t.status.pending, tone: "warn" };
    default:
      return { label: t.status.unknown, tone: "neutral" };
  }
}

/** One webhook with its delivery log. */
export default function WebhookPage() {
  const { webhookId = "" } = useParams();
  const query = useQuery(webhookQuery(webhookId));
  const boards = useQuery(boardsQuery);
  const queries = useQueryClient();
  const [, go] = useLocation();
  const [editing, setEditing] = useState(false);
  const webhook = query.data;
  const turn = async (on: boolean) => {
    try {
      await api(WebhookService).updateWebhook({ webhookId, updateMask: { paths: ["enabled"] }, enabled: on });
      void queries.invalidateQueries({ queryKey: ["webhooks"] });
      toast({ tone: "ok", title: on ? t.turnedOn : t.turnedOff });
    } catch (error) {
      toastError(error, t.notChanged);
    }
  };
  const remove = async () => {
    if (!(await confirm({ title: t.deleteTitle, body: webhook?.url, destroys: Object.values(t.deleteDestroys), action: t.delete }))) return;
    try {
      await api(WebhookService).deleteWebhook({ webhookId });
      go("/organization/webhooks");
      queries.removeQueries({ queryKey: ["webhooks", webhookId] });
      void queries.invalidateQueries({ queryKey: ["webhooks", "list"] });
      toast({ tone: "ok", title: t.deleted });
    } catch (error) {
      toastError(error, t.notDeleted);
    }
  };
  return (
    <Page
      title={webhook ? webhook.url.replace(/^https?:\/\//, "") : t.webhook}
      above={[{ label: places.tabs.webhooks, to: "/organization/webhooks" }]}
      lead={webhook?.description}
      actions={
        webhook && (
          <>
            <State webhook={webhook} />
            <Button icon={Power} onClick={() => void turn(!webhook.enabled)}>
              {webhook.enabled ? t.turnOff : t.turnOn}
            </Button>
            <Menu
              label={t.actions(webhook.url)}
              align="end"
              className="inline-flex size-8 items-center justify-center rounded-md border bg-surface text-muted shadow-card hover:bg-hover hover:text-ink"
              items={[
                { label: t.editWebhook, icon: Pencil, run: () => setEditing(true) },
                { label: t.delete, icon: Trash2, danger: true, separated: true, run: () => void remove() },
              ]}
            >
              <MoreHorizontal size={16} aria-hidden />
            </Menu>
          </>
        )
      }
    >
      <QueryView query={query}>
        {(data) => (
          <div className="space-y-4">
            {!data.enabled && data.disabledReason && (
              <div role="status" className="rounded-lg bg-bad-wash px-4 py-3 text-bad-ink">
                <p className="font-medium">{t.reason}</p>
                <p>{data.disabledReason}</p>
              </div>
            )}
            <dl className="flex flex-wrap gap-x-10 gap-y-3 text-sm">
              <Fact name={t.url}>
                <span className="break-all">{data.url}</span>
              </Fact>
              <Fact name={t.events}>
                <Kinds kinds={data.eventTypes} />
              </Fact>
              <Fact name={t.board}>{data.boardId ? (boards.data?.find((board) => board.id === data.boardId)?.name ?? "…") : t.allBoards}</Fact>
              <Fact name={t.created}>
                <Time at={data.createdAt} />
              </Fact>
            </dl>
            <Deliveries webhook={data} />
            {editing && <WebhookForm webhook={data} onClose={() => setEditing(false)} />}
          </div>
        )}
      </QueryView>
    </Page>
  );
}

function Fact({ name, children }: { name: string; children: React.ReactNode }) {
  return (
    <div className="min-w-0">
      <dt className="text-xs text-subtle">{name}</dt>
      <dd className="mt-0.5">{children}</dd>
    </div>
  );
}

function Deliveries({ webhook }: { webhook: Webhook }) {
  const [params, change] = useSearchState();
  const filter = (Object.keys(STATUS) as Filter[]).find((one) => one === params.get("status")) ?? "all";
  const opened = params.get("delivery") ?? undefined;
  const log = useInfiniteQuery({ ...deliveriesQuery(webhook.id, STATUS[filter]), placeholderData: (before) => before });
  const all = log.data?.pages.flatMap((page) => page.items);
  return (
    <Card
      flush
      title={t.deliveries}
      actions={<Segments label={t.filter} value={filter} onChange={(status) => change({ status: status === "all" ? null : status })} options={(Object.keys(STATUS) as Filter[]).map((value) => ({ value, label: t.statuses[value] }))} />}
    >
      <QueryView
        query={{ ...log, data: all }}
        isEmpty={(some) => some.length === 0}
        empty={
          filter === "all" ? (
            <Notice icon={Send} title={t.noDeliveries}>
              {t.noDeliveriesBody}
            </Notice>
          ) : (
            <Notice icon={Send} title={t.noneFits} />
          )
        }
      >
        {(some) => (
          <>
            <Table label={t.deliveries} head={[t.state, t.event, t.attempts, t.result, t.when]} narrow={[3, 4]}>
              {some.map((delivery) => (
                <Row key={delivery.id} delivery={delivery} onOpen={() => change({ delivery: delivery.id })} />
              ))}
            </Table>
            {log.hasNextPage && (
              <div className="border-t p-3 text-center">
                <Button size="sm" busy={log.isFetchingNextPage} onClick={() => void log.fetchNextPage()}>
                  {words.showMore}
                </Button>
              </div>
            )}
          </>
        )}
      </QueryView>
      {opened && <DeliverySheet webhookId={webhook.id} deliveryId={opened} onClose={() => change({ delivery: null })} />}
    </Card>
  );
}

function Row({ delivery, onOpen }: { delivery: Delivery; onOpen: () => void }) {
  const { label, tone } = fate(delivery.status);
  return (
    <tr>
      <td>
        <Badge tone={tone} dot>
          {label}
        </Badge>
      </td>
      <td>
        <button type="button" onClick={onOpen} className="rounded-sm font-mono text-xs font-medium hover:underline">
          {delivery.eventType}
        </button>
      </td>
      <td className="text-muted tabular">{number(delivery.attempts)}</td>
      <td className="max-w-72">
        <span className="flex items-center gap-2">
          {delivery.lastStatus !== undefined && <span className="font-medium tabular">{delivery.lastStatus}</span>}
          <span className="truncate text-muted" title={delivery.lastError}>
            {delivery.lastError ?? ""}
          </span>
          {delivery.status === DeliveryStatus.PENDING && delivery.nextAttemptAt && (
            <span className="whitespace-nowrap text-warn-ink">
              {t.next} <Time at={delivery.nextAttemptAt} />
            </span>
          )}
        </span>
      </td>
      <td className="whitespace-nowrap text-muted">
        <Time at={delivery.createdAt} />
      </td>
    </tr>
  );
}
