// A gateway's settings beside the walk to it: nothing is stored that was not reached first.
import { useQueryClient } from "@tanstack/react-query";
import { Eye, EyeOff, PlugZap } from "lucide-react";
import { type ReactNode, useId, useState } from "react";
import { type Gateway, GatewayService } from "@/gen/missioncontrol/gateway/v1/gateway_pb";
import { api } from "@/lib/api";
import { trouble } from "@/lib/errors";
import { useForm } from "@/lib/form";
import parts from "@/texts/en/parts";
import { texts } from "@/texts/catalogue";
import { Button, IconButton } from "@/ui/button";
import { Field, FormFailure, Input, Switch } from "@/ui/field";
import { toast } from "@/ui/toast";
import { PreflightView, usePreflight, type Walk } from "./preflight";
import { failedStep, mayStore, passesSoon } from "./preflight-state";

const t = texts("parts", parts);
const words = t.gateway;

/** Adds a gateway, or changes one. `before` stands above the fields. */
export function GatewayForm({ gateway, onDone, before }: { gateway?: Gateway; onDone: (gateway: Gateway) => void; before?: ReactNode }) {
  const queries = useQueryClient();
  const preflight = usePreflight();
  const [shown, setShown] = useState(false);
  const advancedId = useId();
  const form = useForm({
    initial: {
      name: gateway?.name ?? "",
      url: gateway?.url ?? "",
      token: "",
      workspaceRoot: gateway?.workspaceRoot ?? "~/.openclaw",
      allowInsecureTls: gateway?.allowInsecureTls ?? false,
      disableDevicePairing: gateway?.disableDevicePairing ?? false,
      tlsFingerprint: gateway?.tlsFingerprint ?? "",
    },
    check: (values) => ({
      name: values.name.trim() ? undefined : words.nameMissing,
      url: values.url.trim() ? undefined : words.urlMissing,
      workspaceRoot: values.workspaceRoot.trim() ? undefined : words.workspaceMissing,
    }),
    send: async (values) => {
      const reach = gateway === undefined || ["url", "tlsFingerprint", "allowInsecureTls", "disableDevicePairing"].some((name) => String(values[name as keyof typeof values]) !== String(gateway[name as keyof Gateway] ?? "")) || values.token !== "";
      if (reach) {
        let steps = await preflight.walk(walkOf(values));
        // A gateway that is just starting says so: it is looked at again until it is there.
        for (const until = Date.now() + 30_000; passesSoon(steps) && Date.now() < until; ) {
          await new Promise((resolve) => setTimeout(resolve, 1500));
          steps = await preflight.walk(walkOf(values));
        }
        const failed = failedStep(steps);
        if (failed && !mayStore(steps)) throw new Error(words.notReady(t.preflight.steps[failed.name] ?? failed.name, failed.detail));
        if (failed) toast({ tone: "info", title: words.waitsForPairing });
      }
      const body = {
        name: values.name.trim(),
        url: values.url.trim(),
        workspaceRoot: values.workspaceRoot.trim(),
        allowInsecureTls: values.allowInsecureTls,
        disableDevicePairing: values.disableDevicePairing,
        tlsFingerprint: values.tlsFingerprint.trim() || undefined,
        token: values.token.trim() || undefined,
      };
      const saved = gateway
        ? await api(GatewayService).updateGateway({
            gatewayId: gateway.id,
            updateMask: { paths: ["name", "url", "workspace_root", "allow_insecure_tls", "disable_device_pairing", "tls_fingerprint", ...(body.token ? ["token"] : [])] },
            ...body,
          })
        : await api(GatewayService).createGateway(body, { timeoutMs: 60_000 });
      void queries.invalidateQueries({ queryKey: ["gateways"] });
      toast({ tone: "ok", title: gateway ? words.saved : words.added(saved.name) });
      onDone(saved);
    },
  });
  const walkOf = (values: typeof form.values): Walk => ({
    gatewayId: gateway?.id,
    url: values.url.trim(),
    token: values.token.trim() || gateway?.token || undefined,
    allowInsecureTls: values.allowInsecureTls,
    disableDevicePairing: values.disableDevicePairing,
    tlsFingerprint: values.tlsFingerprint.trim() || undefined,
  });
  const look = (values = form.values) => {
    // What goes wrong is shown with the steps.
    void preflight.walk(walkOf(values)).catch((error: unknown) => trouble(error));
  };
  const [advanced, setAdvanced] = useState(form.values.allowInsecureTls || form.values.disableDevicePairing || form.values.tlsFingerprint !== "");
  return (
    <form onSubmit={form.submit} noValidate className="grid items-start gap-x-8 gap-y-6 lg:grid-cols-2">
      <div className="space-y-4">
        {before}
        <FormFailure>{form.failure}</FormFailure>
        <Field label={words.name} error={form.error("name")} required>
          <Input {...form.text("name")} placeholder={words.namePlaceholder} autoComplete="off" />
        </Field>
        <Field label={words.url} hint={words.urlHint} error={form.error("url")} required>
          <Input {...form.text("url")} placeholder="ws://127.0.0.1:18789" inputMode="url" spellCheck={false} autoComplete="off" className="font-mono text-xs" />
        </Field>
        <Field label={words.token} hint={gateway?.token ? words.tokenKept : words.tokenHint} error={form.error("token")} optional={Boolean(gateway)}>
          <SecretInput shown={shown} onShown={setShown} {...form.text("token")} />
        </Field>
        <Field label={words.workspace} hint={words.workspaceHint} error={form.error("workspaceRoot")} required>
          <Input {...form.text("workspaceRoot")} spellCheck={false} autoComplete="off" className="font-mono text-xs" />
        </Field>
        <div>
          <button
            type="button"
            aria-expanded={advanced}
            aria-controls={advancedId}
            onClick={() => setAdvanced(!advanced)}
            className="rounded-sm text-xs font-medium text-muted underline decoration-line-strong underline-offset-4 hover:text-ink"
          >
            {words.advanced}
          </button>
          <div id={advancedId} hidden={!advanced} className="mt-3 space-y-4">
            <Field label={words.fingerprintField} hint={words.fingerprintHint} error={form.error("tlsFingerprint")} optional>
              <Input {...form.text("tlsFingerprint")} spellCheck={false} autoComplete="off" className="font-mono text-xs" />
            </Field>
            <Switch label={words.insecure} hint={words.insecureHint} checked={form.values.allowInsecureTls} onChange={(on) => form.set("allowInsecureTls", on)} />
            <Switch label={words.noPairing} hint={words.noPairingHint} checked={form.values.disableDevicePairing} onChange={(on) => form.set("disableDevicePairing", on)} />
          </div>
        </div>
        <div className="flex flex-wrap gap-2 pt-1">
          <Button variant="primary" type="submit" busy={form.busy}>
            {gateway ? words.checkAndSave : words.checkAndAdd}
          </Button>
          <Button icon={PlugZap} onClick={() => look()} disabled={form.busy || form.values.url.trim() === ""} busy={preflight.running && !form.busy}>
            {t.preflight.run}
          </Button>
        </div>
      </div>
      <section aria-label={t.preflight.title} className="rounded-lg border bg-canvas p-4">
        <h3 className="text-sm font-semibold">{t.preflight.title}</h3>
        <p className="mt-0.5 mb-3 text-xs text-muted">{t.preflight.lead}</p>
        <PreflightView
          preflight={preflight}
          onAgain={() => look()}
          onTrust={(print) => {
            form.set("tlsFingerprint", print);
            setAdvanced(true);
            look({ ...form.values, tlsFingerprint: print });
          }}
        />
      </section>
    </form>
  );
}

function SecretInput({ shown, onShown, ...rest }: { shown: boolean; onShown: (shown: boolean) => void; value: string; onChange: (event: { target: { value: string } }) => void }) {
  return (
    <div className="relative">
      <Input type={shown ? "text" : "password"} autoComplete="off" spellCheck={false} className="pr-9 font-mono text-xs" {...rest} />
      <IconButton icon={shown ? EyeOff : Eye} label={shown ? words.tokenHide : words.tokenShow} size="sm" onClick={() => onShown(!shown)} className="absolute top-1 right-1" />
    </div>
  );
}
