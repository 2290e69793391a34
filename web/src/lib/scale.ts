// Scales of charts: round steps, and labels that do not touch.

/** Round marks from 0 to at least `max`: about `count` steps of 1, 2, 2.5 or 5 times a power of ten. */
export function ticks(max: number, count = 3, whole = false): number[] {
  if (!(max > 0) || !Number.isFinite(max)) return [0, 1];
  const raw = max / count;
  const power = 10 ** Math.floor(Math.log10(raw));
  let step = ([1, 2, 2.5, 5, 10].find((factor) => factor * power >= raw * 0.999) ?? 10) * power;
  if (whole) step = Math.max(1, Math.ceil(step));
  const marks = [0];
  while ((marks.at(-1) ?? 0) < max * 0.9999) marks.push(Number((marks.length * step).toPrecision(12)));
  return marks;
}

/** Which of `count` labels show when each needs `need` of `width` pixels: every n-th, with the last one. */
export function shownLabels(count: number, width: number, need: number): number[] {
  if (count <= 0) return [];
  const every = Math.max(1, Math.ceil(count / Math.max(1, Math.floor(width / need))));
  const shown: number[] = [];
  for (let at = count - 1; at >= 0; at -= every) shown.unshift(at);
  return shown;
}

/** The index of the point nearest to `x` among `count` in bands over `width`. */
export function nearest(x: number, width: number, count: number): number {
  return Math.max(0, Math.min(count - 1, Math.floor((x / Math.max(1, width)) * count)));
}

/** Runs of points that are there, for lines with gaps. */
export function runs(values: readonly (number | null)[]): number[][] {
  const found: number[][] = [];
  let open: number[] | undefined;
  values.forEach((value, index) => {
    if (value === null) open = undefined;
    else if (open) open.push(index);
    else found.push((open = [index]));
  });
  return found;
}
