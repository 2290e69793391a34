// What a page tells the shell about itself. Each folder of `pages/` has a `page.ts` that exports one by default; the shell finds it there.
import type { QueryClient } from "@tanstack/react-query";
import type { LucideIcon } from "lucide-react";
import type { ComponentType } from "react";
import type { Command } from "./commands";
import type { LiveRule } from "./live";
import type { Store } from "./store";

/** Part of the navigation. */
export type Section = "work" | "fleet" | "organization";

/** A page, or several that belong together. It is part of what every visit loads: no component, no generated code in it. */
export interface PageDefinition {
  /** Paths in the form `/boards/:boardId`; a trailing `/*?` takes what lies below. The component of a path is loaded when it is visited. */
  readonly routes: readonly {
    readonly path: string;
    readonly load: () => Promise<{ default: ComponentType }>;
    /** The gRPC path, without the slash in front, of what `read` calls first, with the parameters of the path and nothing else: a visit that begins
     *  there is answered while there is no code yet. Written right after `load`: the build reads it (`build/first.ts`). */
    readonly ahead?: string;
    /** Reads what the page shows first, in code that is smaller than the page: a visit that begins there asks while the page is on its way. */
    readonly read?: (client: QueryClient, values: Record<string, string>) => Promise<unknown>;
  }[];
  /** Entries of the navigation. `badge`: a number that waits. */
  readonly nav?: readonly {
    readonly section: Section;
    /** Smaller is higher. */
    readonly order: number;
    /** Its name; a function, since the language may be loaded later. */
    readonly label: () => string;
    readonly icon: LucideIcon;
    readonly to: string;
    readonly badge?: Store<number>;
    /** The navigation shows it only while something waits, or one is there; the palette always has it. */
    readonly whileWaiting?: boolean;
    /** Second key of the `g …` shortcut. */
    readonly key?: string;
    /** Only for owners and admins. */
    readonly admin?: boolean;
  }[];
  /** Commands of the palette that are always there. Going to the entries of `nav` is one already. */
  readonly commands?: () => readonly Command[];
  /** A component without markup that is there as long as somebody is signed in: keeps a badge. Loaded after the page itself. */
  readonly background?: () => Promise<{ default: ComponentType }>;
  /** What changes by others mean for what these pages have read. */
  readonly live?: readonly LiveRule[];
}

/** Says that an object is a page. */
export function definePage(page: PageDefinition): PageDefinition {
  return page;
}
