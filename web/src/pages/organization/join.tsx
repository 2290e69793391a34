import { useQuery, useQueryClient } from "@tanstack/react-query";
import { useLocation } from "wouter";
import { InviteService, OrganizationService } from "@/gen/missioncontrol/org/v1/org_pb";
import { api } from "@/lib/api";
import { useForm } from "@/lib/form";
import { restartLive } from "@/lib/live";
import { meQuery, organizationsQuery, personName } from "@/lib/me";
import organization from "@/texts/en/organization";
import { texts } from "@/texts/catalogue";
import { Button } from "@/ui/button";
import { Field, FormFailure, Input } from "@/ui/field";
import { Card, Page } from "@/ui/page";
import { toast } from "@/ui/toast";

const t = texts("organization", organization);

/** Where an invite link leads: joins, and goes into the organization. */
export default function Join() {
  const queries = useQueryClient();
  const { data: me } = useQuery(meQuery);
  const [, go] = useLocation();
  const form = useForm({
    initial: { token: location.hash.slice(1) },
    check: ({ token }) => (token.trim() === "" ? { token: t.joinMissing } : {}),
    send: async ({ token }) => {
      // The whole link is as good as its last part.
      const member = await api(InviteService).acceptInvite({ token: token.trim().split("#").at(-1) ?? "" });
      await api(OrganizationService).setActiveOrganization({ organizationId: member.organizationId });
      queries.removeQueries({ predicate: (query) => query.queryKey[0] !== "me" });
      restartLive();
      const all = await queries.fetchQuery(organizationsQuery);
      go("/");
      toast({ tone: "ok", title: t.joinedNow(all.find((one) => one.id === member.organizationId)?.name ?? t.organization) });
    },
  });
  return (
    <Page title={t.join}>
      <Card className="mx-auto mt-8 max-w-md">
        <form onSubmit={form.submit} className="space-y-4" noValidate>
          <p className="text-muted">
            {t.joinBody} {me && t.joinAs(personName(me))}
          </p>
          <FormFailure>{form.failure}</FormFailure>
          <Field label={t.inviteToken} hint={t.inviteTokenHint} error={form.error("token")} required>
            <Input autoComplete="off" spellCheck={false} className="font-mono" {...form.text("token")} />
          </Field>
          <div className="flex justify-end">
            <Button variant="primary" size="lg" type="submit" busy={form.busy}>
              {t.joinAction}
            </Button>
          </div>
        </form>
      </Card>
    </Page>
  );
}
