import { useQuery, useQueryClient } from "@tanstack/react-query";
import { MoreHorizontal, Search, ShieldQuestion, UserCog, UserMinus, UserPlus, Users } from "lucide-react";
import { useState } from "react";
import { useLocation } from "wouter";
import { type Member, MemberService } from "@/gen/missioncontrol/org/v1/org_pb";
import { api } from "@/lib/api";
import { date } from "@/lib/format";
import { useForm } from "@/lib/form";
import { meQuery, personName, useIsAdmin, useOrganization } from "@/lib/me";
import { useSearchState } from "@/lib/search";
import organization from "@/texts/en/organization";
import ui from "@/texts/en/ui";
import { texts } from "@/texts/catalogue";
import { Avatar, Badge, type Tone } from "@/ui/badge";
import { Button } from "@/ui/button";
import { confirm } from "@/ui/confirm";
import { Dialog, DialogActions } from "@/ui/dialog";
import { Field, FormFailure, Input, Select } from "@/ui/field";
import { Menu } from "@/ui/menu";
import { Card, Table } from "@/ui/page";
import { Notice, QueryView } from "@/ui/states";
import { toast, toastError } from "@/ui/toast";
import { type Access, accessOf, accessText, sameAccess, toRequest } from "./access";
import { AccessEditor } from "./access-editor";
import { membersQuery } from "./queries";

const t = texts("organization", organization);
const words = texts("ui", ui);
const TONES: Record<string, Tone> = { owner: "violet", admin: "info" };
const ROLES = ["member", "admin", "owner"] as const;

/** The members with role and rights. */
export default function Members() {
  const members = useQuery(membersQuery);
  const admin = useIsAdmin();
  const [params, change] = useSearchState();
  const [editing, setEditing] = useState<Member>();
  const [, go] = useLocation();
  const query = params.get("q") ?? "";
  return (
    <div className="space-y-3">
      <div className="flex flex-wrap items-center gap-2">
        <div className="relative max-sm:w-full">
          <Search size={14} aria-hidden className="pointer-events-none absolute top-2.25 left-2.5 text-subtle" />
          <Input type="search" aria-label={t.findMember} placeholder={t.findMember} value={query} onChange={(event) => change({ q: event.target.value })} className="pl-8! sm:w-60!" />
        </div>
        <div className="flex-1" />
        {admin && (
          <Button variant="primary" icon={UserPlus} onClick={() => go("/organization/invites?new=1")}>
            {t.invite}
          </Button>
        )}
      </div>
      <Card flush>
        <QueryView query={members} isEmpty={(all) => all.length === 0} empty={<Notice icon={Users} title={t.noneFound} />}>
          {(all) => <Rows members={all} query={query} onEdit={setEditing} />}
        </QueryView>
      </Card>
      {editing && <MemberForm member={editing} onClose={() => setEditing(undefined)} />}
    </div>
  );
}

function Rows({ members, query, onEdit }: { members: readonly Member[]; query: string; onEdit: (member: Member) => void }) {
  const queries = useQueryClient();
  const admin = useIsAdmin();
  const { data: me } = useQuery(meQuery);
  const [, go] = useLocation();
  const parts = query.toLowerCase().split(/\s+/).filter(Boolean);
  const shown = members.filter((member) => parts.every((part) => `${member.user?.name ?? ""} ${member.user?.preferredName ?? ""} ${member.user?.email ?? ""}`.toLowerCase().includes(part)));
  const remove = async (member: Member) => {
    const name = personName(member.user);
    if (!(await confirm({ title: t.removeTitle(name), body: t.removeBody, destroys: Object.values(t.removeDestroys), action: t.removeAction }))) return;
    try {
      await api(MemberService).removeMember({ memberId: member.id });
      void queries.invalidateQueries({ queryKey: ["members"] });
      toast({ tone: "ok", title: t.removed(name) });
    } catch (error) {
      toastError(error, t.notRemoved);
    }
  };
  if (shown.length === 0) {
    return (
      <Notice icon={Users} title={t.noneFound}>
        {t.noneFoundBody}
      </Notice>
    );
  }
  return (
    <Table label={t.tabs.members} head={[t.name, t.role, t.access, t.joined, ""]} narrow={[4]}>
      {shown.map((member) => {
        const name = personName(member.user) || member.userId;
        const own = member.userId === me?.id;
        return (
          <tr key={member.id}>
            <td className="sm:min-w-48">
              <span className="flex items-center gap-2.5">
                <Avatar name={name} size={26} className="max-sm:hidden" />
                <span className="min-w-0">
                  <span className="block font-medium">
                    {name} {own && <span className="font-normal text-subtle">· {t.you}</span>}
                  </span>
                  {member.user?.email && member.user.email !== name && <span className="block truncate text-xs text-muted">{member.user.email}</span>}
                </span>
              </span>
            </td>
            <td>
              <Badge tone={TONES[member.role]}>{t.roles[member.role as keyof typeof t.roles] ?? member.role}</Badge>
            </td>
            <td className="min-w-28 text-muted sm:whitespace-nowrap">{accessText(member)}</td>
            <td className="whitespace-nowrap text-muted">{member.createdAt && date(member.createdAt)}</td>
            <td className="w-10 text-right">
              {admin && (
                <Menu
                  label={t.actions(name)}
                  align="end"
                  className="inline-flex size-7 items-center justify-center rounded-md text-muted hover:bg-hover hover:text-ink"
                  items={[
                    { label: t.whoMay, icon: ShieldQuestion, run: () => go(`/organization/access${own ? "" : `?member=${member.id}`}`) },
                    // Nobody changes their own rights.
                    ...(own
                      ? []
                      : [
                          { label: t.changeMember, icon: UserCog, run: () => onEdit(member) },
                          { label: t.removeMember, icon: UserMinus, danger: true, separated: true, run: () => void remove(member) },
                        ]),
                  ]}
                >
                  <MoreHorizontal size={16} aria-hidden />
                </Menu>
              )}
            </td>
          </tr>
        );
      })}
    </Table>
  );
}

/** Changes role and rights of a member. */
export function MemberForm({ member, onClose }: { member: Member; onClose: () => void }) {
  const queries = useQueryClient();
  const owner = useOrganization()?.role === "owner";
  const before = accessOf(member);
  const form = useForm<{ role: string; access: Access }>({
    initial: { role: member.role, access: before },
    send: async ({ role, access }) => {
      if (role !== member.role) await api(MemberService).updateMember({ memberId: member.id, role });
      if (!sameAccess(access, before)) await api(MemberService).updateMemberAccess({ memberId: member.id, ...toRequest(access) });
      void queries.invalidateQueries({ queryKey: ["members"] });
      toast({ tone: "ok", title: t.saved });
      onClose();
    },
  });
  return (
    <Dialog open onClose={onClose} title={t.memberTitle(personName(member.user))} footer={<DialogActions onCancel={onClose} submit={words.save} busy={form.busy} form="member-form" />}>
      <form id="member-form" onSubmit={form.submit} className="space-y-4" noValidate>
        <FormFailure>{form.failure}</FormFailure>
        <RoleField value={form.values.role} onChange={(role) => form.set("role", role)} owner={owner} error={form.error("role")} />
        <AccessEditor value={form.values.access} onChange={(access) => form.set("access", access)} />
      </form>
    </Dialog>
  );
}

/** Chooses a role; only owners make owners. */
export function RoleField({ value, onChange, owner, error }: { value: string; onChange: (role: string) => void; owner: boolean; error?: string }) {
  return (
    <Field label={t.role} hint={t.roleHints[value as keyof typeof t.roleHints]} error={error}>
      <Select value={value} onChange={(event) => onChange(event.target.value)}>
        {ROLES.filter((role) => owner || role !== "owner" || value === "owner").map((role) => (
          <option key={role} value={role}>
            {t.roles[role]}
          </option>
        ))}
      </Select>
    </Field>
  );
}
