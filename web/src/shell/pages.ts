// All pages there are: every folder of `pages/` with a `page.ts`.
import type { QueryClient } from "@tanstack/react-query";
import { type Later, later } from "@/lib/later";
import type { PageDefinition } from "@/lib/page";
import { Waiting } from "./waiting";

const found = import.meta.glob<{ default: PageDefinition }>("../pages/*/page.ts", { eager: true });

/** The pages. */
export const pages: readonly PageDefinition[] = Object.values(found).map((module) => module.default);

/** A path with its component. */
export interface Route {
  path: string;
  component: Later<object>;
  read: PageDefinition["routes"][number]["read"];
}

/** The routes; those with fewer parameters come first, so that `/boards/new` is not taken for a board. */
export const routes: readonly Route[] = pages
  .flatMap((page) => page.routes)
  .map(({ path, load, read }) => ({ path, read, component: later<object>(load, Waiting) }))
  .sort((a, b) => weight(a.path) - weight(b.path));

function weight(path: string): number {
  return (path.match(/[:*]/g) ?? []).length;
}

/** Entries of the navigation, in order. */
export const navigation = pages.flatMap((page) => page.nav ?? []).toSorted((a, b) => a.order - b.order);

function routeOf(to: string): { route: Route; values: Record<string, string> } | undefined {
  for (const route of routes) {
    const match = new RegExp(`^${route.path.replace(/:([^/]+)/g, "(?<$1>[^/]+)").replace("/*?", "(?:/.*)?")}/?$`).exec(to);
    if (match) return { route, values: { ...match.groups } };
  }
  return undefined;
}

/** Loads the code of a place before it is visited. */
export async function preload(to: string): Promise<void> {
  await routeOf(to)
    ?.route.component.load()
    .catch(() => undefined);
}

/** The first place of a visit: its code comes, and what it shows is asked for at once. Answers when both are there. */
export async function begin(to: string, client: QueryClient): Promise<void> {
  const found = routeOf(to);
  await Promise.all([found?.route.read?.(client, found.values).catch(() => undefined), preload(to)]);
}

/** What runs beside every page. */
export const backgrounds = pages.flatMap((page) => (page.background ? [later<object>(page.background)] : []));
