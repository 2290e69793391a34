// Lists that the server answers in pieces, read whole: nothing is cut off silently.

/** The most a list call answers. */
export const PAGE = 200;

/** Reads all pages of a list; the second and later ones at once. */
export async function readAll<T>(read: (limit: number, offset: number) => Promise<{ items: T[]; total: number }>, most = 5000): Promise<T[]> {
  const first = await read(PAGE, 0);
  const offsets: number[] = [];
  for (let offset = PAGE; offset < Math.min(first.total, most); offset += PAGE) offsets.push(offset);
  const rest = await Promise.all(offsets.map((offset) => read(PAGE, offset)));
  return [first.items, ...rest.map((page) => page.items)].flat();
}
