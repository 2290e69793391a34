import { queryOptions, useInfiniteQuery, useQuery, useQueryClient } from "@tanstack/react-query";
import { ChevronRight, MoreHorizontal, Pencil, Plus, Trash2, Webhook as WebhookIcon } from "lucide-react";
import { useState } from "react";
import { type BoardWebhook, BoardWebhookService } from "@/gen/missioncontrol/board/v1/webhooks_pb";
import { api } from "@/lib/api";
import { useForm } from "@/lib/form";
import { useMayWrite } from "@/lib/me";
import { readAll } from "@/lib/pages";
import { json } from "@/lib/rest";
import board from "@/texts/en/board";
import ui from "@/texts/en/ui";
import { texts } from "@/texts/catalogue";
import { Badge } from "@/ui/badge";
import { Button } from "@/ui/button";
import { confirm } from "@/ui/confirm";
import { CopyBox } from "@/ui/copy";
import { Dialog, DialogActions } from "@/ui/dialog";
import { Checkbox, Field, FormFailure, Input, Select, Switch, TextArea } from "@/ui/field";
import { Menu } from "@/ui/menu";
import { Card } from "@/ui/page";
import { Notice, QueryView, Skeleton } from "@/ui/states";
import { Time } from "@/ui/time";
import { toast, toastError } from "@/ui/toast";
import type { BoardData } from "../data";

const t = texts("board", board);
const w = t.webhook;
const words = texts("ui", ui);

const webhooksQuery = (boardId: string) =>
  queryOptions({
    queryKey: ["board-webhooks", boardId, "list"],
    queryFn: ({ signal }) => readAll((limit, offset) => api(BoardWebhookService).listBoardWebhooks({ boardId, limit, offset }, { signal })),
  });

/** What others may send to a board, and what they sent. */
export function Webhooks({ boardId, data }: { boardId: string; data: BoardData }) {
  const query = useQuery(webhooksQuery(boardId));
  const queries = useQueryClient();
  const mayWrite = useMayWrite(boardId);
  const [editing, setEditing] = useState<BoardWebhook | "new">();
  const add = mayWrite && (
    <Button variant="primary" icon={Plus} onClick={() => setEditing("new")}>
      {w.new}
    </Button>
  );
  const remove = async (webhook: BoardWebhook) => {
    const yes = await confirm({ title: w.deleteTitle, body: webhook.description, destroys: [w.deletePayloads, w.deleteAddress], action: w.delete });
    if (!yes) return;
    try {
      await api(BoardWebhookService).deleteBoardWebhook({ boardId, webhookId: webhook.id });
      await queries.invalidateQueries({ queryKey: ["board-webhooks", boardId] });
    } catch (error) {
      toastError(error, t.notDeleted);
    }
  };
  return (
    <>
      <QueryView
        query={query}
        isEmpty={(all) => all.length === 0}
        empty={
          <Notice icon={WebhookIcon} title={w.none} action={add}>
            {w.noneBody}
          </Notice>
        }
      >
        {(all) => (
          <div className="space-y-4">
            {all.map((webhook) => (
              <Card
                key={webhook.id}
                title={webhook.description}
                actions={
                  <>
                    {!webhook.enabled && <Badge>{w.off}</Badge>}
                    <Badge tone={webhook.hasSecret ? "ok" : "warn"}>{webhook.hasSecret ? w.signed : w.open}</Badge>
                    {mayWrite && (
                      <Menu
                        label={w.actions}
                        align="end"
                        className="inline-flex size-7 items-center justify-center rounded-md text-muted hover:bg-hover"
                        items={[
                          { label: w.edit, icon: Pencil, run: () => setEditing(webhook) },
                          { label: w.delete, icon: Trash2, danger: true, separated: true, run: () => void remove(webhook) },
                        ]}
                      >
                        <MoreHorizontal size={16} aria-hidden />
                      </Menu>
                    )}
                  </>
                }
              >
                <div className="space-y-3">
                  <div>
                    <p className="mb-1 text-xs text-muted">{w.endpoint}</p>
                    <CopyBox label={w.endpoint} text={webhook.endpointUrl ?? location.origin + webhook.endpointPath} />
                  </div>
                  <p className="text-xs text-muted">
                    {w.agent}: {webhook.agentId ? (data.agents.find((agent) => agent.id === webhook.agentId)?.name ?? t.deletedAgent) : w.lead}
                  </p>
                  <Payloads boardId={boardId} webhook={webhook} />
                </div>
              </Card>
            ))}
            {add}
          </div>
        )}
      </QueryView>
      {editing && <WebhookForm boardId={boardId} data={data} webhook={editing === "new" ? undefined : editing} onClose={() => setEditing(undefined)} />}
    </>
  );
}

function Payloads({ boardId, webhook }: { boardId: string; webhook: BoardWebhook }) {
  const query = useInfiniteQuery({
    queryKey: ["board-webhooks", boardId, webhook.id, "payloads"],
    queryFn: ({ pageParam, signal }) => api(BoardWebhookService).listBoardWebhookPayloads({ boardId, webhookId: webhook.id, limit: 50, offset: pageParam }, { signal }),
    initialPageParam: 0,
    getNextPageParam: ({ offset, items, total }) => (items.length > 0 && offset + items.length < total ? offset + items.length : undefined),
    select: ({ pages }) => pages.flatMap((page) => page.items),
  });
  return (
    <div>
      <p className="mb-1 text-xs text-muted">{w.payloads}</p>
      <QueryView
        query={query}
        skeleton={<Skeleton lines={2} />}
        isEmpty={(all) => all.length === 0}
        empty={
          <div className="space-y-1.5">
            <p className="text-sm text-muted">{w.noPayloads}</p>
            <CopyBox label={w.noPayloads} text={`curl -X POST -H 'Content-Type: application/json' -d '{"hello":"board"}' ${webhook.endpointUrl ?? location.origin + webhook.endpointPath}`} />
          </div>
        }
      >
        {(all) => (
          <ul className="divide-y divide-line-soft overflow-hidden rounded-md border">
            {all.map((payload) => {
              const body = json(payload.payload);
              const text = typeof body === "string" ? body : JSON.stringify(body, null, 2);
              return (
                <li key={payload.id}>
                  <details className="group/payload">
                    <summary className="flex h-9 items-center gap-2 px-3 text-xs hover:bg-hover">
                      <ChevronRight size={13} aria-hidden className="text-subtle transition-transform group-open/payload:rotate-90" />
                      <code className="min-w-0 flex-1 truncate font-mono">{(text ?? "").replace(/\s+/g, " ").slice(0, 140)}</code>
                      {payload.sourceIp && <span className="text-subtle">{`${w.source} ${payload.sourceIp}`}</span>}
                      <Time at={payload.receivedAt} className="text-subtle" />
                    </summary>
                    <div className="space-y-2 border-t bg-sunken px-3 py-2">
                      <p className="text-2xs font-medium text-subtle">{w.body}</p>
                      <pre tabIndex={0} className="max-h-72 overflow-auto font-mono text-xs whitespace-pre-wrap">
                        {text}
                      </pre>
                      {payload.headers && (
                        <>
                          <p className="text-2xs font-medium text-subtle">{w.headers}</p>
                          <pre tabIndex={0} className="max-h-40 overflow-auto font-mono text-xs whitespace-pre-wrap">
                            {Object.entries(payload.headers.values).map(([name, value]) => `${name}: ${value}`).join("\n")}
                          </pre>
                        </>
                      )}
                    </div>
                  </details>
                </li>
              );
            })}
            {query.hasNextPage && (
              <li className="py-1.5 text-center">
                <Button size="sm" variant="ghost" busy={query.isFetchingNextPage} onClick={() => void query.fetchNextPage()}>
                  {words.showMore}
                </Button>
              </li>
            )}
          </ul>
        )}
      </QueryView>
    </div>
  );
}

function WebhookForm({ boardId, data, webhook, onClose }: { boardId: string; data: BoardData; webhook?: BoardWebhook; onClose: () => void }) {
  const queries = useQueryClient();
  const form = useForm({
    initial: {
      description: webhook?.description ?? "",
      enabled: webhook?.enabled ?? true,
      agentId: webhook?.agentId ?? "",
      secret: "",
      unsigned: false,
      signatureHeader: webhook?.signatureHeader ?? "",
    },
    send: async (values) => {
      const body = {
        boardId,
        description: values.description.trim(),
        enabled: values.enabled,
        agentId: values.agentId || undefined,
        signatureHeader: values.signatureHeader.trim() || undefined,
        secret: values.secret || undefined,
      };
      if (webhook) {
        const paths = ["description", "enabled", "agent_id", "signature_header", ...(values.secret !== "" || values.unsigned ? ["secret"] : [])];
        await api(BoardWebhookService).updateBoardWebhook({ ...body, webhookId: webhook.id, updateMask: { paths } });
      } else await api(BoardWebhookService).createBoardWebhook(body);
      await queries.invalidateQueries({ queryKey: ["board-webhooks", boardId] });
      toast({ tone: "ok", title: t.saved });
      onClose();
    },
  });
  return (
    <Dialog open onClose={onClose} title={webhook ? w.edit : w.new} footer={<DialogActions onCancel={onClose} submit={webhook ? words.save : words.create} busy={form.busy} form="webhook" />}>
      <form id="webhook" onSubmit={form.submit} className="space-y-4" noValidate>
        <FormFailure>{form.failure}</FormFailure>
        <Field label={w.description} hint={w.descriptionHint} error={form.error("description")} required>
          <TextArea autoFocus {...form.text("description")} />
        </Field>
        <Field label={w.agent} error={form.error("agentId")}>
          <Select {...form.text("agentId")}>
            <option value="">{w.lead}</option>
            {data.agents.map((agent) => (
              <option key={agent.id} value={agent.id}>
                {agent.name}
              </option>
            ))}
          </Select>
        </Field>
        <Field label={w.secret} hint={webhook?.hasSecret ? w.secretKeep : w.secretHint} error={form.error("secret")} optional>
          <Input type="password" autoComplete="new-password" disabled={form.values.unsigned} {...form.text("secret")} />
        </Field>
        {webhook?.hasSecret && <Checkbox label={w.secretRemove} checked={form.values.unsigned} onChange={(event) => form.set("unsigned", event.target.checked)} />}
        <Field label={w.header} hint={w.headerHint} error={form.error("signatureHeader")} optional>
          <Input {...form.text("signatureHeader")} />
        </Field>
        <Switch checked={form.values.enabled} onChange={(value) => form.set("enabled", value)} label={w.enabled} />
      </form>
    </Dialog>
  );
}
