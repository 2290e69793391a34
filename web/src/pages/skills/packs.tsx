import { useQuery, useQueryClient } from "@tanstack/react-query";
import { Blocks, ExternalLink, MoreHorizontal, Package, Pencil, Plus, RefreshCw, Trash2 } from "lucide-react";
import { useState } from "react";
import { Link } from "wouter";
import { PackSyncState, type SkillPack, SkillPackService } from "@/gen/missioncontrol/agent/v1/skills_pb";
import { api } from "@/lib/api";
import { trouble } from "@/lib/errors";
import { number } from "@/lib/format";
import { useHotkeys } from "@/lib/hotkeys";
import { useSearchState } from "@/lib/search";
import skills from "@/texts/en/skills";
import { texts } from "@/texts/catalogue";
import { Badge, type Tone } from "@/ui/badge";
import { Button, LinkButton } from "@/ui/button";
import { confirm } from "@/ui/confirm";
import { Menu } from "@/ui/menu";
import { Card, Page, Table } from "@/ui/page";
import { Notice, QueryView } from "@/ui/states";
import { Time } from "@/ui/time";
import { toast, toastError } from "@/ui/toast";
import { PackForm } from "./pack-form";
import { packsQuery } from "./queries";

const t = texts("skills", skills);

const STATES: Record<PackSyncState, { tone: Tone; label: string }> = {
  [PackSyncState.UNSPECIFIED]: { tone: "neutral", label: t.syncStates.never },
  [PackSyncState.NEVER]: { tone: "neutral", label: t.syncStates.never },
  [PackSyncState.QUEUED]: { tone: "info", label: t.syncStates.queued },
  [PackSyncState.RUNNING]: { tone: "info", label: t.syncStates.running },
  [PackSyncState.SUCCEEDED]: { tone: "ok", label: t.syncStates.succeeded },
  [PackSyncState.FAILED]: { tone: "bad", label: t.syncStates.failed },
};

/** All packs with how their last reading went. */
export default function Packs() {
  const list = useQuery(packsQuery);
  const queries = useQueryClient();
  const [params, change] = useSearchState();
  const [editing, setEditing] = useState<SkillPack>();
  const [reading, setReading] = useState<ReadonlySet<string>>(new Set());
  useHotkeys([{ keys: "c", label: t.addPack, group: t.packs, run: () => change({ new: "1" }) }]);

  const read = async (pack: Pick<SkillPack, "id" | "name">) => {
    setReading((all) => new Set(all).add(pack.id));
    try {
      const { synced, created, updated } = await api(SkillPackService).syncSkillPack({ packId: pack.id });
      toast({ tone: "ok", title: t.synced(pack.name), body: t.syncedBody(synced, created, updated) });
    } catch (error) {
      if (trouble(error) === "slow") toast({ title: t.syncGoesOn(pack.name), body: t.syncGoesOnBody });
      else toastError(error, t.syncFailed);
    }
    setReading((all) => {
      const rest = new Set(all);
      rest.delete(pack.id);
      return rest;
    });
    void queries.invalidateQueries({ queryKey: ["skill-packs"] });
    void queries.invalidateQueries({ queryKey: ["skills"] });
  };
  const remove = async (pack: SkillPack) => {
    if (!(await confirm({ title: t.deletePackTitle(pack.name), body: pack.skillCount > 0 ? t.deletePackBody(pack.skillCount) : undefined, destroys: [t.deletePackDestroys], action: t.deletePack }))) return;
    try {
      await api(SkillPackService).deleteSkillPack({ packId: pack.id });
      void queries.invalidateQueries({ queryKey: ["skill-packs"] });
      toast({ tone: "ok", title: t.packDeleted(pack.name) });
    } catch (error) {
      toastError(error, t.packDeleteFailed);
    }
  };
  const add = (
    <Button variant="primary" icon={Plus} onClick={() => change({ new: "1" })}>
      {t.addPack}
    </Button>
  );
  return (
    <Page
      title={t.packs}
      above={[{ label: t.marketplace, to: "/skills" }]}
      actions={
        list.data?.length !== 0 && (
          <>
            <LinkButton icon={Blocks} to="/skills">
              {t.toMarketplace}
            </LinkButton>
            {add}
          </>
        )
      }
    >
      <Card flush>
        <QueryView
          query={list}
          isEmpty={(all) => all.length === 0}
          empty={
            <Notice icon={Package} title={t.packsEmptyTitle} action={add}>
              {t.packsEmptyBody}
            </Notice>
          }
        >
          {(all) => (
            <Table label={t.packs} head={[t.name, t.count, t.state, ""]} narrow={[2]}>
              {all.map((pack) => {
                const busy = reading.has(pack.id) || pack.sync?.state === PackSyncState.RUNNING || pack.sync?.state === PackSyncState.QUEUED;
                return (
                  <tr key={pack.id}>
                    <td className="max-w-96 max-sm:max-w-40">
                      <span className="block truncate font-medium">{pack.name}</span>
                      <span className="block truncate font-mono text-2xs text-subtle">
                        {pack.sourceUrl.replace(/^https?:\/\//, "")} · {pack.branch}
                      </span>
                      {pack.description && <span className="block truncate text-xs text-muted">{pack.description}</span>}
                    </td>
                    <td className="tabular">
                      <Link to={`/skills?pack=${pack.id}`} className="rounded-sm text-muted hover:text-ink hover:underline">
                        {number(pack.skillCount)}
                      </Link>
                    </td>
                    <td className="max-w-96 min-w-40">
                      <Sync pack={pack} busy={reading.has(pack.id)} />
                    </td>
                    <td className="w-10">
                      <div className="flex items-center justify-end gap-1.5">
                        <Button size="sm" icon={RefreshCw} busy={busy} onClick={() => void read(pack)} className="max-sm:hidden">
                          {t.sync}
                        </Button>
                        <Menu
                          label={t.actions(pack.name)}
                          align="end"
                          className="inline-flex size-7 items-center justify-center rounded-md text-muted hover:bg-hover hover:text-ink"
                          items={[
                            { label: t.sync, icon: RefreshCw, disabled: busy, run: () => void read(pack) },
                            { label: t.source, icon: ExternalLink, run: () => window.open(pack.sourceUrl, "_blank", "noopener,noreferrer") },
                            { label: t.editPack, icon: Pencil, run: () => setEditing(pack) },
                            { label: t.deletePack, icon: Trash2, danger: true, separated: true, run: () => void remove(pack) },
                          ]}
                        >
                          <MoreHorizontal size={16} aria-hidden />
                        </Menu>
                      </div>
                    </td>
                  </tr>
                );
              })}
            </Table>
          )}
        </QueryView>
      </Card>
      {params.get("new") !== null && <PackForm onClose={() => change({ new: null })} onAdded={(pack) => void read(pack)} />}
      {editing && <PackForm pack={editing} onClose={() => setEditing(undefined)} />}
    </Page>
  );
}

function Sync({ pack, busy }: { pack: SkillPack; busy: boolean }) {
  const { tone, label } = busy ? STATES[PackSyncState.RUNNING] : STATES[pack.sync?.state ?? PackSyncState.NEVER];
  const { error, warnings = [], commit, finishedAt } = pack.sync ?? {};
  return (
    <div className="space-y-0.5">
      <span className="flex flex-wrap items-center gap-2">
        <Badge tone={tone} dot>
          {label}
        </Badge>
        {finishedAt && (
          <span className="text-xs text-subtle">
            <Time at={finishedAt} />
            {commit && <span className="font-mono"> · {commit.slice(0, 7)}</span>}
          </span>
        )}
      </span>
      {error && !busy && <p className="text-xs break-words text-bad-ink">{error}</p>}
      {warnings.length > 0 && (
        <details className="text-xs text-muted">
          <summary className="w-fit rounded-sm hover:text-ink">{t.warnings(warnings.length)}</summary>
          <ul className="mt-1 max-h-40 list-disc space-y-0.5 overflow-y-auto pl-4">
            {warnings.map((warning) => (
              <li key={warning} className="break-words">
                {warning}
              </li>
            ))}
          </ul>
        </details>
      )}
    </div>
  );
}
