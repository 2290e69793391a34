// Who is signed in. The token lies in the origin's local storage: new tabs and deep links work, it is in no URL and no cookie, and the policy of
// the page lets no foreign script near it.
import { Store, kept } from "./store";

/** The state of the sign-in. */
export interface Session {
  /** The bearer token; null when nobody is signed in. */
  readonly token: string | null;
  /** The server no longer takes the token: ask for another, over the page that is open. */
  readonly expired: boolean;
}

const KEY = "token";
/** Written at every sign-in: tells other tabs even when the token is the same again. */
const MARK = "signed-in";

/** Where an issuer sends people back to; nobody is signed in there yet. */
export const CALLBACK = "/auth/callback";

/** The session of this browser. */
export const session = new Store<Session>({ token: typeof location !== "undefined" && location.pathname === CALLBACK ? null : kept.get(KEY), expired: false });

/** Keeps a token that the server took. */
export function signIn(token: string): void {
  handOver(token);
  session.set({ token, expired: false });
}

/** The same for all other tabs; in this one, which was there to sign in, nobody is. */
export function handOver(token: string): void {
  kept.set(KEY, token);
  kept.set(MARK, String(Date.now()));
}

/** Forgets the token, in every tab. */
export function signOut(): void {
  kept.set(KEY, null);
  session.set({ token: null, expired: false });
}

/** The server refused `token`: a newer one may have taken its place meanwhile. */
export function expire(token: string | null): void {
  session.set((now) => (now.token !== null && now.token === token && !now.expired ? { ...now, expired: true } : now));
}

// What another tab does counts here too.
if (typeof window !== "undefined") {
  window.addEventListener("storage", (event) => {
    if (event.key === `mc.${KEY}` || event.key === `mc.${MARK}`) session.set({ token: kept.get(KEY), expired: false });
  });
}
