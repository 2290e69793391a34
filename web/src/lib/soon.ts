// Reading again what is counted from many changes: soon after the first, and once more when they have settled, never with each.
import type { QueryClient, QueryKey } from "@tanstack/react-query";

/** A change is told before everything that is counted from it is counted: the first reading waits this long. */
const FIRST = 250;
/** The last reading comes this long after the last change; between them, readings are at least as far apart. */
const SETTLED = 1500;

/** A live rule's `apply` that reads `keys` again, however many changes come. */
export function soon(...keys: readonly QueryKey[]): (event: unknown, client: QueryClient) => void {
  let first: ReturnType<typeof setTimeout> | undefined;
  let last: ReturnType<typeof setTimeout> | undefined;
  let read = 0;
  return (_, client) => {
    const again = () => {
      read = Date.now();
      for (const key of keys) void client.invalidateQueries({ queryKey: key });
    };
    clearTimeout(last);
    last = setTimeout(again, SETTLED);
    if (first !== undefined) return;
    const wait = Math.max(FIRST, read + SETTLED - Date.now());
    first = setTimeout(() => {
      first = undefined;
      again();
    }, wait);
  };
}
