/** How long a call may take, in milliseconds; the first script keeps to it, too (`build/first.ts`). */
export const DEADLINE = 30_000;
