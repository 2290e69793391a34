import { useQuery } from "@tanstack/react-query";
import { Plus, Webhook as WebhookIcon } from "lucide-react";
import { Link, useLocation } from "wouter";
import { boardsQuery } from "@/pages/boards/queries";
import { useSearchState } from "@/lib/search";
import webhooks from "@/texts/en/webhooks";
import { texts } from "@/texts/catalogue";
import { Button } from "@/ui/button";
import { Card, Table } from "@/ui/page";
import { Notice, QueryView } from "@/ui/states";
import { Time } from "@/ui/time";
import { webhooksQuery } from "./queries";
import { Kinds, State, WebhookForm } from "./webhook-form";

const t = texts("webhooks", webhooks);

/** Outbound webhooks. */
export default function Webhooks() {
  const query = useQuery(webhooksQuery);
  const boards = useQuery(boardsQuery);
  const [params, change] = useSearchState();
  const [, go] = useLocation();
  const add = (
    <Button variant="primary" icon={Plus} onClick={() => change({ new: "1" })}>
      {t.newWebhook}
    </Button>
  );
  return (
    <div className="space-y-3">
      <div className="flex flex-wrap items-center gap-3">
        <p className="min-w-0 flex-1 text-muted">{t.lead}</p>
        {(query.data?.length ?? 0) > 0 && add}
      </div>
      <Card flush>
        <QueryView
          query={query}
          isEmpty={(all) => all.length === 0}
          empty={
            <Notice icon={WebhookIcon} title={t.emptyTitle} action={add}>
              {t.emptyBody}
            </Notice>
          }
        >
          {(all) => (
            <Table label={t.webhooks} head={[t.url, t.events, t.board, t.state, t.created]} narrow={[2, 3, 5]}>
              {all.map((webhook) => (
                <tr key={webhook.id}>
                  <td className="max-w-[360px] sm:min-w-56">
                    <Link to={`/organization/webhooks/${webhook.id}`} className="block truncate rounded-sm font-medium hover:underline">
                      {webhook.url}
                    </Link>
                    {webhook.description && <span className="block truncate text-xs text-muted">{webhook.description}</span>}
                  </td>
                  <td>
                    <Kinds kinds={webhook.eventTypes} />
                  </td>
                  <td className="whitespace-nowrap text-muted">{webhook.boardId ? (boards.data?.find((board) => board.id === webhook.boardId)?.name ?? "…") : t.allBoards}</td>
                  <td>
                    <State webhook={webhook} />
                  </td>
                  <td className="whitespace-nowrap text-muted">
                    <Time at={webhook.createdAt} />
                  </td>
                </tr>
              ))}
            </Table>
          )}
        </QueryView>
      </Card>
      {params.get("new") !== null && <WebhookForm onClose={() => change({ new: null })} onDone={(id) => go(`/organization/webhooks/${id}`)} />}
    </div>
  );
}
