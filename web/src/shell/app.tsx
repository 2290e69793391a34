import { QueryClientProvider } from "@tanstack/react-query";
import { lazy, StrictMode, Suspense, useEffect, useState } from "react";
import { createRoot } from "react-dom/client";
import { Compass } from "lucide-react";
import { Route, Switch, useLocation } from "wouter";
import { startHotkeys, useHotkeys } from "@/lib/hotkeys";
import { addLiveRules, startLive } from "@/lib/live";
import { timeZone } from "@/lib/format";
import { meQuery, organizationsQuery } from "@/lib/me";
import { session } from "@/lib/session";
import { Store, useStore } from "@/lib/store";
import { sidebarClosed, toggleSidebar } from "@/lib/theme";
import { whyAsked } from "@/lib/why";
import shell from "@/texts/en/shell";
import { texts } from "@/texts/catalogue";
import { LinkButton } from "@/ui/button";
import { Page } from "@/ui/page";
import { Boundary, Notice, Quiet, Skeleton } from "@/ui/states";
import { Toasts } from "@/ui/toast";
import { client } from "./client";
import { backgrounds, navigation, pages, routes, preload } from "./pages";
import { Drawer, Sidebar, Topbar } from "./sidebar";

const t = texts("shell", shell);

const SignIn = lazy(() => import("./signin"));
const SignInAgain = lazy(async () => ({ default: (await import("./signin")).SignInAgain }));
const Palette = lazy(() => import("./palette"));
const Shortcuts = lazy(() => import("./shortcuts"));
const Why = lazy(() => import("@/parts/why"));
const Asks = lazy(async () => ({ default: (await import("@/ui/ask")).Asks }));
const Confirmations = lazy(async () => ({ default: (await import("@/ui/confirm")).Confirmations }));

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
  // Who signs in as somebody else must not see what was read before.
  let token = session.get().token;
  session.subscribe(() => {
    const now = session.get();
    if (now.token !== token && !now.expired) {
      if (now.token === null) client.clear();
      else void client.resetQueries();
      token = now.token;
    } else if (now.token !== null && !now.expired) {
      void client.refetchQueries({ predicate: (query) => query.state.status === "error" });
    }
  });
  if (token !== null) {
    // The code of the page is on its way while the shell is drawn.
    preload(location.pathname);
    void client.prefetchQuery(meQuery);
    void client.prefetchQuery(organizationsQuery);
  }
  createRoot(root).render(
    <StrictMode>
      <QueryClientProvider client={client}>
        <Root />
      </QueryClientProvider>
    </StrictMode>,
  );
  // After what the page needs first: the stream begins with the changes of the last seconds, so that nothing is lost.
  setTimeout(() => startLive(client), 0);
}

function Root() {
  const { token, expired } = useStore(session);
  return (
    <>
      <Boundary>
        <Suspense fallback={<Blank />}>{token === null ? <SignIn /> : <Shell />}</Suspense>
      </Boundary>
      <Suspense>{expired && <SignInAgain />}</Suspense>
      <Suspense>
        <Confirmations />
        <Asks />
      </Suspense>
      <Toasts />
    </>
  );
}

function Blank() {
  return <div className="h-full bg-canvas" />;
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
      <Suspense>
        {open === "palette" && <Palette onClose={close} />}
        {open === "shortcuts" && <Shortcuts onClose={close} />}
        {refused && <Why refused={refused} onClose={() => whyAsked.set(null)} />}
      </Suspense>
      <Drawer open={open === "drawer"} onClose={close} />
      <Backgrounds />
    </div>
  );
}

function Content() {
  const [path] = useLocation();
  const area = path.split("/")[1] ?? "";
  return (
    <Boundary key={area}>
      <Suspense fallback={<Waiting />}>
        <Switch>
          {routes.map(({ path: pattern, component }) => (
            <Route key={pattern} path={pattern} component={component} />
          ))}
          <Route>
            <NotFound />
          </Route>
        </Switch>
      </Suspense>
    </Boundary>
  );
}

/** Keeps badges; after the page, which matters more. */
function Backgrounds() {
  const [ready, setReady] = useState(false);
  useEffect(() => {
    const timer = setTimeout(() => setReady(true), 300);
    return () => clearTimeout(timer);
  }, []);
  return (
    ready && (
      <Quiet>
        <Suspense>
          {backgrounds.map((Background, index) => (
            <Background key={index} />
          ))}
        </Suspense>
      </Quiet>
    )
  );
}

/** Code that is on its way: nothing for a moment, then lines. */
function Waiting() {
  const [late, setLate] = useState(false);
  useEffect(() => {
    const timer = setTimeout(() => setLate(true), 200);
    return () => clearTimeout(timer);
  }, []);
  return late ? (
    <div className="p-6">
      <Skeleton lines={8} />
    </div>
  ) : null;
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
