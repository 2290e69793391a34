// How much waits for this person; the navigation and the browser's tab show it. The inbox keeps these.
import { Store } from "./store";

/** Everything in the inbox. */
export const inboxWaiting = new Store(0);

/** Approvals that this person can decide. */
export const approvalsWaiting = new Store(0);
