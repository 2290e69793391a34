// What was said in a session of a gateway, and a way to say something.
import { queryOptions, useQuery, useQueryClient } from "@tanstack/react-query";
import { RotateCw, SendHorizontal } from "lucide-react";
import { type KeyboardEvent, useEffect, useRef, useState } from "react";
import { GatewayService } from "@/gen/missioncontrol/gateway/v1/gateway_pb";
import { api } from "@/lib/api";
import { useForm } from "@/lib/form";
import { json } from "@/lib/rest";
import conversation from "@/texts/en/conversation";
import { texts } from "@/texts/catalogue";
import { Badge } from "@/ui/badge";
import { Button, IconButton } from "@/ui/button";
import { cx } from "@/ui/cx";
import { Field, FormFailure, TextArea } from "@/ui/field";
import { Notice, QueryView } from "@/ui/states";
import { Time } from "@/ui/time";
import { readMessages } from "./conversation-state";

const t = texts("conversation", conversation);

/** Where a session is: a board whose gateway has it, or a gateway that has no board. */
export type SessionPlace = { boardId: string } | { gatewayId: string };

/** The newest messages of a session; asked of the gateway itself. */
export const historyQuery = (at: SessionPlace, sessionKey: string) =>
  queryOptions({
    queryKey: ["history", sessionKey],
    queryFn: async ({ signal }) => readMessages(json<unknown[]>((await api(GatewayService).getSessionHistory({ ...at, sessionId: sessionKey, limit: 200 }, { signal })).history) ?? []),
    staleTime: 5_000,
    retry: false,
  });

/** When an answer is looked for, in milliseconds after the question. */
const LOOKS_FOR_ANSWER = [1_000, 3_000, 7_000, 15_000, 30_000, 60_000];

/** The messages with a composer below. `name` is who answers. */
export function Conversation({ at, sessionKey, name, className }: { at: SessionPlace; sessionKey: string; name: string; className?: string }) {
  const history = useQuery(historyQuery(at, sessionKey));
  const queries = useQueryClient();
  const end = useRef<HTMLDivElement>(null);
  const [asked, setAsked] = useState(0);
  // What agents say is in no log of changes: after a question its answer is looked for a few times, ever more seldom.
  const answered = history.data?.at(-1)?.role === "assistant";
  useEffect(() => {
    if (asked === 0 || answered) return;
    const timers = LOOKS_FOR_ANSWER.map((pause) => setTimeout(() => void queries.invalidateQueries({ queryKey: ["history", sessionKey] }), pause));
    return () => timers.forEach(clearTimeout);
  }, [asked, answered, queries, sessionKey]);
  const count = history.data?.length ?? 0;
  useEffect(() => {
    const box = end.current?.parentElement;
    if (box) box.scrollTop = box.scrollHeight;
  }, [count]);
  const form = useForm({
    initial: { content: "" },
    check: (values) => ({ content: values.content.trim() ? undefined : t.missing }),
    send: async (values) => {
      await api(GatewayService).sendSessionMessage({ ...at, sessionId: sessionKey, content: values.content.trim() });
      form.reset({ content: "" });
      await queries.invalidateQueries({ queryKey: ["history", sessionKey] });
      setAsked(Date.now());
    },
  });
  const keys = (event: KeyboardEvent) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) form.submit();
  };
  return (
    <div className={cx("flex flex-col", className)}>
      <div className="flex items-center gap-2 border-b px-4 py-1.5">
        <span className="min-w-0 flex-1 truncate text-xs text-muted">{t.lead}</span>
        <IconButton icon={RotateCw} label={t.reload} size="sm" onClick={() => void history.refetch()} className={history.isFetching ? "[&>svg]:animate-spin" : ""} />
      </div>
      <div className="min-h-40 flex-1 overflow-y-auto px-4 py-3" tabIndex={0} role="region" aria-label={t.messages}>
        <QueryView query={history} isEmpty={(all) => all.length === 0} empty={<Notice title={t.emptyTitle}>{t.emptyBody}</Notice>}>
          {(all) => (
            <ol className="space-y-3">
              {all.map((message, index) => (
                <li key={index} className={cx("max-w-[46rem] rounded-lg px-3 py-2", message.role === "user" ? "ml-auto w-fit bg-info-wash" : message.role === "assistant" ? "border bg-surface" : "border border-dashed bg-sunken")}>
                  <div className="mb-0.5 flex items-center gap-2 text-xs">
                    <span className="font-medium">{message.role === "assistant" ? name : (t.roles[message.role] ?? message.role)}</span>
                    {message.tools.map((tool) => (
                      <Badge key={tool}>{tool}</Badge>
                    ))}
                    {message.at && <Time at={message.at} className="text-subtle" />}
                  </div>
                  <Said text={message.text} plain={message.role !== "assistant" && message.role !== "user"} />
                </li>
              ))}
            </ol>
          )}
        </QueryView>
        <div ref={end} />
      </div>
      <form onSubmit={form.submit} className="space-y-2 border-t p-3" noValidate>
        <FormFailure>{form.failure}</FormFailure>
        <div className="flex items-end gap-2">
          <Field label={t.say(name)} error={form.error("content")} className="flex-1">
            <TextArea rows={2} {...form.text("content")} onKeyDown={keys} />
          </Field>
          <Button type="submit" variant="primary" icon={SendHorizontal} busy={form.busy}>
            {t.send}
          </Button>
        </div>
      </form>
    </div>
  );
}

function Said({ text, plain }: { text: string; plain: boolean }) {
  if (text === "") return <p className="text-xs text-subtle">{t.wordless}</p>;
  const cut = plain && text.length > 1500 ? `${text.slice(0, 1500)}…` : text;
  return <p className={cx("break-words whitespace-pre-wrap", plain ? "font-mono text-xs text-muted" : "text-sm")}>{cut}</p>;
}
