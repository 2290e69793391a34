import { useQuery, useQueryClient } from "@tanstack/react-query";
import { Trash2 } from "lucide-react";
import { useState } from "react";
import { useLocation, useParams } from "wouter";
import { type Board, BoardService } from "@/gen/missioncontrol/board/v1/board_pb";
import { api } from "@/lib/api";
import { toDate, toTimestamp } from "@/lib/format";
import { useForm } from "@/lib/form";
import { useMayWrite } from "@/lib/me";
import { json, jsonBytes } from "@/lib/rest";
import { useSearchState } from "@/lib/search";
import { deleteBoard } from "@/pages/boards/delete";
import { BoardPlaces, type Rule, RULES, type Rules as Chosen, RuleSwitches } from "@/parts/board-rules";
import board from "@/texts/en/board";
import boardsTexts from "@/texts/en/boards";
import ui from "@/texts/en/ui";
import { texts } from "@/texts/catalogue";
import { Button } from "@/ui/button";
import { Field, FormFailure, Input, Switch, TextArea } from "@/ui/field";
import { Card, Page } from "@/ui/page";
import { QueryView } from "@/ui/states";
import { Tabs } from "@/ui/tabs";
import { toast, toastError } from "@/ui/toast";
import { type BoardData, boardQuery } from "../data";
import { Metrics } from "./metrics";
import { Webhooks } from "./webhooks";

const t = texts("board", board);
const b = texts("boards", boardsTexts);
const words = texts("ui", ui);
const TABS = ["general", "rules", "webhooks"] as const;
const snake = (name: string) => name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);

/** Settings of a board: what it is, its rules, what comes in from outside. */
export default function BoardSettings() {
  const { boardId = "" } = useParams();
  const query = useQuery(boardQuery(boardId));
  const [params, change] = useSearchState();
  const tab = TABS.find((one) => one === params.get("tab")) ?? "general";
  const name = query.data?.board.name ?? t.board;
  return (
    <Page
      title={t.settings}
      above={[
        { label: b.boards, to: "/boards" },
        { label: name, to: `/boards/${boardId}` },
      ]}
    >
      <QueryView query={query}>
        {(data) => (
          <div className="mx-auto max-w-3xl">
            <Tabs
              label={t.settings}
              value={tab}
              onChange={(value) => change({ tab: value === "general" ? null : value })}
              tabs={TABS.map((value) => ({ value, label: t[value] }))}
              panelClassName="pt-5 space-y-5"
            >
              {tab === "general" && <General key={data.board.id} data={data} />}
              {tab === "rules" && <Rules data={data} />}
              {tab === "webhooks" && <Webhooks boardId={boardId} data={data} />}
            </Tabs>
          </div>
        )}
      </QueryView>
    </Page>
  );
}

/** Saves some fields of a board and shows them everywhere. */
function useSave(boardId: string) {
  const queries = useQueryClient();
  return async (change: Partial<Board> & Record<string, unknown>) => {
    const saved = await api(BoardService).updateBoard({ boardId, updateMask: { paths: Object.keys(change).map(snake) }, ...(change as object) });
    queries.setQueryData(boardQuery(boardId).queryKey, (data) => data && { ...data, board: saved });
    void queries.invalidateQueries({ queryKey: ["boards"] });
  };
}

function General({ data }: { data: BoardData }) {
  const { board: now } = data;
  const save = useSave(now.id);
  const mayWrite = useMayWrite(now.id);
  const queries = useQueryClient();
  const [, go] = useLocation();
  const target = now.targetDate ? toDate(now.targetDate).toISOString().slice(0, 10) : "";
  const form = useForm({
    initial: {
      name: now.name,
      slug: now.slug,
      description: now.description,
      objective: now.objective ?? "",
      gatewayId: now.gatewayId ?? "",
      boardGroupId: now.boardGroupId ?? "",
      targetDate: target,
      goalConfirmed: now.goalConfirmed,
      successMetrics: json<Record<string, unknown>>(now.successMetrics) ?? {},
    },
    send: async (values) => {
      await save({
        name: values.name.trim(),
        slug: values.slug.trim(),
        description: values.description.trim(),
        objective: values.objective.trim() || undefined,
        gatewayId: values.gatewayId || undefined,
        boardGroupId: values.boardGroupId || undefined,
        targetDate: values.targetDate ? (toTimestamp(new Date(`${values.targetDate}T00:00:00Z`)) as never) : undefined,
        goalConfirmed: values.goalConfirmed,
        successMetrics: Object.keys(values.successMetrics).length > 0 ? jsonBytes(values.successMetrics) : undefined,
      });
      toast({ tone: "ok", title: t.saved });
    },
  });
  return (
    <>
      <Card title={t.general}>
        <form onSubmit={form.submit} noValidate>
          <fieldset disabled={!mayWrite} className="space-y-4">
            {!mayWrite && <p className="text-muted">{t.readOnly}</p>}
            <FormFailure>{form.failure}</FormFailure>
            <div className="grid gap-4 sm:grid-cols-2">
              <Field label={b.name} error={form.error("name")} required>
                <Input {...form.text("name")} />
              </Field>
              <Field label={b.slug} error={form.error("slug")} required>
                <Input {...form.text("slug")} />
              </Field>
            </div>
            <Field label={b.description} hint={b.descriptionHint} error={form.error("description")} required>
              <TextArea {...form.text("description")} />
            </Field>
            <Field label={t.objective} hint={b.objectiveHint} error={form.error("objective")} optional>
              <TextArea {...form.text("objective")} />
            </Field>
            <Metrics value={form.values.successMetrics} onChange={(value) => form.set("successMetrics", value)} error={form.error("successMetrics")} />
            <div className="grid gap-4 sm:grid-cols-2">
              <Field label={t.targetDate} error={form.error("targetDate")} optional>
                <Input type="date" {...form.text("targetDate")} />
              </Field>
              <div className="pt-4">
                <Switch checked={form.values.goalConfirmed} onChange={(value) => form.set("goalConfirmed", value)} label={t.goalConfirmed} hint={t.goalConfirmedHint} />
              </div>
            </div>
            <BoardPlaces gateway={form.text("gatewayId")} group={form.text("boardGroupId")} errors={{ gateway: form.error("gatewayId"), group: form.error("boardGroupId") }} />
            {mayWrite && (
              <div className="flex justify-end">
                <Button variant="primary" type="submit" busy={form.busy} disabled={!form.dirty}>
                  {words.save}
                </Button>
              </div>
            )}
          </fieldset>
        </form>
      </Card>
      {mayWrite && (
        <Card title={t.danger}>
          <div className="flex flex-wrap items-center gap-3">
            <p className="min-w-0 flex-1 text-muted">{t.dangerBody}</p>
            <Button variant="danger" icon={Trash2} onClick={() => void deleteBoard(now, queries).then((gone) => gone && go("/boards"))}>
              {b.deleteBoard}
            </Button>
          </div>
        </Card>
      )}
    </>
  );
}

function Rules({ data }: { data: BoardData }) {
  const { board: now } = data;
  const save = useSave(now.id);
  const mayWrite = useMayWrite(now.id);
  // What was switched shows at once; the server's word replaces it.
  const [shown, setShown] = useState<Partial<Record<Rule, boolean>>>({});
  const flip = async (rule: Rule, value: boolean) => {
    setShown((all) => ({ ...all, [rule]: value }));
    try {
      await save({ [rule]: value });
    } catch (error) {
      toastError(error, t.notSaved);
    } finally {
      setShown((all) => ({ ...all, [rule]: undefined }));
    }
  };
  const agents = useForm({
    initial: { maxAgents: String(now.maxAgents) },
    check: ({ maxAgents }) => ({ maxAgents: /^\d+$/.test(maxAgents) ? undefined : t.invalidNumber }),
    send: async ({ maxAgents }) => {
      await save({ maxAgents: Number(maxAgents) });
      toast({ tone: "ok", title: t.saved });
    },
  });
  return (
    <>
      <Card title={t.rules}>
        <RuleSwitches value={Object.fromEntries(RULES.map((rule) => [rule, shown[rule] ?? now[rule]])) as Chosen} onChange={(rule, on) => void flip(rule, on)} disabled={(rule) => !mayWrite || shown[rule] !== undefined} />
      </Card>
      <Card title={t.agents}>
        <form onSubmit={agents.submit} className="space-y-3" noValidate>
          <FormFailure>{agents.failure}</FormFailure>
          <div className="flex items-end gap-3">
            <Field label={t.maxAgents} hint={t.maxAgentsHint} error={agents.error("maxAgents")} className="flex-1">
              <Input inputMode="numeric" className="max-w-28" {...agents.text("maxAgents")} />
            </Field>
            {mayWrite && (
              <Button type="submit" busy={agents.busy} disabled={!agents.dirty}>
                {words.save}
              </Button>
            )}
          </div>
        </form>
      </Card>
    </>
  );
}
