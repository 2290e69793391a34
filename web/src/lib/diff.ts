// What changed between two states of a resource, field by field.

/** A field that differs. A side is undefined when the field was not there. */
export interface Difference {
  /** `name`, or `board_access.0.can_write` inside of something. */
  readonly field: string;
  readonly before: unknown;
  readonly after: unknown;
}

/** Fields that change with everything else and say nothing. */
const NOISE = new Set(["updated_at", "counts"]);
/** Fields of a new or deleted thing that say little to people. */
const QUIET = new Set(["id", "organization_id", "created_at", "updated_at", "counts"]);

const isObject = (value: unknown): value is Record<string, unknown> => typeof value === "object" && value !== null && !Array.isArray(value);
const isNothing = (value: unknown): boolean => value === undefined || value === null || value === "" || (Array.isArray(value) && value.length === 0) || (isObject(value) && Object.keys(value).length === 0);

/** Whether two JSON values are the same; the order of keys does not count. */
export function same(a: unknown, b: unknown): boolean {
  if (Object.is(a, b)) return true;
  if (Array.isArray(a) && Array.isArray(b)) return a.length === b.length && a.every((value, index) => same(value, b[index]));
  if (isObject(a) && isObject(b)) {
    const names = new Set([...Object.keys(a), ...Object.keys(b)]);
    return [...names].every((name) => same(a[name], b[name]));
  }
  return false;
}

/** The fields that differ. Of something that is new or gone: the fields that say something. */
export function differences(before: unknown, after: unknown): Difference[] {
  if (!isObject(before) || !isObject(after)) {
    const only = isObject(after) ? after : isObject(before) ? before : {};
    return Object.entries(only)
      .filter(([name, value]) => !QUIET.has(name) && !isNothing(value))
      .map(([field, value]) => (isObject(after) ? { field, before: undefined, after: value } : { field, before: value, after: undefined }));
  }
  return inside(before, after, "");
}

function inside(before: Record<string, unknown>, after: Record<string, unknown>, path: string): Difference[] {
  const names = [...new Set([...Object.keys(before), ...Object.keys(after)])];
  return names.flatMap((name) => {
    const [was, is] = [before[name], after[name]];
    if ((path === "" && NOISE.has(name)) || same(was, is) || (isNothing(was) && isNothing(is))) return [];
    if (isObject(was) && isObject(is)) return inside(was, is, `${path}${name}.`);
    return [{ field: path + name, before: was, after: is }];
  });
}
