import { useQuery } from "@tanstack/react-query";
import { BookOpen } from "lucide-react";
import { useState } from "react";
import { type Agent, AgentService } from "@/gen/missioncontrol/agent/v1/agent_pb";
import { api } from "@/lib/api";
import { say } from "@/lib/errors";
import { useForm } from "@/lib/form";
import { later } from "@/lib/later";
import { jsonBytes } from "@/lib/rest";
import { boardsQuery } from "@/pages/boards/queries";
import agents from "@/texts/en/agents";
import { texts } from "@/texts/catalogue";
import { Badge } from "@/ui/badge";
import { Button } from "@/ui/button";
import { Field, FormFailure, Input, Select, TextArea } from "@/ui/field";
import { Card } from "@/ui/page";
import { Notice, Skeleton } from "@/ui/states";
import { toast } from "@/ui/toast";
import { FilesView, filesQuery, useSettled } from "./files";
import { CHOICES, everyOf, heartbeatJson, isInterval, type Profile, profileJson, profileOf, RHYTHMS } from "./profile";

const t = texts("agents", agents);
const f = t.form;
const Souls = later(() => import("./souls"));
const EMPTY_PATHS: readonly string[] = [];

/** All of an agent on the left, its files as they would be on the right. */
export function AgentForm({ agent, boardId, onDone }: { agent?: Agent; boardId?: string; onDone: (agent: Agent) => void }) {
  const boards = useQuery(boardsQuery).data?.filter((board) => board.gatewayId) ?? [];
  const [souls, setSouls] = useState(false);
  const [wanted, setWanted] = useState("IDENTITY.md");
  const form = useForm({
    initial: {
      name: agent?.name ?? "",
      boardId: agent?.boardId ?? boardId ?? (boards.length === 1 ? (boards[0]?.id ?? "") : ""),
      ...profileOf(agent),
      heartbeatConfig: everyOf(agent),
      identityTemplate: agent?.identityTemplate ?? "",
      soulTemplate: agent?.soulTemplate ?? "",
    },
    check: (values) => ({
      name: values.name.trim() ? undefined : f.nameMissing,
      boardId: values.boardId || agent?.isGatewayMain ? undefined : f.boardMissing,
      heartbeatConfig: isInterval(values.heartbeatConfig) ? undefined : f.heartbeatWrong,
    }),
    send: async (values) => {
      const body = {
        name: values.name.trim(),
        boardId: values.boardId || undefined,
        identityProfile: jsonBytes(profileJson(values, agent)),
        heartbeatConfig: jsonBytes(heartbeatJson(values.heartbeatConfig, agent)),
        identityTemplate: values.identityTemplate.trim() || undefined,
        soulTemplate: values.soulTemplate.trim() || undefined,
      };
      const paths = ["name", "identity_profile", "heartbeat_config", "identity_template", "soul_template", ...(agent?.isGatewayMain ? EMPTY_PATHS : ["board_id"])];
      const saved = agent ? await api(AgentService).updateAgent({ agentId: agent.id, updateMask: { paths }, ...body }) : await api(AgentService).createAgent(body);
      toast({ tone: "ok", title: agent ? f.saved : f.created(saved.name) });
      onDone(saved);
    },
  });
  const { values } = form;
  const draft = useSettled({
    agentId: agent?.id,
    boardId: values.boardId || undefined,
    name: values.name.trim() || (agent ? undefined : f.namePlaceholder),
    profile: profileJson(values, agent),
    identityTemplate: values.identityTemplate,
    soulTemplate: values.soulTemplate,
  });
  const ready = Boolean(agent ?? draft.boardId);
  const files = useQuery({ ...filesQuery(draft), enabled: ready });
  const problems = (field: "identity_template" | "soul_template") =>
    files.data?.errors
      .filter((error) => error.field === field)
      .map((error) => (error.variable ? f.unknownVariable(error.variable, error.line) : error.message))
      .join(" ") || undefined;
  const choice = (name: keyof typeof CHOICES & keyof Profile, label: string) => (
    <Field label={label}>
      <Select {...form.text(name)}>
        <option value="">{f.asBefore}</option>
        {[...new Set([...CHOICES[name], ...(values[name] ? [values[name]] : [])])].map((value) => (
          <option key={value} value={value}>
            {f.options[value] ?? value}
          </option>
        ))}
      </Select>
    </Field>
  );
  const rhythm = (RHYTHMS as readonly string[]).includes(values.heartbeatConfig);
  const [other, setOther] = useState(!rhythm);

  return (
    <div className="grid items-start gap-5 xl:grid-cols-[minmax(0,1fr)_minmax(0,1fr)]">
      <form onSubmit={form.submit} noValidate className="min-w-0 space-y-5">
        <FormFailure>{form.failure}</FormFailure>
        <Card title={f.identity}>
          <div className="space-y-4" onFocus={() => setWanted("IDENTITY.md")}>
            <p className="text-xs text-muted">{f.identityLead}</p>
            <div className="grid gap-4 sm:grid-cols-2">
              <Field label={t.name} error={form.error("name")} required>
                <Input {...form.text("name")} placeholder={f.namePlaceholder} autoFocus={!agent} autoComplete="off" />
              </Field>
              {!agent?.isGatewayMain && (
                <Field label={t.board} hint={boards.length === 0 ? f.noBoards : f.boardHint} error={form.error("boardId")} required>
                  <Select {...form.text("boardId")}>
                    <option value="">–</option>
                    {boards.map((board) => (
                      <option key={board.id} value={board.id}>
                        {board.name}
                      </option>
                    ))}
                  </Select>
                </Field>
              )}
              <Field label={t.role} error={form.error("role")} optional>
                <Input {...form.text("role")} placeholder={f.rolePlaceholder} />
              </Field>
              <Field label={f.style} error={form.error("style")} optional>
                <Input {...form.text("style")} placeholder={f.stylePlaceholder} />
              </Field>
            </div>
            <Field label={f.purpose} error={form.error("purpose")} optional>
              <TextArea rows={2} {...form.text("purpose")} placeholder={f.purposePlaceholder} />
            </Field>
            <div className="grid gap-4 sm:grid-cols-2">
              <Field label={f.personality} error={form.error("personality")} optional>
                <Input {...form.text("personality")} />
              </Field>
              <Field label={f.emoji} error={form.error("emoji")} optional>
                <Input {...form.text("emoji")} placeholder=":gear:" />
              </Field>
              {choice("autonomy", f.autonomy)}
              {choice("verbosity", f.verbosity)}
              {choice("format", f.format)}
              {choice("cadence", f.cadence)}
            </div>
            <Field label={f.instructions} error={form.error("instructions")} optional>
              <TextArea rows={3} {...form.text("instructions")} />
            </Field>
          </div>
        </Card>
        <Card title={f.heartbeat}>
          <div className="space-y-4">
            <p className="text-xs text-muted">{f.heartbeatLead}</p>
            <div className="grid gap-4 sm:grid-cols-2">
              <Field label={f.heartbeatEvery}>
                <Select
                  value={other ? "other" : values.heartbeatConfig}
                  onChange={(event) => {
                    setOther(event.target.value === "other");
                    if (event.target.value !== "other") form.set("heartbeatConfig", event.target.value);
                  }}
                >
                  {RHYTHMS.map((every) => (
                    <option key={every} value={every}>
                      {every === "0m" ? f.heartbeatOff : every}
                    </option>
                  ))}
                  <option value="other">{f.heartbeatCustom}</option>
                </Select>
              </Field>
              {other && (
                <Field label={f.heartbeatCustom} hint={f.heartbeatHint} error={form.error("heartbeatConfig")} required>
                  <Input {...form.text("heartbeatConfig")} className="font-mono text-xs" />
                </Field>
              )}
            </div>
          </div>
        </Card>
        <Card
          title={f.soul}
          actions={
            <Button size="sm" icon={BookOpen} onClick={() => setSouls(true)}>
              {f.findSoul}
            </Button>
          }
        >
          <div className="space-y-4">
            <p className="text-xs text-muted">{f.soulLead}</p>
            <Field label={f.soulTemplate} error={form.error("soulTemplate") ?? problems("soul_template")} optional>
              <TextArea rows={6} onFocus={() => setWanted("SOUL.md")} {...form.text("soulTemplate")} spellCheck={false} className="font-mono text-xs" />
            </Field>
            <Field label={f.identityTemplate} error={form.error("identityTemplate") ?? problems("identity_template")} optional>
              <TextArea rows={4} onFocus={() => setWanted("IDENTITY.md")} {...form.text("identityTemplate")} spellCheck={false} className="font-mono text-xs" />
            </Field>
            {files.data && files.data.variables.length > 0 && (
              <details className="text-xs">
                <summary className="w-fit rounded-sm font-medium text-muted hover:text-ink">{f.variables}</summary>
                <p className="mt-2 flex flex-wrap gap-1">
                  {files.data.variables.map((variable) => (
                    <Badge key={variable} className="font-mono">
                      {variable}
                    </Badge>
                  ))}
                </p>
              </details>
            )}
          </div>
        </Card>
        <Button variant="primary" size="lg" type="submit" busy={form.busy}>
          {agent ? f.save : f.create}
        </Button>
      </form>
      <Card title={f.preview} flush className="min-w-0 overflow-hidden xl:sticky xl:top-0">
        <p className="border-b px-4 py-2 text-xs text-muted">{f.previewLead}</p>
        {!ready ? (
          <Notice title={f.previewWaits} />
        ) : files.data ? (
          <FilesView data={files.data} wanted={wanted} stale={files.isPlaceholderData} className="h-[60vh] xl:h-[calc(100dvh-210px)]" />
        ) : files.error ? (
          <Notice title={f.previewFailed}>{say(files.error)}</Notice>
        ) : (
          <div className="p-4">
            <Skeleton lines={8} />
          </div>
        )}
      </Card>
      {souls && (
        <Souls
          onClose={() => setSouls(false)}
          onTake={(text) => {
            form.set("soulTemplate", text);
            setWanted("SOUL.md");
          }}
        />
      )}
    </div>
  );
}
