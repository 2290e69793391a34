import { useQuery } from "@tanstack/react-query";
import { ChevronRight, FileCheck2, FileDiff, ScanSearch } from "lucide-react";
import { useRef, useState } from "react";
import { Link } from "wouter";
import { type AgentFilesPreview, FileChange, type FilePreview, TemplateService } from "@/gen/missioncontrol/agent/v1/agent_pb";
import type { Gateway } from "@/gen/missioncontrol/gateway/v1/gateway_pb";
import { api } from "@/lib/api";
import { say } from "@/lib/errors";
import { OperationView, useOperation } from "@/parts/operation";
import gateways from "@/texts/en/gateways";
import { texts } from "@/texts/catalogue";
import { Badge } from "@/ui/badge";
import { Button } from "@/ui/button";
import { confirm } from "@/ui/confirm";
import { countDiff, Diff } from "@/ui/text-diff";
import { Field, FormFailure, Select, Switch } from "@/ui/field";
import { Card } from "@/ui/page";
import { Notice } from "@/ui/states";
import { Progress } from "@/ui/steps";
import { toastError } from "@/ui/toast";
import { boardsQuery } from "./queries";
import { sortPreviews } from "./templates-state";

const t = texts("gateways", gateways).template;
const PAGE = 20;

const START = { includeMain: true, leadOnly: false, overwrite: false, forceBootstrap: false, resetSessions: false, rotateTokens: false, boardId: "" };

/** Shows what a sync would write, agent by agent, writes it, and follows it. */
export default function Templates({ gateway }: { gateway: Gateway }) {
  const boards = useQuery(boardsQuery).data?.filter((board) => board.gatewayId === gateway.id) ?? [];
  const [options, setOptions] = useState(START);
  const [looked, setLooked] = useState<{ items: AgentFilesPreview[]; total: number; over: boolean; failure: string }>();
  const [looking, setLooking] = useState(false);
  const [starting, setStarting] = useState(false);
  const [operation, setOperation] = useState<string>();
  const control = useRef<AbortController>(undefined);
  const following = useOperation(operation);

  const set = <K extends keyof typeof START>(name: K, value: (typeof START)[K]) => {
    setOptions((all) => ({ ...all, [name]: value }));
    // What was looked at is no longer what would be written; sessions and tokens are no files.
    if (name !== "resetSessions" && name !== "rotateTokens") {
      control.current?.abort();
      setLooking(false);
      setLooked(undefined);
    }
  };
  const request = { gatewayId: gateway.id, includeMain: options.includeMain, leadOnly: options.leadOnly, overwrite: options.overwrite, forceBootstrap: options.forceBootstrap, boardId: options.boardId || undefined };

  const look = async () => {
    control.current?.abort();
    const mine = new AbortController();
    control.current = mine;
    setOperation(undefined);
    setLooking(true);
    setLooked({ items: [], total: 0, over: false, failure: "" });
    let items: AgentFilesPreview[] = [];
    try {
      for (;;) {
        const page = await api(TemplateService).previewTemplateSync({ ...request, limit: PAGE, offset: items.length }, { signal: mine.signal, timeoutMs: 90_000 });
        items = [...items, ...page.items];
        const over = page.items.length === 0 || items.length >= page.total;
        setLooked({ items, total: page.total, over, failure: "" });
        if (over) break;
      }
    } catch (error) {
      if (!mine.signal.aborted) setLooked((now) => ({ items: now?.items ?? [], total: now?.total ?? 0, over: false, failure: say(error) }));
    }
    if (control.current === mine) setLooking(false);
  };

  const { changing, same, left } = sortPreviews(looked?.items ?? []);
  const reach = changing.length + (options.resetSessions || options.rotateTokens ? same.length : 0);
  const apply = async () => {
    const destroys = [...(options.overwrite ? [t.destroysNotes] : []), ...(options.resetSessions ? [t.destroysSessions] : []), ...(options.rotateTokens ? [t.destroysTokens] : [])];
    if (!(await confirm({ title: t.confirmTitle(gateway.name), body: t.confirmBody(reach), destroys, action: t.confirm, mild: destroys.length === 0 }))) return;
    setStarting(true);
    try {
      const begun = await api(TemplateService).startTemplateSync({ ...request, resetSessions: options.resetSessions, rotateTokens: options.rotateTokens });
      setOperation(begun.id);
    } catch (error) {
      toastError(error, t.startFailed);
    }
    setStarting(false);
  };

  return (
    <div className="grid items-start gap-5 lg:grid-cols-[320px_1fr]">
      <Card title={t.title}>
        <form
          className="space-y-4"
          onSubmit={(event) => {
            event.preventDefault();
            void look();
          }}
        >
          <p className="text-xs text-muted">{t.lead}</p>
          <Field label={t.board}>
            <Select value={options.boardId} onChange={(event) => set("boardId", event.target.value)}>
              <option value="">{t.allBoards}</option>
              {boards.map((board) => (
                <option key={board.id} value={board.id}>
                  {board.name}
                </option>
              ))}
            </Select>
          </Field>
          <Switch label={t.includeMain} checked={options.includeMain} onChange={(on) => set("includeMain", on)} />
          <Switch label={t.leadOnly} checked={options.leadOnly} onChange={(on) => set("leadOnly", on)} />
          <hr />
          <Switch label={t.overwrite} hint={t.overwriteHint} checked={options.overwrite} onChange={(on) => set("overwrite", on)} />
          <Switch label={t.forceBootstrap} hint={t.forceBootstrapHint} checked={options.forceBootstrap} onChange={(on) => set("forceBootstrap", on)} />
          <Switch label={t.resetSessions} hint={t.resetSessionsHint} checked={options.resetSessions} onChange={(on) => set("resetSessions", on)} />
          <Switch label={t.rotateTokens} hint={t.rotateTokensHint} checked={options.rotateTokens} onChange={(on) => set("rotateTokens", on)} />
          <Button type="submit" icon={ScanSearch} variant={looked?.over ? "default" : "primary"} busy={looking}>
            {looked ? t.lookAgain : t.look}
          </Button>
        </form>
      </Card>
      <div className="min-w-0 space-y-4" aria-busy={looking}>
        {operation && (
          <Card title={t.result}>
            <OperationView following={following} />
          </Card>
        )}
        {!looked && !operation && (
          <Card flush>
            <Notice icon={FileDiff} title={t.look}>
              {t.lead}
            </Notice>
          </Card>
        )}
        {looked && !operation && (
          <>
            {looking && (
              <div className="space-y-1.5" role="status">
                <p className="text-xs text-muted">{t.looking(looked.items.length, looked.total)}</p>
                <Progress value={looked.total > 0 ? looked.items.length / looked.total : 0} label={t.looking(looked.items.length, looked.total)} />
              </div>
            )}
            <FormFailure>{looked.failure}</FormFailure>
            {looked.over && reach > 0 && (
              <div className="flex flex-wrap items-center gap-3">
                <Button variant="primary" busy={starting} onClick={() => void apply()}>
                  {t.apply(reach)}
                </Button>
                {same.length > 0 && <span className="text-xs text-muted">{t.showSame(same.length)}</span>}
              </div>
            )}
            {looked.over && changing.length === 0 && left.length === 0 && (
              <Card flush>
                <Notice icon={FileCheck2} title={looked.total === 0 ? t.noAgents : t.nothing}>
                  {looked.total === 0 ? t.noAgentsBody : t.nothingBody}
                </Notice>
              </Card>
            )}
            {[...changing, ...left].map((preview) => (
              <AgentChanges key={preview.agentId} preview={preview} />
            ))}
          </>
        )}
      </div>
    </div>
  );
}

function AgentChanges({ preview }: { preview: AgentFilesPreview }) {
  const moved = preview.files.filter((file) => file.change === FileChange.CHANGED || file.change === FileChange.NEW);
  const kept = preview.files.filter((file) => file.change === FileChange.KEPT);
  const reason = preview.error ?? preview.skipped;
  return (
    <Card
      flush
      title={
        <Link to={`/agents/${preview.agentId}`} className="rounded-sm hover:underline">
          {preview.agentName}
        </Link>
      }
      actions={preview.error ? <Badge tone="bad">{t.failed}</Badge> : preview.skipped ? <Badge>{t.skipped}</Badge> : <Badge tone="info">{t.files(moved.length)}</Badge>}
    >
      {reason && <p className="px-4 py-3 text-sm text-muted">{reason}</p>}
      {[...moved, ...kept].map((file) => (
        <FileRow key={file.name} file={file} agent={preview.agentName} />
      ))}
    </Card>
  );
}

const WORDS: Record<FileChange, { label: string; tone: "info" | "ok" | "neutral" }> = {
  [FileChange.UNSPECIFIED]: { label: t.change.same, tone: "neutral" },
  [FileChange.UNCHANGED]: { label: t.change.same, tone: "neutral" },
  [FileChange.CHANGED]: { label: t.change.changed, tone: "info" },
  [FileChange.NEW]: { label: t.change.new, tone: "ok" },
  [FileChange.KEPT]: { label: t.change.kept, tone: "neutral" },
};

function FileRow({ file, agent }: { file: FilePreview; agent: string }) {
  const [open, setOpen] = useState(false);
  const { added, removed } = countDiff(file.diff);
  const { label, tone } = WORDS[file.change];
  return (
    <div className="border-b border-line-soft last:border-0">
      <button type="button" aria-expanded={open} onClick={() => setOpen(!open)} className="flex h-9 w-full items-center gap-2 px-4 text-left -outline-offset-2 hover:bg-hover">
        <ChevronRight size={14} aria-hidden className={`shrink-0 text-subtle transition-transform ${open ? "rotate-90" : ""}`} />
        <span className="min-w-0 flex-1 truncate font-mono text-xs">{file.name}</span>
        <span className="text-xs text-subtle tabular">{t.lines(added, removed)}</span>
        <Badge tone={tone}>{label}</Badge>
      </button>
      {open && <Diff diff={file.diff} label={t.diffOf(file.name, agent)} className="max-h-96 border-t border-line-soft" />}
    </div>
  );
}
