import { useQuery, useQueryClient } from "@tanstack/react-query";
import { Blocks, Check, Download, ExternalLink, MoreHorizontal, Package, Plus, Search, Trash2 } from "lucide-react";
import { useEffect, useMemo, useState } from "react";
import type { Gateway } from "@/gen/missioncontrol/gateway/v1/gateway_pb";
import { type SkillCard, SkillDispatch, SkillService } from "@/gen/missioncontrol/agent/v1/skills_pb";
import { api } from "@/lib/api";
import { number } from "@/lib/format";
import { useSearchState } from "@/lib/search";
import { kept } from "@/lib/store";
import { gatewaysQuery } from "@/pages/boards/queries";
import skills from "@/texts/en/skills";
import { texts } from "@/texts/catalogue";
import { Badge } from "@/ui/badge";
import { Button, LinkButton } from "@/ui/button";
import { confirm } from "@/ui/confirm";
import { Input, Select } from "@/ui/field";
import { Menu } from "@/ui/menu";
import { Page } from "@/ui/page";
import { Notice, QueryView } from "@/ui/states";
import { toast, toastError } from "@/ui/toast";
import { facets, narrowed, NONE, riskTone } from "./filter";
import { packsQuery, skillsQuery } from "./queries";
import { SkillForm } from "./skill-form";

const t = texts("skills", skills);
const PAGE = 48;

/** Skills that a gateway's agents can be given. */
export default function Marketplace() {
  const gateways = useQuery(gatewaysQuery);
  const [params, change] = useSearchState();
  const wanted = params.get("gateway") ?? kept.get("skills-gateway");
  const gateway = gateways.data?.find((one) => one.id === wanted) ?? gateways.data?.[0];
  useEffect(() => {
    if (gateway) kept.set("skills-gateway", gateway.id);
  }, [gateway]);
  return (
    <Page
      title={t.marketplace}
      actions={
        gateway && (
          <>
            {gateways.data && gateways.data.length > 1 && (
              <Select aria-label={t.gateway} value={gateway.id} onChange={(event) => change({ gateway: event.target.value })} className="w-auto! max-w-52">
                {gateways.data.map((one) => (
                  <option key={one.id} value={one.id}>
                    {one.name}
                  </option>
                ))}
              </Select>
            )}
            <LinkButton icon={Package} to="/skill-packs">
              {t.packs}
            </LinkButton>
            <Button variant="primary" icon={Plus} onClick={() => change({ new: "1" })}>
              {t.addSkill}
            </Button>
          </>
        )
      }
    >
      <QueryView
        query={gateways}
        isEmpty={(all) => all.length === 0}
        empty={
          <Notice
            icon={Blocks}
            title={t.noGatewayTitle}
            action={
              <LinkButton variant="primary" icon={Plus} to="/gateways/new">
                {t.addGateway}
              </LinkButton>
            }
          >
            {t.noGatewayBody}
          </Notice>
        }
      >
        {() => gateway && <Shelf gateway={gateway} />}
      </QueryView>
      {params.get("new") !== null && <SkillForm onClose={() => change({ new: null })} />}
    </Page>
  );
}

function Shelf({ gateway }: { gateway: Gateway }) {
  const all = useQuery(skillsQuery(gateway.id));
  return (
    <QueryView
      query={all}
      isEmpty={(skills) => skills.length === 0}
      empty={
        <Notice
          icon={Blocks}
          title={t.emptyTitle}
          action={
            <LinkButton variant="primary" icon={Plus} to="/skill-packs?new=1">
              {t.addPack}
            </LinkButton>
          }
        >
          {t.emptyBody}
        </Notice>
      }
    >
      {(skills) => <Found skills={skills} gateway={gateway} />}
    </QueryView>
  );
}

function Found({ skills: all, gateway }: { skills: readonly SkillCard[]; gateway: Gateway }) {
  const packs = useQuery(packsQuery).data ?? [];
  const [params, change] = useSearchState();
  const [most, setMost] = useState(PAGE);
  const narrow = { q: params.get("q") ?? "", category: params.get("category") ?? "", risk: params.get("risk") ?? "", pack: params.get("pack") ?? "", state: params.get("state") ?? "" };
  const key = JSON.stringify(narrow);
  useEffect(() => setMost(PAGE), [key]);
  const pack = packs.find((one) => one.id === narrow.pack);
  const found = useMemo(() => narrowed(all, narrow, pack), [all, key, pack]);
  const choices = (of: "category" | "risk", none: string) =>
    facets(all, of).map(([value, count]) => (
      <option key={value} value={value}>
        {value === NONE ? none : value} ({number(count)})
      </option>
    ));
  const select = (name: "category" | "risk" | "pack" | "state", options: React.ReactNode) => (
    <Select aria-label={t[name]} value={narrow[name]} onChange={(event) => change({ [name]: event.target.value })} className="w-auto! max-w-48 max-sm:flex-1">
      <option value="">{t.any[name]}</option>
      {options}
    </Select>
  );
  const narrowing = Object.values(narrow).some(Boolean);
  return (
    <>
      <div className="mb-4 flex flex-wrap items-center gap-2">
        <div className="relative w-64 max-sm:w-full">
          <Search size={14} aria-hidden className="pointer-events-none absolute top-2.25 left-2.5 text-subtle" />
          <Input type="search" aria-label={t.search} placeholder={t.search} value={narrow.q} onChange={(event) => change({ q: event.target.value })} className="pl-8" />
        </div>
        {select("category", choices("category", t.uncategorized))}
        {select("risk", choices("risk", t.unrated))}
        {packs.length > 1 &&
          select(
            "pack",
            packs.map((one) => (
              <option key={one.id} value={one.id}>
                {one.name}
              </option>
            )),
          )}
        {select(
          "state",
          <>
            <option value="installed">{t.installed}</option>
            <option value="not">{t.notInstalled}</option>
          </>,
        )}
        <span className="ml-auto text-xs text-muted tabular" role="status">
          {t.shown(found.length, all.length)}
        </span>
        {narrowing && (
          <Button size="sm" variant="ghost" onClick={() => change({ q: null, category: null, risk: null, pack: null, state: null })}>
            {t.clear}
          </Button>
        )}
      </div>
      {found.length === 0 ? (
        <Notice title={t.noneTitle}>{t.noneBody}</Notice>
      ) : (
        <ul className="grid gap-3 sm:grid-cols-2 xl:grid-cols-3">
          {found.slice(0, most).map((skill) => (
            <Card key={skill.id} skill={skill} gateway={gateway} />
          ))}
        </ul>
      )}
      {found.length > most && (
        <div className="mt-4 flex justify-center">
          <Button onClick={() => setMost(most + PAGE)}>{t.more}</Button>
        </div>
      )}
    </>
  );
}

const DISPATCH = {
  [SkillDispatch.QUEUED]: { tone: "info", label: t.dispatch.queued, hint: t.dispatchHint.queued },
  [SkillDispatch.SENT]: { tone: "ok", label: t.dispatch.sent, hint: t.dispatchHint.sent },
  [SkillDispatch.FAILED]: { tone: "bad", label: t.dispatch.failed, hint: t.dispatchHint.failed },
} as const;

function Card({ skill, gateway }: { skill: SkillCard; gateway: Gateway }) {
  const queries = useQueryClient();
  const [busy, setBusy] = useState(false);
  const dispatch = skill.dispatch ? DISPATCH[skill.dispatch as keyof typeof DISPATCH] : undefined;
  const ask = async () => {
    const yes = skill.installed
      ? await confirm({ title: t.uninstallTitle(skill.name, gateway.name), body: t.uninstallBody, action: t.uninstall })
      : riskTone(skill.risk) === "ok" || (await confirm({ title: t.installTitle(skill.name, gateway.name), body: t.installRisk(skill.risk ?? t.unrated), action: t.install, mild: true }));
    if (!yes) return;
    setBusy(true);
    try {
      const request = { skillId: skill.id, gatewayId: gateway.id };
      await (skill.installed ? api(SkillService).uninstallSkill(request) : api(SkillService).installSkill(request));
      await queries.invalidateQueries({ queryKey: ["skills"] });
      toast({ tone: "ok", title: t.asked(gateway.name) });
    } catch (error) {
      toastError(error, t.askFailed);
    }
    setBusy(false);
  };
  const remove = async () => {
    if (!(await confirm({ title: t.removeTitle(skill.name), body: t.removeBody, destroys: [t.removeDestroys], action: t.remove }))) return;
    try {
      await api(SkillService).deleteMarketplaceSkill({ skillId: skill.id });
      void queries.invalidateQueries({ queryKey: ["skills"] });
      toast({ tone: "ok", title: t.removed(skill.name) });
    } catch (error) {
      toastError(error, t.removeFailed);
    }
  };
  return (
    <li className="flex flex-col rounded-lg border bg-surface p-4 shadow-card">
      <div className="flex items-start gap-2">
        <h2 className="min-w-0 flex-1 text-sm font-semibold break-words">{skill.name}</h2>
        <Menu
          label={t.actions(skill.name)}
          align="end"
          className="-mt-1 -mr-2 inline-flex size-7 items-center justify-center rounded-md text-muted hover:bg-hover hover:text-ink"
          items={[
            { label: t.source, icon: ExternalLink, run: () => window.open(skill.sourceUrl, "_blank", "noopener,noreferrer") },
            { label: t.remove, icon: Trash2, danger: true, separated: true, run: () => void remove() },
          ]}
        >
          <MoreHorizontal size={16} aria-hidden />
        </Menu>
      </div>
      <p className="mt-1 line-clamp-3 flex-1 text-xs text-muted">{skill.description || "–"}</p>
      <div className="mt-3 flex flex-wrap items-center gap-1.5">
        {skill.category && <Badge>{skill.category}</Badge>}
        <Badge tone={riskTone(skill.risk)}>{skill.risk ?? t.unrated}</Badge>
        {dispatch && dispatch.label !== t.dispatch.sent && (
          <Badge tone={dispatch.tone} title={dispatch.hint}>
            {dispatch.label}
          </Badge>
        )}
        <span className="ml-auto" />
        {skill.installed && (
          <span className="flex items-center gap-1 text-xs font-medium text-ok-ink">
            <Check size={13} aria-hidden />
            {t.installed}
          </span>
        )}
        <Button
          size="sm"
          icon={skill.installed ? undefined : Download}
          busy={busy}
          variant={skill.installed ? "ghost" : "default"}
          aria-label={skill.installed ? t.uninstallFrom(skill.name, gateway.name) : t.installOn(skill.name, gateway.name)}
          onClick={() => void ask()}
        >
          {skill.installed ? t.uninstall : t.install}
        </Button>
      </div>
    </li>
  );
}
