// All pages there are: every folder of `pages/` with a `page.ts`.
import { type ComponentType, lazy, type LazyExoticComponent } from "react";
import type { PageDefinition } from "@/lib/page";

const found = import.meta.glob<{ default: PageDefinition }>("../pages/*/page.ts", { eager: true });

/** The pages. */
export const pages: readonly PageDefinition[] = Object.values(found).map((module) => module.default);

/** A path with its component. */
export interface Route {
  path: string;
  component: LazyExoticComponent<ComponentType>;
  load: () => Promise<unknown>;
}

/** The routes; those with fewer parameters come first, so that `/boards/new` is not taken for a board. */
export const routes: readonly Route[] = pages
  .flatMap((page) => page.routes)
  .map(({ path, load }) => ({ path, load, component: lazy(load) }))
  .sort((a, b) => weight(a.path) - weight(b.path));

function weight(path: string): number {
  return (path.match(/[:*]/g) ?? []).length;
}

/** Entries of the navigation, in order. */
export const navigation = pages.flatMap((page) => page.nav ?? []).toSorted((a, b) => a.order - b.order);

/** Loads what a place needs before it is visited. */
export function preload(to: string): void {
  void routes
    .find(({ path }) => new RegExp(`^${path.replace(/:[^/]+/g, "[^/]+").replace("/*?", "(?:/.*)?")}/?$`).test(to))
    ?.load()
    .catch(() => undefined);
}

/** What runs beside every page. */
export const backgrounds = pages.flatMap((page) => (page.background ? [lazy(page.background)] : []));
