import { useQuery, useQueryClient } from "@tanstack/react-query";
import { ChevronDown, LogOut } from "lucide-react";
import { useMemo, useState } from "react";
import { type User, UserService } from "@/gen/missioncontrol/org/v1/org_pb";
import { api } from "@/lib/api";
import { setTimeZone } from "@/lib/format";
import { useForm } from "@/lib/form";
import { meQuery, personName } from "@/lib/me";
import { signOut } from "@/lib/session";
import { useStore } from "@/lib/store";
import { setTheme, type Theme, theme } from "@/lib/theme";
import keys from "@/texts/en/keys";
import settings from "@/texts/en/settings";
import { locale, texts } from "@/texts/catalogue";
import { Button } from "@/ui/button";
import { confirm } from "@/ui/confirm";
import { Field, FormFailure, Input, TextArea } from "@/ui/field";
import { Card, Page } from "@/ui/page";
import { type Choice, Picker } from "@/ui/picker";
import { QueryView } from "@/ui/states";
import { Segments } from "@/ui/tabs";
import { toast, toastError } from "@/ui/toast";
import { KeyList } from "./key-list";

const t = texts("settings", settings);
const FIELDS = ["name", "preferred_name", "pronouns", "timezone", "notes", "context"];

/** The person's own settings. */
export default function Settings() {
  const me = useQuery(meQuery);
  const chosen = useStore(theme);
  const remove = async (user: User) => {
    if (!(await confirm({ title: t.deleteTitle, destroys: Object.values(t.deleteDestroys), action: t.deleteAction, typed: personName(user) }))) return;
    try {
      await api(UserService).deleteMe({});
      signOut();
    } catch (error) {
      toastError(error, t.notDeleted);
    }
  };
  return (
    <Page title={t.settings} lead={me.data?.email}>
      <div className="mx-auto max-w-4xl space-y-6">
        <QueryView query={me}>{(user) => <Profile user={user} />}</QueryView>
        <Card title={t.appearance}>
          <Segments<Theme> label={t.appearance} value={chosen} onChange={setTheme} options={(["system", "light", "dark"] as const).map((value) => ({ value, label: t.themes[value] }))} />
        </Card>
        <section aria-labelledby="my-keys">
          <h2 id="my-keys" className="mb-2 text-sm font-semibold">
            {texts("keys", keys).myKeys}
          </h2>
          <KeyList whose="mine" />
        </section>
        <Card title={t.account}>
          <div className="space-y-4">
            <div className="flex flex-wrap items-center gap-3">
              <p className="min-w-0 flex-1 text-muted">{t.signOutBody}</p>
              <Button icon={LogOut} onClick={signOut}>
                {t.signOut}
              </Button>
            </div>
            <div className="flex flex-wrap items-center gap-3 border-t pt-4">
              <p className="min-w-0 flex-1 basis-64 text-muted">{t.deleteBody}</p>
              <Button variant="danger" disabled={!me.data} onClick={() => me.data && void remove(me.data)}>
                {t.deleteAccount}
              </Button>
            </div>
          </div>
        </Card>
      </div>
    </Page>
  );
}

function Profile({ user }: { user: User }) {
  const queries = useQueryClient();
  const form = useForm({
    initial: { name: user.name ?? "", preferredName: user.preferredName ?? "", pronouns: user.pronouns ?? "", timezone: user.timezone ?? "", notes: user.notes ?? "", context: user.context ?? "" },
    send: async (values) => {
      const saved = await api(UserService).updateMe({
        updateMask: { paths: FIELDS },
        ...(Object.fromEntries(Object.entries(values).map(([name, value]) => [name, value.trim() || undefined])) as Partial<typeof values>),
      });
      setTimeZone(saved.timezone);
      queries.setQueryData(meQuery.queryKey, saved);
      void queries.invalidateQueries({ queryKey: ["members"] });
      toast({ tone: "ok", title: t.saved });
    },
  });
  return (
    <Card title={t.profile}>
      <form onSubmit={form.submit} className="space-y-4" noValidate>
        <p className="text-muted">{t.profileLead}</p>
        <FormFailure>{form.failure}</FormFailure>
        <div className="grid gap-4 sm:grid-cols-2">
          <Field label={t.name} error={form.error("name")} optional>
            <Input autoComplete="name" {...form.text("name")} />
          </Field>
          <Field label={t.preferredName} hint={t.preferredNameHint} error={form.error("preferredName")} optional>
            <Input autoComplete="nickname" {...form.text("preferredName")} />
          </Field>
          <Field label={t.pronouns} error={form.error("pronouns")} optional>
            <Input autoComplete="off" {...form.text("pronouns")} />
          </Field>
          <ZoneField value={form.values.timezone} onChange={(zone) => form.set("timezone", zone)} error={form.error("timezone")} />
        </div>
        <Field label={t.notes} hint={t.notesHint} error={form.error("notes")} optional>
          <TextArea {...form.text("notes")} />
        </Field>
        <Field label={t.context} hint={t.contextHint} error={form.error("context")} optional>
          <TextArea {...form.text("context")} />
        </Field>
        <div className="flex justify-end">
          <Button variant="primary" type="submit" busy={form.busy} disabled={!form.dirty}>
            {t.save}
          </Button>
        </div>
      </form>
    </Card>
  );
}

/** The offset of a zone now, `GMT+9`. */
export function offset(zone: string, at = new Date()): string {
  return new Intl.DateTimeFormat("en", { timeZone: zone, timeZoneName: "shortOffset" }).formatToParts(at).find((part) => part.type === "timeZoneName")?.value ?? "";
}

function ZoneField({ value, onChange, error }: { value: string; onChange: (zone: string) => void; error?: string }) {
  const [own] = useState(() => Intl.DateTimeFormat().resolvedOptions().timeZone);
  const choices = useMemo<Choice[]>(
    () => [{ value: "", label: t.browserZone(own) }, ...[...new Set(["UTC", ...Intl.supportedValuesOf("timeZone")])].map((zone) => ({ value: zone, label: zone.replaceAll("_", " "), note: offset(zone) }))],
    [own],
  );
  // What was stored from elsewhere may be no zone at all.
  const shown = choices.some((choice) => choice.value === value) && value ? value : own;
  return (
    <div className="space-y-1">
      <p className="text-xs font-medium">{t.timezone}</p>
      <Picker
        label={t.timezone}
        choices={choices}
        value={[value]}
        onChange={([zone = ""]) => onChange(zone)}
        className="flex h-8 w-full items-center gap-2 rounded-md border border-line-strong bg-surface px-2.5 text-left hover:border-subtle"
      >
        <span className="min-w-0 flex-1 truncate">{value ? value.replaceAll("_", " ") : t.browserZone(own)}</span>
        <ChevronDown size={14} aria-hidden className="shrink-0 text-subtle" />
      </Picker>
      {error && (
        <p role="alert" className="text-xs text-bad-ink">
          {error}
        </p>
      )}
      <p className="text-xs text-subtle">
        {t.timezoneHint} {t.thereNow(new Intl.DateTimeFormat(locale(), { timeZone: shown, hour: "2-digit", minute: "2-digit" }).format())}
      </p>
    </div>
  );
}
