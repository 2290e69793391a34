import { useQuery, useQueryClient } from "@tanstack/react-query";
import { RotateCw, X } from "lucide-react";
import { type ReactNode, useState } from "react";
import { type DeliveryAttempt, WebhookService } from "@/gen/missioncontrol/activity/v1/activity_pb";
import { api } from "@/lib/api";
import { dateTime, duration } from "@/lib/format";
import { json } from "@/lib/rest";
import ui from "@/texts/en/ui";
import webhooks from "@/texts/en/webhooks";
import { texts } from "@/texts/catalogue";
import { Badge, Dot } from "@/ui/badge";
import { Button, IconButton } from "@/ui/button";
import { CopyButton } from "@/ui/copy";
import { Sheet } from "@/ui/dialog";
import { Facts } from "@/ui/page";
import { QueryView } from "@/ui/states";
import { Time } from "@/ui/time";
import { toast, toastError } from "@/ui/toast";
import { deliveryQuery } from "./queries";
import { fate } from "./webhook";

const t = texts("webhooks", webhooks);
const words = texts("ui", ui);

/** One delivery: every attempt with its answer, what was sent, and a way to send it again. */
export function DeliverySheet({ webhookId, deliveryId, onClose }: { webhookId: string; deliveryId: string; onClose: () => void }) {
  const query = useQuery(deliveryQuery(webhookId, deliveryId));
  const queries = useQueryClient();
  const [busy, setBusy] = useState(false);
  const again = async () => {
    setBusy(true);
    try {
      await api(WebhookService).redeliver({ webhookId, deliveryId });
      toast({ tone: "ok", title: t.redelivered });
    } catch (error) {
      toastError(error, t.notRedelivered);
    } finally {
      setBusy(false);
      void queries.invalidateQueries({ queryKey: ["deliveries"] });
    }
  };
  return (
    <Sheet open onClose={onClose} label={t.delivery} width="sm:w-[560px]">
      <header className="flex items-center gap-2 border-b px-5 py-3">
        <h2 className="min-w-0 flex-1 truncate font-mono text-sm font-semibold">{query.data?.delivery?.eventType ?? t.delivery}</h2>
        <Button icon={RotateCw} busy={busy} onClick={() => void again()}>
          {t.redeliver}
        </Button>
        <IconButton icon={X} label={words.close} onClick={onClose} className="-mr-2" />
      </header>
      <div className="min-h-0 flex-1 space-y-6 overflow-y-auto px-5 py-4" tabIndex={-1}>
        <QueryView query={query}>
          {({ delivery, attempts, payload }) => {
            if (!delivery) return null;
            const { label, tone } = fate(delivery.status);
            const facts: [ReactNode, ReactNode][] = [
              [
                t.state,
                <Badge key="state" tone={tone} dot>
                  {label}
                </Badge>,
              ],
              [t.when, delivery.createdAt && dateTime(delivery.createdAt)],
            ];
            if (delivery.deliveredAt) facts.push([t.delivered, dateTime(delivery.deliveredAt)]);
            if (delivery.nextAttemptAt && !delivery.deliveredAt) facts.push([t.nextAttempt, <Time key="next" at={delivery.nextAttemptAt} />]);
            facts.push([
              t.deliveryId,
              <span key="id" className="flex items-center gap-1">
                <code className="font-mono text-xs break-all">{delivery.id}</code>
                <CopyButton text={delivery.id} />
              </span>,
            ]);
            const body = JSON.stringify(json(payload) ?? null, null, 2);
            return (
              <>
                <Facts items={facts} />
                <section>
                  <h3 className="mb-2 text-xs font-medium text-subtle">{t.attemptCount(attempts.length)}</h3>
                  {attempts.length === 0 ? (
                    <p className="text-muted">{t.noAttempts}</p>
                  ) : (
                    <ol className="space-y-2">
                      {attempts.toReversed().map((attempt) => (
                        <Attempt key={attempt.number} attempt={attempt} />
                      ))}
                    </ol>
                  )}
                </section>
                <section>
                  <div className="mb-1 flex items-center">
                    <h3 className="flex-1 text-xs font-medium text-subtle">{t.body}</h3>
                    <CopyButton text={body} />
                  </div>
                  <pre className="max-h-96 overflow-auto rounded-md border bg-sunken p-3 font-mono text-xs" tabIndex={0}>
                    {body}
                  </pre>
                </section>
              </>
            );
          }}
        </QueryView>
      </div>
    </Sheet>
  );
}

function Attempt({ attempt }: { attempt: DeliveryAttempt }) {
  const good = attempt.status !== undefined && attempt.status >= 200 && attempt.status < 300;
  return (
    <li className="rounded-md border px-3 py-2">
      <p className="flex flex-wrap items-center gap-x-2">
        <Dot tone={good ? "ok" : "bad"} />
        <span className="font-medium">{t.attempt(attempt.number)}</span>
        <span className="text-muted">
          {attempt.status === undefined ? t.noAnswer : t.answered(attempt.status)} · {duration(attempt.durationMs)}
        </span>
        <Time at={attempt.startedAt} className="ml-auto text-xs text-subtle" />
      </p>
      {attempt.error && <p className="mt-1 break-words text-bad-ink">{attempt.error}</p>}
      {attempt.responseExcerpt && (
        <pre className="mt-1.5 max-h-32 overflow-auto rounded-sm bg-sunken px-2 py-1 font-mono text-xs break-words whitespace-pre-wrap" tabIndex={0}>
          {attempt.responseExcerpt}
        </pre>
      )}
    </li>
  );
}
