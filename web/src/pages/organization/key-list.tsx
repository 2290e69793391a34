// API keys: the list and the form, for one's own keys and for those of the organization.
import { useQuery, useQueryClient } from "@tanstack/react-query";
import { KeyRound, Plus } from "lucide-react";
import { useState } from "react";
import { type ApiKey, ApiKeyService } from "@/gen/missioncontrol/org/v1/keys_pb";
import { api } from "@/lib/api";
import { date, number, toDate, toTimestamp } from "@/lib/format";
import { useForm } from "@/lib/form";
import { personName } from "@/lib/me";
import { boardsQuery } from "@/pages/boards/queries";
import keys from "@/texts/en/keys";
import { texts } from "@/texts/catalogue";
import { Badge } from "@/ui/badge";
import { Button } from "@/ui/button";
import { confirm } from "@/ui/confirm";
import { CopyBox } from "@/ui/copy";
import { Dialog, DialogActions } from "@/ui/dialog";
import { Field, FormFailure, Input, Select } from "@/ui/field";
import { Card, Table } from "@/ui/page";
import { Picker } from "@/ui/picker";
import { Notice, QueryView } from "@/ui/states";
import { Segments } from "@/ui/tabs";
import { Time } from "@/ui/time";
import { toast, toastError } from "@/ui/toast";
import { keysQuery, membersQuery } from "./queries";

const t = texts("keys", keys);
type Whose = "mine" | "organization";

/** Keys with what they may do and when they were last used. */
export function KeyList({ whose }: { whose: Whose }) {
  const query = useQuery(keysQuery(whose));
  const members = useQuery({ ...membersQuery, enabled: whose === "organization" });
  const boards = useQuery(boardsQuery);
  const queries = useQueryClient();
  const [adding, setAdding] = useState(false);
  const add = (
    <Button variant="primary" icon={Plus} onClick={() => setAdding(true)}>
      {whose === "mine" ? t.newKey : t.newServiceKey}
    </Button>
  );
  const revoke = async (key: ApiKey) => {
    if (!(await confirm({ title: t.revokeTitle(key.name), destroys: [t.revokeDestroys, ...(key.kind === "service" ? [t.revokeAccount] : [])], action: t.revoke }))) return;
    try {
      await (whose === "mine" ? api(ApiKeyService).revokeMyApiKey({ keyId: key.id }) : api(ApiKeyService).revokeOrganizationApiKey({ keyId: key.id }));
      void queries.invalidateQueries({ queryKey: ["keys"] });
      toast({ tone: "ok", title: t.revoked(key.name) });
    } catch (error) {
      toastError(error, t.notRevoked);
    }
  };
  const actsAs = (key: ApiKey) => (key.kind === "service" ? t.service : (personName(members.data?.find((member) => member.userId === key.userId)?.user) || "–"));
  const names = new Map(boards.data?.map((board) => [board.id, board.name]));
  return (
    <div className="space-y-3">
      <div className="flex flex-wrap items-center gap-3">
        <p className="min-w-0 flex-1 text-muted">{whose === "mine" ? t.myLead : t.orgLead}</p>
        {(query.data?.length ?? 0) > 0 && add}
      </div>
      <Card flush>
        <QueryView
          query={query}
          isEmpty={(all) => all.length === 0}
          empty={
            <Notice icon={KeyRound} title={t.emptyTitle} action={add}>
              {t.emptyBody}
            </Notice>
          }
        >
          {(all) => (
            <Table label={t.keys} head={[t.name, ...(whose === "organization" ? [t.actsAs] : []), t.scope, t.boards, t.lastUsed, t.expires, ""]} narrow={whose === "organization" ? [2, 4, 5] : [3, 4]}>
              {all.map((key) => {
                const over = key.expiresAt && toDate(key.expiresAt).getTime() < Date.now();
                return (
                  <tr key={key.id}>
                    <td className="min-w-40">
                      <span className="block font-medium">{key.name}</span>
                      <code className="font-mono text-xs text-subtle">{key.prefix}…</code>
                    </td>
                    {whose === "organization" && <td className="whitespace-nowrap text-muted">{actsAs(key)}</td>}
                    <td>
                      <span className="flex items-center gap-1.5 whitespace-nowrap">
                        <Badge tone={key.scope === "write" ? "warn" : "neutral"}>{t.scopes[key.scope as keyof typeof t.scopes] ?? key.scope}</Badge>
                        {key.role === "admin" && <Badge tone="info">{t.roles.admin}</Badge>}
                      </span>
                    </td>
                    <td className="max-w-44 truncate text-muted" title={key.boardIds.map((id) => names.get(id) ?? id).join(", ")}>
                      {key.boardIds.length === 0 ? t.allBoards : key.boardIds.length === 1 ? (names.get(key.boardIds[0] ?? "") ?? "1") : t.someBoards(number(key.boardIds.length))}
                    </td>
                    <td className="whitespace-nowrap text-muted">{key.lastUsedAt ? <Time at={key.lastUsedAt} /> : <span className="text-subtle">{t.neverUsed}</span>}</td>
                    <td className="whitespace-nowrap text-muted">{over ? <Badge tone="bad">{t.ended}</Badge> : key.expiresAt ? date(key.expiresAt) : <span className="text-subtle">{t.never}</span>}</td>
                    <td className="text-right">
                      <Button size="sm" variant="ghost" onClick={() => void revoke(key)}>
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
      {adding && <KeyForm whose={whose} onClose={() => setAdding(false)} />}
    </div>
  );
}

function KeyForm({ whose, onClose }: { whose: Whose; onClose: () => void }) {
  const queries = useQueryClient();
  const boards = useQuery(boardsQuery);
  const [made, setMade] = useState<ApiKey>();
  const form = useForm({
    initial: { name: "", scope: "read", role: "member", boardIds: [] as string[], expires: "90" },
    send: async ({ name, scope, role, boardIds, expires }) => {
      const body = { name: name.trim(), scope, role, boardIds, expiresAt: expires ? toTimestamp(new Date(Date.now() + Number(expires) * 86_400_000)) : undefined };
      setMade(whose === "mine" ? await api(ApiKeyService).createMyApiKey(body) : await api(ApiKeyService).createOrganizationApiKey(body));
      void queries.invalidateQueries({ queryKey: ["keys"] });
    },
  });
  if (made) {
    return (
      <Dialog
        open
        onClose={onClose}
        title={t.ready}
        description={t.readyBody(made.name)}
        footer={
          <Button variant="primary" onClick={onClose}>
            {t.done}
          </Button>
        }
      >
        <CopyBox text={made.key ?? ""} label={t.keyLabel} />
        <p className="mt-3 mb-1 text-xs text-muted">{t.usage}</p>
        <CopyBox text={`curl -H "Authorization: Bearer $KEY" ${location.origin}/api/v1/boards`} label={t.usage} />
      </Dialog>
    );
  }
  const chosen = form.values.boardIds;
  return (
    <Dialog
      open
      onClose={onClose}
      title={whose === "mine" ? t.newTitle : t.newServiceTitle}
      description={whose === "mine" ? t.myLead : t.serviceHint}
      footer={<DialogActions onCancel={onClose} submit={t.create} busy={form.busy} form="key-form" />}
    >
      <form id="key-form" onSubmit={form.submit} className="space-y-4" noValidate>
        <FormFailure>{form.failure}</FormFailure>
        <Field label={t.name} hint={t.nameHint} error={form.error("name")} required>
          <Input autoFocus autoComplete="off" {...form.text("name")} />
        </Field>
        <div className="grid gap-4 sm:grid-cols-2">
          <Field label={t.scope} error={form.error("scope")}>
            <Select {...form.text("scope")}>
              <option value="read">{t.scopes.read}</option>
              <option value="write">{t.scopes.write}</option>
            </Select>
          </Field>
          <Field label={t.role} hint={t.roleHint} error={form.error("role")}>
            <Select {...form.text("role")}>
              <option value="member">{t.roles.member}</option>
              <option value="admin">{t.roles.admin}</option>
            </Select>
          </Field>
        </div>
        <div>
          <p className="mb-1 text-xs font-medium">{t.boards}</p>
          <Picker
            label={t.chooseBoards}
            multiple
            choices={(boards.data ?? []).map((board) => ({ value: board.id, label: board.name }))}
            value={chosen}
            onChange={(boardIds) => form.set("boardIds", boardIds)}
            className="flex h-8 w-full items-center rounded-md border border-line-strong bg-surface px-2.5 text-left hover:border-subtle"
          >
            <span className="truncate">{chosen.length === 0 ? t.allBoards : chosen.map((id) => boards.data?.find((board) => board.id === id)?.name ?? id).join(", ")}</span>
          </Picker>
          {form.error("boardIds") ? (
            <p role="alert" className="mt-1 text-xs text-bad-ink">
              {form.error("boardIds")}
            </p>
          ) : (
            <p className="mt-1 text-xs text-subtle">{t.boardsHint}</p>
          )}
        </div>
        <div>
          <p className="mb-1 text-xs font-medium">{t.expires}</p>
          <Segments label={t.expires} value={form.values.expires} onChange={(expires) => form.set("expires", expires)} options={Object.entries(t.expiry).map(([value, label]) => ({ value, label }))} />
        </div>
      </form>
    </Dialog>
  );
}
