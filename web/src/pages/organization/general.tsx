import { useQuery, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import { useLocation } from "wouter";
import { AgentService } from "@/gen/missioncontrol/agent/v1/agent_pb";
import { BoardService } from "@/gen/missioncontrol/board/v1/board_pb";
import { GatewayService } from "@/gen/missioncontrol/gateway/v1/gateway_pb";
import { MemberService, OrganizationService } from "@/gen/missioncontrol/org/v1/org_pb";
import { api } from "@/lib/api";
import { dateTime } from "@/lib/format";
import { useForm } from "@/lib/form";
import { restartLive } from "@/lib/live";
import { useIsAdmin, useOrganization } from "@/lib/me";
import organization from "@/texts/en/organization";
import ui from "@/texts/en/ui";
import { texts } from "@/texts/catalogue";
import { Badge } from "@/ui/badge";
import { Button } from "@/ui/button";
import { confirm } from "@/ui/confirm";
import { CopyButton } from "@/ui/copy";
import { Field, FormFailure, Input } from "@/ui/field";
import { Card, Facts } from "@/ui/page";
import { QueryView } from "@/ui/states";
import { toast, toastError } from "@/ui/toast";
import { organizationQuery } from "./queries";

const t = texts("organization", organization);
const words = texts("ui", ui);

/** How many there are; none when it cannot be known. */
const count = (asked: Promise<{ total: number }>) => asked.then((page) => page.total).catch(() => 0);

/** What the organization is, and its end. */
export default function General() {
  const query = useQuery(organizationQuery);
  const active = useOrganization();
  const admin = useIsAdmin();
  const queries = useQueryClient();
  const [, go] = useLocation();
  const [busy, setBusy] = useState(false);
  const remove = async (name: string) => {
    setBusy(true);
    try {
      const [boards, agents, gateways, members] = await Promise.all([
        count(api(BoardService).listBoards({ limit: 1 })),
        count(api(AgentService).listAgents({ limit: 1 })),
        count(api(GatewayService).listGateways({ limit: 1 })),
        count(api(MemberService).listMembers({ limit: 1 })),
      ]);
      const destroys = [...(boards > 0 ? [t.deleteBoards(boards)] : []), ...(agents > 0 ? [t.deleteAgents(agents)] : []), ...(gateways > 0 ? [t.deleteGateways(gateways)] : []), ...(members > 0 ? [t.deleteMembers(members)] : []), t.deleteRest];
      if (!(await confirm({ title: t.deleteTitle(name), destroys, action: t.deleteAction, typed: name }))) return;
      await api(OrganizationService).deleteMyOrganization({});
      toast({ tone: "ok", title: t.deleted(name) });
      go("/");
      queries.removeQueries({ predicate: (one) => one.queryKey[0] !== "me" });
      restartLive();
      void queries.invalidateQueries();
    } catch (error) {
      toastError(error, t.notDeleted);
    } finally {
      setBusy(false);
    }
  };
  return (
    <QueryView query={query}>
      {(data) => (
        <div className="max-w-2xl space-y-5">
          {admin && <Rename key={data.name} name={data.name} />}
          <Card title={t.about}>
            <Facts
              items={[
                ...(admin ? [] : [[t.name, <span key="name" className="font-medium">{data.name}</span>] as const]),
                [t.role, active && <Badge key="role">{t.roles[active.role as keyof typeof t.roles] ?? active.role}</Badge>],
                [t.created, data.createdAt && dateTime(data.createdAt)],
                [
                  t.id,
                  <span key="id" className="flex items-center gap-1">
                    <code className="font-mono text-xs break-all">{data.id}</code>
                    <CopyButton text={data.id} />
                  </span>,
                ],
              ]}
            />
          </Card>
          <Card title={t.deleteOrganization}>
            <div className="flex flex-wrap items-center gap-3">
              <p className="min-w-0 flex-1 text-muted">
                {t.deleteBody} {active?.role !== "owner" && t.ownersOnly}
              </p>
              {active?.role === "owner" && (
                <Button variant="danger" busy={busy} onClick={() => void remove(data.name)}>
                  {t.deleteOrganization}
                </Button>
              )}
            </div>
          </Card>
        </div>
      )}
    </QueryView>
  );
}

/** Another name for the organization. */
function Rename({ name }: { name: string }) {
  const queries = useQueryClient();
  const form = useForm({
    initial: { name },
    check: (values) => ({ name: values.name.trim() ? undefined : t.nameMissing }),
    send: async (values) => {
      const saved = await api(OrganizationService).updateMyOrganization({ name: values.name.trim() });
      queries.setQueryData(organizationQuery.queryKey, saved);
      void queries.invalidateQueries({ queryKey: ["organizations"], exact: true });
      toast({ tone: "ok", title: t.renamed(saved.name) });
    },
  });
  return (
    <Card title={t.rename}>
      <form onSubmit={form.submit} className="space-y-3" noValidate>
        <FormFailure>{form.failure}</FormFailure>
        <div className="flex items-start gap-3">
          <Field label={t.name} hint={t.renameHint} error={form.error("name")} className="min-w-0 flex-1">
            <Input {...form.text("name")} maxLength={200} autoComplete="organization" />
          </Field>
          <Button type="submit" variant="primary" className="mt-5" busy={form.busy} disabled={!form.dirty}>
            {words.save}
          </Button>
        </div>
      </form>
    </Card>
  );
}
