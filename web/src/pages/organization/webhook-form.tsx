import { useQuery, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import { type Webhook, WebhookService, type WebhookWithSecret } from "@/gen/missioncontrol/activity/v1/activity_pb";
import { api } from "@/lib/api";
import { useForm } from "@/lib/form";
import { boardsQuery } from "@/pages/boards/queries";
import ui from "@/texts/en/ui";
import webhooks from "@/texts/en/webhooks";
import { texts } from "@/texts/catalogue";
import { Badge } from "@/ui/badge";
import { Button } from "@/ui/button";
import { CopyBox } from "@/ui/copy";
import { Dialog, DialogActions } from "@/ui/dialog";
import { Checkbox, Field, FormFailure, Input, Select, TextArea } from "@/ui/field";
import { toast } from "@/ui/toast";
import { kindsOf, splitKinds, SUBJECTS } from "./webhook-kinds";

const t = texts("webhooks", webhooks);
const words = texts("ui", ui);

/** Whether deliveries are made. */
export function State({ webhook }: { webhook: Pick<Webhook, "enabled" | "disabledReason"> }) {
  if (webhook.enabled) {
    return (
      <Badge tone="ok" dot>
        {t.on}
      </Badge>
    );
  }
  return (
    <Badge tone={webhook.disabledReason ? "bad" : "neutral"} dot title={webhook.disabledReason}>
      {webhook.disabledReason ? t.disabled : t.off}
    </Badge>
  );
}

/** Kinds of events in short. */
export function Kinds({ kinds }: { kinds: readonly string[] }) {
  if (kinds.length === 0) return <span className="text-muted">{t.allEvents}</span>;
  return (
    <span className="flex flex-wrap gap-1" title={kinds.join(", ")}>
      {kinds.slice(0, 3).map((kind) => (
        <code key={kind} className="rounded-sm border border-line-soft bg-sunken px-1 font-mono text-2xs">
          {kind}
        </code>
      ))}
      {kinds.length > 3 && <span className="text-xs text-subtle">+{kinds.length - 3}</span>}
    </span>
  );
}

/** Makes a webhook and shows its secret once, or changes one. */
export function WebhookForm({ webhook, onClose, onDone }: { webhook?: Webhook; onClose: () => void; onDone?: (id: string) => void }) {
  const queries = useQueryClient();
  const boards = useQuery(boardsQuery);
  const [made, setMade] = useState<WebhookWithSecret>();
  const before = splitKinds(webhook?.eventTypes ?? []);
  const form = useForm({
    initial: { url: webhook?.url ?? "", description: webhook?.description ?? "", chosen: before.chosen, eventTypes: before.words, boardId: webhook?.boardId ?? "", secret: "" },
    send: async (values) => {
      const eventTypes = kindsOf(values.chosen, values.eventTypes);
      const body = { url: values.url.trim(), description: values.description.trim() || undefined, boardId: values.boardId || undefined };
      if (webhook) {
        await api(WebhookService).updateWebhook({ webhookId: webhook.id, updateMask: { paths: ["url", "description", "event_types", "board_id"] }, ...body, eventTypes: { items: eventTypes } });
        toast({ tone: "ok", title: t.saved });
        onClose();
      } else {
        setMade(await api(WebhookService).createWebhook({ ...body, eventTypes, secret: values.secret.trim() || undefined }));
      }
      void queries.invalidateQueries({ queryKey: ["webhooks"] });
    },
  });
  if (made) {
    const done = () => {
      onClose();
      onDone?.(made.id);
    };
    return (
      <Dialog
        open
        onClose={done}
        title={t.ready}
        description={t.readyBody}
        footer={
          <Button variant="primary" onClick={done}>
            {t.done}
          </Button>
        }
      >
        <CopyBox text={made.secret} label={t.secretLabel} />
      </Dialog>
    );
  }
  const toggle = (kind: string) => form.set("chosen", form.values.chosen.includes(kind) ? form.values.chosen.filter((one) => one !== kind) : [...form.values.chosen, kind]);
  return (
    <Dialog open onClose={onClose} title={webhook ? t.editWebhook : t.newWebhook} footer={<DialogActions onCancel={onClose} submit={webhook ? words.save : t.create} busy={form.busy} form="webhook-form" />}>
      <form id="webhook-form" onSubmit={form.submit} className="space-y-4" noValidate>
        <FormFailure>{form.failure}</FormFailure>
        <Field label={t.url} hint={t.urlHint} error={form.error("url")} required>
          <Input autoFocus type="url" inputMode="url" placeholder="https://example.com/hooks/mission-control" {...form.text("url")} />
        </Field>
        <Field label={t.description} error={form.error("description")} optional>
          <Input {...form.text("description")} />
        </Field>
        <fieldset>
          <legend className="text-xs font-medium">
            {t.events} <span className="font-normal text-subtle">{t.eventsHint}</span>
          </legend>
          <div className="mt-1.5 grid grid-cols-2 gap-x-4 gap-y-1.5 sm:grid-cols-3">
            {SUBJECTS.map(({ kind, label }) => (
              <Checkbox key={kind} label={label} checked={form.values.chosen.includes(kind)} onChange={() => toggle(kind)} />
            ))}
          </div>
        </fieldset>
        <Field label={t.eventWord} hint={t.eventWordHint} error={form.error("eventTypes")} optional>
          <TextArea rows={1} spellCheck={false} className="min-h-9! font-mono text-xs!" {...form.text("eventTypes")} />
        </Field>
        <div className="grid gap-4 sm:grid-cols-2">
          <Field label={t.board} error={form.error("boardId")} optional>
            <Select {...form.text("boardId")}>
              <option value="">{t.allBoards}</option>
              {boards.data?.map((board) => (
                <option key={board.id} value={board.id}>
                  {board.name}
                </option>
              ))}
            </Select>
          </Field>
          {!webhook && (
            <Field label={t.secret} hint={t.secretHint} error={form.error("secret")} optional>
              <Input autoComplete="off" spellCheck={false} className="font-mono" {...form.text("secret")} />
            </Field>
          )}
        </div>
      </form>
    </Dialog>
  );
}
