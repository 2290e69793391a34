import { useQuery, useQueryClient } from "@tanstack/react-query";
import { MailPlus } from "lucide-react";
import { useState } from "react";
import { type Invite, InviteService } from "@/gen/missioncontrol/org/v1/org_pb";
import { api } from "@/lib/api";
import { dateTime, toDate } from "@/lib/format";
import { useForm } from "@/lib/form";
import { personName, useOrganization } from "@/lib/me";
import { useSearchState } from "@/lib/search";
import organization from "@/texts/en/organization";
import { texts } from "@/texts/catalogue";
import { Badge } from "@/ui/badge";
import { Button } from "@/ui/button";
import { confirm } from "@/ui/confirm";
import { CopyBox } from "@/ui/copy";
import { Dialog, DialogActions } from "@/ui/dialog";
import { Field, FormFailure, Input } from "@/ui/field";
import { Card, Table } from "@/ui/page";
import { Notice, QueryView } from "@/ui/states";
import { Time } from "@/ui/time";
import { toast, toastError } from "@/ui/toast";
import { type Access, accessText, toRequest } from "./access";
import { AccessEditor } from "./access-editor";
import { RoleField } from "./members";
import { invitesQuery, membersQuery } from "./queries";

const t = texts("organization", organization);

/** Invites that nobody has accepted. */
export default function Invites() {
  const invites = useQuery(invitesQuery);
  const members = useQuery(membersQuery);
  const queries = useQueryClient();
  const [params, change] = useSearchState();
  const add = (
    <Button variant="primary" icon={MailPlus} onClick={() => change({ new: "1" })}>
      {t.invite}
    </Button>
  );
  const revoke = async (invite: Invite) => {
    if (!(await confirm({ title: t.revokeTitle(invite.invitedEmail), destroys: [t.revokeDestroys], action: t.revoke }))) return;
    try {
      await api(InviteService).revokeInvite({ inviteId: invite.id });
      void queries.invalidateQueries({ queryKey: ["invites"] });
      toast({ tone: "ok", title: t.revoked });
    } catch (error) {
      toastError(error, t.notRevoked);
    }
  };
  return (
    <div className="space-y-3">
      {(invites.data?.length ?? 0) > 0 && <div className="flex justify-end">{add}</div>}
      <Card flush>
        <QueryView
          query={invites}
          isEmpty={(all) => all.length === 0}
          empty={
            <Notice icon={MailPlus} title={t.invitesEmpty} action={add}>
              {t.invitesEmptyBody}
            </Notice>
          }
        >
          {(all) => (
            <Table label={t.tabs.invites} head={[t.email, t.role, t.invited, t.expires, ""]} narrow={[3, 4]}>
              {all.map((invite) => {
                const by = members.data?.find((member) => member.userId === invite.createdByUserId);
                const over = invite.expiresAt && toDate(invite.expiresAt).getTime() < Date.now();
                return (
                  <tr key={invite.id}>
                    <td className="font-medium">{invite.invitedEmail}</td>
                    <td>
                      <span className="flex items-center gap-x-2 max-sm:flex-wrap sm:whitespace-nowrap">
                        <Badge>{t.roles[invite.role as keyof typeof t.roles] ?? invite.role}</Badge>
                        {(invite.allBoardsRead || invite.allBoardsWrite) && <span className="text-xs text-muted">{accessText({ ...invite, boardAccess: [] })}</span>}
                      </span>
                    </td>
                    <td className="whitespace-nowrap text-muted">
                      <Time at={invite.createdAt} /> {by && t.by(personName(by.user))}
                    </td>
                    <td className="whitespace-nowrap text-muted">{over ? <Badge tone="warn">{t.expired}</Badge> : <Time at={invite.expiresAt} />}</td>
                    <td className="text-right">
                      <Button size="sm" variant="ghost" onClick={() => void revoke(invite)}>
                        {t.revoke}
                      </Button>
                    </td>
                  </tr>
                );
              })}
            </Table>
          )}
        </QueryView>
      </Card>
      {params.get("new") !== null && <InviteForm onClose={() => change({ new: null })} />}
    </div>
  );
}

/** The address that somebody gets. What follows the `#` is sent to no server and stands in no log. */
export function inviteLink(token: string): string {
  return `${location.origin}/invite#${token}`;
}

function InviteForm({ onClose }: { onClose: () => void }) {
  const queries = useQueryClient();
  const owner = useOrganization()?.role === "owner";
  const [made, setMade] = useState<Invite>();
  const form = useForm<{ invitedEmail: string; role: string; access: Access }>({
    initial: { invitedEmail: "", role: "member", access: { mode: "write", boards: {} } },
    send: async ({ invitedEmail, role, access }) => {
      setMade(await api(InviteService).createInvite({ invitedEmail: invitedEmail.trim(), role, ...toRequest(access) }));
      void queries.invalidateQueries({ queryKey: ["invites"] });
    },
  });
  if (made) {
    return (
      <Dialog
        open
        onClose={onClose}
        title={t.inviteReady}
        description={t.inviteFor(made.invitedEmail)}
        footer={
          <Button variant="primary" onClick={onClose}>
            {t.done}
          </Button>
        }
      >
        <CopyBox text={inviteLink(made.token)} label={t.inviteLink} />
        {made.expiresAt && (
          <p className="mt-2 text-xs text-muted">
            {t.inviteWorks} {dateTime(made.expiresAt)}
          </p>
        )}
      </Dialog>
    );
  }
  return (
    <Dialog open onClose={onClose} title={t.invite} description={t.inviteHint} footer={<DialogActions onCancel={onClose} submit={t.makeInvite} busy={form.busy} form="invite-form" />}>
      <form id="invite-form" onSubmit={form.submit} className="space-y-4" noValidate>
        <FormFailure>{form.failure}</FormFailure>
        <Field label={t.email} error={form.error("invitedEmail")} required>
          <Input autoFocus type="email" autoComplete="off" {...form.text("invitedEmail")} />
        </Field>
        <RoleField value={form.values.role} onChange={(role) => form.set("role", role)} owner={owner} error={form.error("role")} />
        <AccessEditor value={form.values.access} onChange={(access) => form.set("access", access)} />
      </form>
    </Dialog>
  );
}
