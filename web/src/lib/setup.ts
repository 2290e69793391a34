// How many of the first steps are left in this organization; navigation and inbox show the way to them. `pages/start` keeps it.
import { Store } from "./store";

/** Nought when all are done, or when they are not for this person. */
export const stepsLeft = new Store(0);
