// Commands of the palette: those of pages (`page.ts`), and those of components while they are shown.
import type { LucideIcon } from "lucide-react";
import { useEffect } from "react";
import { Store } from "./store";

/** Something to go to or to do. */
export interface Command {
  readonly id: string;
  readonly label: string;
  /** Heading in the palette. */
  readonly group: string;
  readonly icon?: LucideIcon;
  /** Other words it is found by. */
  readonly words?: string;
  /** The shortcut that does the same, as shown. */
  readonly hint?: string;
  /** Only for owners and admins. */
  readonly admin?: boolean;
  /** Goes to a place, … */
  readonly to?: string;
  /** … or does something. */
  readonly run?: () => void;
}

/** Commands of what is shown now. */
export const commands = new Store<ReadonlyMap<string, readonly Command[]>>(new Map());

let owners = 0;

/** Offers commands while the component is there. Give `list` a stable identity (`useMemo`). */
export function useCommands(list: readonly Command[]): void {
  useEffect(() => {
    const owner = `component-${owners++}`;
    commands.set((all) => new Map(all).set(owner, list));
    return () => {
      commands.set((all) => {
        const rest = new Map(all);
        rest.delete(owner);
        return rest;
      });
    };
  }, [list]);
}
