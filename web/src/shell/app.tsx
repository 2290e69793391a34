import { QueryClientProvider } from "@tanstack/react-query";
import { type ReactNode, StrictMode, useEffect, useState } from "react";
import { createRoot } from "react-dom/client";
import { Compass } from "lucide-react";
import { Route, Switch, useLocation } from "wouter";
import { startHotkeys, useHotkeys } from "@/lib/hotkeys";
import { later } from "@/lib/later";
import { addLiveRules, startLive } from "@/lib/live";
import { timeZone } from "@/lib/format";
import { meQuery, membershipQuery, organizationsQuery } from "@/lib/me";
import { session } from "@/lib/session";
import { Store, useStore } from "@/lib/store";
import { sidebarClosed, toggleSidebar } from "@/lib/theme";
import { whyAsked } from "@/lib/why";
import shell from "@/texts/en/shell";
import { texts } from "@/texts/catalogue";
import { LinkButton } from "@/ui/button";
import { Page } from "@/ui/page";
import { Boundary, Notice, Quiet } from "@/ui/states";
import { Toasts } from "@/ui/toast";
import { client } from "./client";
import { backgrounds, begin, navigation, pages, routes } from "./pages";
import { Drawer, Sidebar, Topbar } from "./sidebar";

const t = texts("shell", shell);

/** How long the shell waits for the page's code and what it shows, in milliseconds. */
const TOGETHER = 120;
/** What is not seen at first begins so much later. */
const AFTERWARDS = 500;

const SignIn = later(() => import("./signin"), () => <div className="h-full bg-canvas" />);
const SignInAgain = later(async () => ({ default: (await import("./signin")).SignInAgain }));
const Palette = later(() => import("./palette"));
const Shortcuts = later(() => import("./shortcuts"));
const Why = later(() => import("@/parts/why"));
const Asks = later(async () => ({ default: (await import("@/ui/ask")).Asks }));
const Confirmations = later(async () => ({ default: (await import("@/ui/confirm")).Confirmations }));

/** What is open over the page. */
export const overlay = new Store<"palette" | "shortcuts" | "drawer" | null>(null);

/** Shows the page. */
export function start(root: HTMLElement): void {
  for (const page of pages) addLiveRules(page.live ?? []);
  addLiveRules([
    { types: ["organization.", "member."], invalidates: [["organizations"], ["membership"]] },
    { types: ["user."], invalidates: [["me"]] },
  ]);
  startHotkeys();
  let { token, expired } = session.get();
  session.subscribe(() => {
    const before = { token, expired };
    ({ token, expired } = session.get());
    if (expired) return;
    if (token === null) client.clear();
    else if (before.expired) void renew();
    // Who signs in as somebody else must not see what was read before.
    else if (token !== before.token) void client.resetQueries();
    else void client.refetchQueries({ predicate: (query) => query.state.status === "error" });
  });
  const render = () =>
    createRoot(root).render(
      <StrictMode>
        <QueryClientProvider client={client}>
          <Root />
        </QueryClientProvider>
      </StrictMode>,
    );
  if (token === null) {
    render();
    const stop = session.subscribe(() => {
      if (session.get().token === null) return;
      stop();
      startLive(client);
    });
    return;
  }
  // What the page shows is asked for first; shell and page are drawn together, once, when all of it is quick.
  const ready = Promise.all([begin(location.pathname, client), client.prefetchQuery(meQuery), client.prefetchQuery(organizationsQuery), client.prefetchQuery(membershipQuery)]);
  void Promise.race([ready, pause(TOGETHER)]).then(render);
  // The stream begins with the changes of the last seconds, so that nothing is lost.
  void pause(AFTERWARDS).then(() => startLive(client));
}

function pause(milliseconds: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}

/** Signed in again over the open page: the same person keeps what is shown and typed while all is read again, another one sees nothing of it. */
async function renew(): Promise<void> {
  const before = client.getQueryData(meQuery.queryKey)?.id;
  const now = await client.fetchQuery({ ...meQuery, staleTime: 0 }).catch(() => undefined);
  if (before !== undefined && now?.id === before) await client.invalidateQueries();
  else await client.resetQueries();
}

function Root() {
  const { token, expired } = useStore(session);
  return (
    <>
      <Boundary>{token === null ? <SignIn /> : <Shell />}</Boundary>
      {expired && <SignInAgain />}
      <Afterwards>
        <Confirmations />
        <Asks />
      </Afterwards>
      <Toasts />
    </>
  );
}

function Shell() {
  const open = useStore(overlay);
  const refused = useStore(whyAsked);
  // All times are written anew when their zone changes.
  useStore(timeZone);
  const [, go] = useLocation();
  const close = () => overlay.set(null);
  useHotkeys([
    { keys: "mod+k", label: t.command, group: t.shortcuts.general, everywhere: true, run: () => overlay.set((now) => (now === "palette" ? null : "palette")) },
    { keys: "?", label: t.help, group: t.shortcuts.general, run: () => overlay.set("shortcuts") },
    { keys: "[", label: sidebarClosed.get() ? t.expand : t.collapse, group: t.shortcuts.general, run: toggleSidebar },
    ...navigation.flatMap((entry) => (entry.key ? [{ keys: `g ${entry.key}`, label: entry.label(), group: t.shortcuts.goTo, run: () => go(entry.to) }] : [])),
  ]);
  return (
    <div className="flex h-full">
      <a href="#content" className="absolute top-2 left-2 z-50 -translate-y-16 rounded-md bg-primary px-3 py-1.5 text-on-primary focus:translate-y-0">
        {t.skip}
      </a>
      <Sidebar />
      <div className="flex min-w-0 flex-1 flex-col">
        <Topbar />
        <main id="content" tabIndex={-1} className="min-h-0 flex-1 outline-none">
          <Content />
        </main>
      </div>
      {open === "palette" && <Palette onClose={close} />}
      {open === "shortcuts" && <Shortcuts onClose={close} />}
      {refused && <Why refused={refused} onClose={() => whyAsked.set(null)} />}
      <Drawer open={open === "drawer"} onClose={close} />
      <Afterwards>
        <Quiet>
          {backgrounds.map((Background, index) => (
            <Background key={index} />
          ))}
        </Quiet>
      </Afterwards>
    </div>
  );
}

function Content() {
  const [path] = useLocation();
  const area = path.split("/")[1] ?? "";
  return (
    <Boundary key={area}>
      <Switch>
        {routes.map(({ path: pattern, component }) => (
          <Route key={pattern} path={pattern} component={component} />
        ))}
        <Route>
          <NotFound />
        </Route>
      </Switch>
    </Boundary>
  );
}

/** After the page, which matters more. */
function Afterwards({ children }: { children: ReactNode }) {
  const [ready, setReady] = useState(false);
  useEffect(() => {
    const timer = setTimeout(() => setReady(true), AFTERWARDS);
    return () => clearTimeout(timer);
  }, []);
  return ready && children;
}

function NotFound() {
  return (
    <Page title={t.notFound.title}>
      <Notice icon={Compass} title={t.notFound.title} action={<LinkButton to="/">{t.notFound.home}</LinkButton>}>
        {t.notFound.body}
      </Notice>
    </Page>
  );
}
