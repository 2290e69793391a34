// Single sign-on: authorization code with PKCE at the issuer that the server names. The code is exchanged here; the token is in no address.
import type { AuthConfig } from "@/gen/missioncontrol/org/v1/org_pb";
import { CALLBACK } from "./session";

/** The query of `CALLBACK` that begins a sign-in in a window of its own, over a page that stays as it is. */
export const BESIDE = "?beside";
const KEY = "mc.oidc";
const WINDOW = "mc.oidc.window";

interface Pending {
  state: string;
  verifier: string;
  tokenEndpoint: string;
  clientId: string;
  /** The tokens of this audience are access tokens; without one the identity token is what the server reads. */
  access: boolean;
  /** Where the person was; absent in a window of its own. */
  place?: string;
}

function random(): string {
  return encode(crypto.getRandomValues(new Uint8Array(32)));
}

function encode(bytes: Uint8Array): string {
  return btoa(String.fromCharCode(...bytes)).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
}

/** The challenge of a verifier (RFC 7636, S256). */
export async function challengeOf(verifier: string): Promise<string> {
  return encode(new Uint8Array(await crypto.subtle.digest("SHA-256", new TextEncoder().encode(verifier))));
}

/** Leaves for the issuer; people come back to where they were, or, in a window of its own, to its end. */
export async function beginOidc(config: AuthConfig): Promise<void> {
  const issuer = (config.issuer ?? "").replace(/\/$/, "");
  const found = await fetch(`${issuer}/.well-known/openid-configuration`, { credentials: "omit" });
  if (!found.ok) throw new Error(`${issuer} answered ${found.status}`);
  const metadata = (await found.json()) as { authorization_endpoint: string; token_endpoint: string };
  // A window that was opened for it stays one, however often somebody tries.
  if (location.pathname === CALLBACK && location.search === BESIDE) sessionStorage.setItem(WINDOW, "beside");
  const beside = sessionStorage.getItem(WINDOW) !== null;
  const pending: Pending = {
    state: random(),
    verifier: random(),
    tokenEndpoint: metadata.token_endpoint,
    clientId: config.clientId ?? "",
    access: Boolean(config.audience),
    ...(beside ? {} : { place: location.pathname === CALLBACK ? "/" : location.pathname + location.search }),
  };
  sessionStorage.setItem(KEY, JSON.stringify(pending));
  const to = new URL(metadata.authorization_endpoint);
  const ask = {
    response_type: "code",
    client_id: pending.clientId,
    redirect_uri: location.origin + CALLBACK,
    scope: config.scope || "openid profile email",
    state: pending.state,
    code_challenge: await challengeOf(pending.verifier),
    code_challenge_method: "S256",
    ...(config.audience ? { audience: config.audience } : {}),
  };
  for (const [name, value] of Object.entries(ask)) to.searchParams.set(name, value);
  location.assign(to);
}

/** Back from the issuer: exchanges the code for a token, and answers where the person was. */
export async function finishOidc(search: string): Promise<{ token: string; place?: string }> {
  const answer = new URLSearchParams(search);
  const saved = sessionStorage.getItem(KEY);
  sessionStorage.removeItem(KEY);
  // The code must not stay in the address or the history.
  history.replaceState(null, "", CALLBACK);
  const pending = saved ? (JSON.parse(saved) as Pending) : undefined;
  if (answer.get("error")) throw new Error(answer.get("error_description") ?? answer.get("error") ?? "");
  const code = answer.get("code");
  if (!pending || !code || answer.get("state") !== pending.state) throw new Error("The answer of the issuer does not belong to a sign-in that was begun here.");
  const body = new URLSearchParams({ grant_type: "authorization_code", code, redirect_uri: location.origin + CALLBACK, client_id: pending.clientId, code_verifier: pending.verifier });
  const exchanged = await fetch(pending.tokenEndpoint, { method: "POST", body, credentials: "omit" });
  const tokens = (await exchanged.json()) as { access_token?: string; id_token?: string; error_description?: string };
  const token = pending.access ? tokens.access_token : (tokens.id_token ?? tokens.access_token);
  if (!exchanged.ok || !token) throw new Error(tokens.error_description ?? `The issuer answered ${exchanged.status}.`);
  return { token, ...(pending.place === undefined ? {} : { place: pending.place }) };
}
