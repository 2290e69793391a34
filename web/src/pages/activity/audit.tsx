import { useInfiniteQuery, useQuery } from "@tanstack/react-query";
import { Download, FileJson, FileSpreadsheet, ScrollText, Search, ShieldCheck } from "lucide-react";
import { useEffect, useMemo, useState } from "react";
import { AuditFormat } from "@/gen/missioncontrol/activity/v1/audit_pb";
import { trouble } from "@/lib/errors";
import { number, timeZone } from "@/lib/format";
import { useHotkeys } from "@/lib/hotkeys";
import { later } from "@/lib/later";
import { useRows } from "@/lib/rows";
import { useSearchState } from "@/lib/search";
import { useStore } from "@/lib/store";
import { boardsQuery } from "@/pages/boards/queries";
import activity from "@/texts/en/activity";
import ui from "@/texts/en/ui";
import { texts } from "@/texts/catalogue";
import { Button } from "@/ui/button";
import { Input } from "@/ui/field";
import { Menu } from "@/ui/menu";
import { Page } from "@/ui/page";
import { Failure, Notice, QueryView, Skeleton } from "@/ui/states";
import { toast, toastError } from "@/ui/toast";
import { End } from "./activity";
import { EventSheet } from "./event-sheet";
import { Chip, Filter, FilterBar, Toggle } from "./filters";
import { Day, days, EventRow, KIND_CHOICES } from "./looks";
import { auditPages, type AuditFilters, exportAudit } from "./queries";

const Verification = later(() => import("./verification"));

const t = texts("activity", activity);
const words = texts("ui", ui);
const NONE = { q: null, actor: null, "actor-name": null, by: null, kind: null, board: null, target: null, request: null, from: null, to: null };

/** Every change of the organization, in a chain that shows edits. */
export default function Audit() {
  const [params, change] = useSearchState();
  const zone = useStore(timeZone);
  const get = (name: string) => params.get(name) ?? "";
  const filters = useMemo<AuditFilters>(() => {
    const one = (name: string) => params.get(name) ?? "";
    return {
      text: one("q"),
      actor: one("actor"),
      actorType: one("by"),
      kinds: one("kind") ? one("kind").split(",") : [],
      heartbeats: one("heartbeats") === "1",
      board: one("board"),
      target: one("target"),
      request: one("request"),
      from: one("from"),
      to: one("to"),
    };
  }, [params]);
  const audit = useInfiniteQuery({ ...auditPages(filters, zone), placeholderData: (before) => before });
  const boards = useQuery(boardsQuery);
  const boardNames = useMemo(() => new Map(boards.data?.map((board) => [board.id, board.name])), [boards.data]);
  const entries = useMemo(() => (audit.data?.pages ?? []).flatMap((page) => page.items), [audit.data]);
  const all = audit.data?.pages[0]?.entries;
  const ids = useMemo(() => entries.map((entry) => entry.id), [entries]);
  const { current, choose, step } = useRows(ids, "event-");
  const [opened, setOpened] = useState<string>();
  const [verifying, setVerifying] = useState(false);
  const [exporting, setExporting] = useState(false);
  const shown = entries.find((entry) => entry.id === opened);
  useHotkeys([
    { keys: "j", label: words.next, group: t.audit, run: () => step(1) },
    { keys: "k", label: words.previous, group: t.audit, run: () => step(-1) },
  ]);
  const save = (format: AuditFormat) => {
    setExporting(true);
    exportAudit(filters, zone, format)
      .then((name) => toast({ tone: "ok", title: t.exported(name) }))
      .catch((error: unknown) => toastError(error, t.exportFailed))
      .finally(() => setExporting(false));
  };
  if (audit.error && !audit.data && trouble(audit.error) === "denied") {
    return (
      <Page title={t.audit}>
        <Failure error={audit.error} />
      </Page>
    );
  }
  const filtered = Object.keys(NONE).some((name) => get(name) !== "");
  return (
    <Page
      bare
      title={t.audit}
      lead={all !== undefined && t.auditLead(number(all))}
      actions={
        <>
          <Menu
            label={t.exportAs}
            align="end"
            className="inline-flex h-8 items-center gap-1.5 rounded-md border bg-surface px-3 text-sm font-medium shadow-card hover:bg-hover aria-busy:opacity-55"
            items={[
              { label: t.exportCsv, icon: FileSpreadsheet, disabled: exporting, run: () => save(AuditFormat.CSV) },
              { label: t.exportJsonl, icon: FileJson, disabled: exporting, run: () => save(AuditFormat.JSONL) },
            ]}
          >
            <Download size={14} aria-hidden />
            {exporting ? t.exporting : t.export}
          </Menu>
          <Button icon={ShieldCheck} onClick={() => setVerifying(true)}>
            {t.verify}
          </Button>
        </>
      }
    >
      <div className="flex h-full min-h-0 flex-col">
        <FilterBar>
          <Text value={filters.text} onChange={(q) => change({ q })} />
          <Filter
            label={t.actorType}
            none={t.actorTypes[""]}
            choices={Object.entries(t.actorTypes).map(([value, label]) => ({ value, label }))}
            value={[filters.actorType]}
            onChange={([by = ""]) => change({ by })}
          />
          <Filter label={t.kinds} none={t.allKinds} choices={KIND_CHOICES} value={filters.kinds} multiple onChange={(next) => change({ kind: next.join() })} />
          <Filter
            label={t.board}
            none={t.allBoards}
            choices={[{ value: "", label: t.allBoards }, ...(boards.data ?? []).map((board) => ({ value: board.id, label: board.name }))]}
            value={[filters.board]}
            onChange={([id = ""]) => change({ board: id })}
          />
          <DayInput label={t.from} value={filters.from} max={filters.to} onChange={(from) => change({ from })} />
          <DayInput label={t.to} value={filters.to} min={filters.from} onChange={(to) => change({ to })} />
          <Toggle on={filters.heartbeats} onChange={(on) => change({ heartbeats: on ? "1" : null })}>
            {t.heartbeats}
          </Toggle>
          {filters.actor && (
            <Chip label={t.actorChip(get("actor-name"))} onRemove={() => change({ actor: null, "actor-name": null })}>
              {t.actorChip(get("actor-name") || filters.actor)}
            </Chip>
          )}
          {filters.request && (
            <Chip label={t.requestChip(filters.request)} onRemove={() => change({ request: null })}>
              {t.requestChip(filters.request.slice(0, 13))}
            </Chip>
          )}
          {filters.target && (
            <Chip label={t.targetChip} onRemove={() => change({ target: null })}>
              {t.targetChip}
            </Chip>
          )}
          {filtered && (
            <Button size="sm" variant="ghost" onClick={() => change(NONE)}>
              {t.clear}
            </Button>
          )}
        </FilterBar>
        <div className="min-h-0 flex-1 overflow-y-auto" tabIndex={-1}>
          <QueryView
            query={{ ...audit, data: audit.data && entries }}
            skeleton={<Skeleton lines={12} className="p-6" />}
            isEmpty={(some) => some.length === 0}
            empty={
              <Notice icon={ScrollText} title={filtered ? t.noneTitle : t.emptyTitle} className="py-24">
                {filtered ? t.noneBody : t.emptyBody}
              </Notice>
            }
          >
            {(some) => (
              <>
                {days(some).map(({ day, name, events }) => (
                  <section key={day}>
                    <Day name={name} />
                    <ul>
                      {events.map((entry) => (
                        <li key={entry.id}>
                          <EventRow
                            event={entry}
                            board={filters.board ? undefined : boardNames.get(entry.boardId)}
                            place={entry.position.toString()}
                            current={entry.id === current}
                            onOpen={() => {
                              choose(entry.id);
                              setOpened(entry.id);
                            }}
                          />
                        </li>
                      ))}
                    </ul>
                  </section>
                ))}
                <End more={audit.hasNextPage} busy={audit.isFetchingNextPage} onMore={() => void audit.fetchNextPage()} />
              </>
            )}
          </QueryView>
        </div>
      </div>
      {shown && <EventSheet event={shown} board={boardNames.get(shown.boardId)} onClose={() => setOpened(undefined)} />}
      {verifying && <Verification onClose={() => setVerifying(false)} />}
    </Page>
  );
}

/** A text that is searched for when it rests. */
function Text({ value, onChange }: { value: string; onChange: (value: string) => void }) {
  const [typed, setTyped] = useState(value);
  useEffect(() => setTyped(value), [value]);
  useEffect(() => {
    if (typed === value) return;
    const timer = setTimeout(() => onChange(typed), 250);
    return () => clearTimeout(timer);
  }, [typed, value, onChange]);
  return (
    <div className="relative">
      <Search size={13} aria-hidden className="pointer-events-none absolute top-1.75 left-2 text-subtle" />
      <Input type="search" aria-label={t.text} placeholder={t.text} value={typed} maxLength={200} onChange={(event) => setTyped(event.target.value)} className="h-7! w-52! pl-7! text-xs!" />
    </div>
  );
}

function DayInput({ label, value, min, max, onChange }: { label: string; value: string; min?: string; max?: string; onChange: (value: string) => void }) {
  return (
    <label className="flex items-center gap-1.5 text-xs text-muted">
      {label}
      <Input type="date" value={value} min={min || undefined} max={max || undefined} onChange={(event) => onChange(event.target.value)} className="h-7! w-32! px-1.5! text-xs!" />
    </label>
  );
}
