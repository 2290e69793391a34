import { useQuery } from "@tanstack/react-query";
import { Eye, EyeOff, LogIn } from "lucide-react";
import { type FormEvent, useCallback, useEffect, useRef, useState } from "react";
import { useLocation } from "wouter";
import { Code, ConnectError } from "@connectrpc/connect";
import { AuthService, UserService } from "@/gen/missioncontrol/org/v1/org_pb";
import { api } from "@/lib/api";
import { say } from "@/lib/errors";
import { beginOidc, BESIDE, finishOidc } from "@/lib/oidc";
import { useStore } from "@/lib/store";
import { CALLBACK, handOver, session, signIn, signOut } from "@/lib/session";
import shell from "@/texts/en/shell";
import { texts } from "@/texts/catalogue";
import { Button, IconButton } from "@/ui/button";
import { Dialog } from "@/ui/dialog";
import { Field, FormFailure, Input } from "@/ui/field";
import { useTitle } from "@/ui/page";

const t = texts("shell", shell).signIn;

/** Asks the server whether it takes a token; the first sign-in makes the person and their organization. */
async function attempt(token: string): Promise<void> {
  await api(UserService).bootstrapUser({}, { headers: { authorization: `Bearer ${token}` } });
}

/** What went wrong on the way over the issuer: its words, or the server's. */
function words(failure: unknown): string {
  return failure instanceof ConnectError ? say(failure) : failure instanceof Error ? failure.message : String(failure);
}

/** How people sign in here: by token, or at an issuer. `onCancel`: over a page that stays as it is. */
function Ways(props: { submit?: string; onCancel?: () => void }) {
  const { data, isPending } = useQuery({ queryKey: ["auth-config"], queryFn: ({ signal }) => api(AuthService).getAuthConfig({}, { signal }), retry: false });
  if (isPending) return <div className="skeleton h-24" />;
  if (data?.mode !== "oidc" || !data.clientId) return <TokenForm {...props} />;
  return props.onCancel ? <SignOnBeside onCancel={props.onCancel} /> : <SingleSignOn config={data} />;
}

function SingleSignOn({ config }: { config: Parameters<typeof beginOidc>[0] }) {
  const [error, setError] = useState<string>();
  const [busy, setBusy] = useState(false);
  const [done, setDone] = useState(false);
  const [path, go] = useLocation();
  const asked = useRef(false);
  const begin = useCallback(() => {
    setBusy(true);
    setError(undefined);
    beginOidc(config).catch((failure: unknown) => {
      setError(words(failure));
      setBusy(false);
    });
  }, [config]);
  useEffect(() => {
    if (path !== CALLBACK || asked.current || location.search === "") return;
    asked.current = true;
    if (location.search === BESIDE) {
      begin();
      return;
    }
    setBusy(true);
    finishOidc(location.search)
      .then(async ({ token, place }) => {
        await attempt(token);
        if (place !== undefined) {
          go(place, { replace: true });
          signIn(token);
          return;
        }
        handOver(token);
        setDone(true);
        window.close();
      })
      .catch((failure: unknown) => setError(words(failure)))
      .finally(() => setBusy(false));
  }, [path, go, begin]);
  if (done) return <p role="status">{t.besideDone}</p>;
  return (
    <div className="space-y-3">
      {error && (
        <FormFailure>
          {t.oidcFailed}: {error}
        </FormFailure>
      )}
      <Button variant="primary" size="lg" icon={LogIn} busy={busy} className="w-full" onClick={begin}>
        {t.oidc}
      </Button>
    </div>
  );
}

/** In a window of its own: this page waits as it is, with all that was typed, and hears of the new token as other tabs do. */
function SignOnBeside({ onCancel }: { onCancel: () => void }) {
  const [blocked, setBlocked] = useState(false);
  return (
    <div className="space-y-3">
      {blocked && <FormFailure>{t.besideBlocked}</FormFailure>}
      <Button
        variant="primary"
        size="lg"
        icon={LogIn}
        className="w-full"
        onClick={() => setBlocked(window.open(CALLBACK + BESIDE, "mission-control-sign-in", "popup,width=480,height=680") === null)}
      >
        {t.oidc}
      </Button>
      <Button variant="ghost" className="w-full" onClick={onCancel}>
        {t.other}
      </Button>
    </div>
  );
}

function TokenForm({ submit = t.submit, onCancel }: { submit?: string; onCancel?: () => void }) {
  const [token, setToken] = useState("");
  const [shown, setShown] = useState(false);
  const [error, setError] = useState<string>();
  const [busy, setBusy] = useState(false);
  const send = (event: FormEvent) => {
    event.preventDefault();
    const value = token.trim();
    if (value === "") {
      setError(t.missing);
      return;
    }
    setBusy(true);
    setError(undefined);
    attempt(value)
      .then(() => signIn(value))
      .catch((failure: unknown) => setError(ConnectError.from(failure).code === Code.Unauthenticated ? t.refused : say(failure)))
      .finally(() => setBusy(false));
  };
  return (
    <form onSubmit={send} className="space-y-4" noValidate>
      <Field label={t.token} hint={t.tokenHint} error={error} required>
        <div className="relative">
          <Input
            autoFocus
            type={shown ? "text" : "password"}
            name="token"
            autoComplete="current-password"
            spellCheck={false}
            value={token}
            onChange={(event) => setToken(event.target.value)}
            className="h-9 pr-9 font-mono"
          />
          <IconButton icon={shown ? EyeOff : Eye} label={shown ? t.hide : t.show} size="sm" onClick={() => setShown(!shown)} className="absolute top-1.5 right-1.5" />
        </div>
      </Field>
      <div className="flex justify-end gap-2">
        {onCancel && (
          <Button variant="ghost" onClick={onCancel}>
            {t.other}
          </Button>
        )}
        <Button variant="primary" size="lg" type="submit" busy={busy} className={onCancel ? "" : "w-full"}>
          {submit}
        </Button>
      </div>
    </form>
  );
}

/** The page for people who are not signed in. */
export default function SignIn() {
  useTitle(t.title);
  return (
    <main className="flex min-h-full items-center justify-center bg-canvas p-4">
      <div className="w-full max-w-[360px]">
        <div className="mb-6 flex items-center gap-3">
          <img src="/icon.svg" alt="" width={36} height={36} />
          <div>
            <h1 className="text-lg font-semibold tracking-[-0.01em]">{texts("shell", shell).product}</h1>
            <p className="text-sm text-muted">{t.lead}</p>
          </div>
        </div>
        <div className="rounded-xl border bg-surface p-5 shadow-card">
          <Ways />
        </div>
      </div>
    </main>
  );
}

/** Over the page when the token is no longer taken: nothing typed is lost. */
export function SignInAgain() {
  const { expired } = useStore(session);
  return (
    <Dialog open={expired} title={t.again} description={t.againBody} size="sm">
      <Ways submit={t.again} onCancel={signOut} />
    </Dialog>
  );
}
