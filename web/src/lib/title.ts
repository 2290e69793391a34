import { Store } from "./store";

/** How many things wait for this person; in front of the browser tab's title. The approvals page keeps it. */
export const titleBadge = new Store(0);
