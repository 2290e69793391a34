// Charts: bars, stacked bars and lines over time, drawn by hand. Read with the eyes, the arrow keys, or as a table by a screen reader.
import { type KeyboardEvent, useEffect, useId, useRef, useState } from "react";
import { nearest, runs, shownLabels, ticks } from "@/lib/scale";
import type { Tone } from "./badge";
import { cx } from "./cx";

/** One series; null where there is nothing to say. */
export interface Series {
  readonly name: string;
  readonly values: readonly (number | null)[];
  readonly tone: Tone;
  /** `bars` are stacked on each other; `dashes` is what the rest is compared with. */
  readonly kind: "bars" | "line" | "dashes";
}

const COLOR: Record<Tone, string> = {
  neutral: "var(--line-strong)",
  info: "var(--info)",
  violet: "var(--violet)",
  ok: "var(--ok)",
  warn: "var(--warn)",
  bad: "var(--bad)",
  signal: "var(--signal)",
};
const LEFT = 34;
const RIGHT = 6;
const TOP = 10;
const BOTTOM = 22;

/** A chart. `points` are the names of the points, short for the axis and long for reading. */
export function Chart({
  label,
  points,
  series,
  format,
  whole = false,
  height = 190,
}: {
  label: string;
  points: readonly { short: string; long: string }[];
  series: readonly Series[];
  format: (value: number) => string;
  /** Values are counts: no marks between whole numbers. */
  whole?: boolean;
  height?: number;
}) {
  const box = useRef<HTMLDivElement>(null);
  const [width, setWidth] = useState(0);
  const [at, setAt] = useState<number>();
  const id = useId();
  useEffect(() => {
    const element = box.current;
    if (!element) return;
    const measure = () => setWidth(element.clientWidth);
    measure();
    const watcher = new ResizeObserver(measure);
    watcher.observe(element);
    return () => watcher.disconnect();
  }, []);

  const count = points.length;
  const stacks = series.filter((one) => one.kind === "bars");
  const lines = series.filter((one) => one.kind !== "bars");
  const sum = (index: number) => stacks.reduce((total, one) => total + (one.values[index] ?? 0), 0);
  const most = Math.max(0, ...points.map((_, index) => sum(index)), ...lines.flatMap((one) => one.values.map((value) => value ?? 0)));
  const marks = ticks(most, 3, whole);
  const top = marks.at(-1) ?? 1;
  const inner = Math.max(0, width - LEFT - RIGHT);
  const band = count > 0 ? inner / count : 0;
  const x = (index: number) => LEFT + band * (index + 0.5);
  const y = (value: number) => TOP + (height - TOP - BOTTOM) * (1 - value / top);
  const bar = Math.min(30, Math.max(2, band * 0.62));
  const chosen = at !== undefined && at < count ? at : undefined;

  const keys = (event: KeyboardEvent) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (step !== undefined) setAt(Math.max(0, Math.min(count - 1, chosen === undefined ? (step > 0 ? 0 : count - 1) : chosen + step)));
    else if (event.key === "Home") setAt(0);
    else if (event.key === "End") setAt(count - 1);
    else if (event.key === "Escape" && chosen !== undefined) setAt(undefined);
    else return;
    event.preventDefault();
    event.stopPropagation();
  };
  return (
    <div>
      <div
        ref={box}
        role="group"
        tabIndex={0}
        aria-label={label}
        aria-describedby={`${id}-table`}
        onKeyDown={keys}
        onBlur={() => setAt(undefined)}
        onPointerMove={(event) => setAt(nearest(event.clientX - event.currentTarget.getBoundingClientRect().left - LEFT, inner, count))}
        onPointerLeave={() => setAt(undefined)}
        className="relative rounded-md"
        style={{ height }}
      >
        {width > 0 && (
          <svg width={width} height={height} aria-hidden className="block overflow-visible">
            {marks.map((mark) => (
              <g key={mark}>
                <line x1={LEFT} x2={width - RIGHT} y1={y(mark)} y2={y(mark)} stroke="var(--line-soft)" strokeWidth={1} shapeRendering="crispEdges" />
                <text x={LEFT - 8} y={y(mark)} dy="0.32em" textAnchor="end" fill="var(--ink-subtle)" fontSize={11} className="tabular">
                  {format(mark)}
                </text>
              </g>
            ))}
            {chosen !== undefined && <rect x={LEFT + band * chosen} y={TOP} width={band} height={height - TOP - BOTTOM} fill="var(--hover)" />}
            {points.map((_, index) => {
              let below = 0;
              return stacks.map((one) => {
                const value = one.values[index] ?? 0;
                if (value <= 0) return null;
                const from = y(below);
                below += value;
                const to = y(below);
                return <rect key={one.name} x={x(index) - bar / 2} y={to} width={bar} height={Math.max(1, from - to - (from < y(0) ? 1 : 0))} rx={Math.min(2.5, bar / 3)} fill={COLOR[one.tone]} />;
              });
            })}
            {lines.map((one) =>
              runs(one.values).map((run) => {
                const path = run.map((index, place) => `${place === 0 ? "M" : "L"}${x(index).toFixed(1)} ${y(one.values[index] ?? 0).toFixed(1)}`).join("");
                const [first, last] = [run[0] ?? 0, run.at(-1) ?? 0];
                return (
                  <g key={`${one.name}-${first}`}>
                    {one.kind === "line" && run.length > 1 && <path d={`${path}L${x(last).toFixed(1)} ${y(0)}L${x(first).toFixed(1)} ${y(0)}Z`} fill={COLOR[one.tone]} opacity={0.1} />}
                    {run.length > 1 ? (
                      <path d={path} fill="none" stroke={COLOR[one.tone]} strokeWidth={one.kind === "dashes" ? 1.25 : 2} strokeDasharray={one.kind === "dashes" ? "3 4" : undefined} strokeLinejoin="round" strokeLinecap="round" />
                    ) : (
                      <circle cx={x(first)} cy={y(one.values[first] ?? 0)} r={one.kind === "dashes" ? 1.5 : 2.5} fill={COLOR[one.tone]} />
                    )}
                  </g>
                );
              }),
            )}
            {chosen !== undefined &&
              lines.map((one) => {
                const value = one.values[chosen];
                return value === null || value === undefined ? null : <circle key={one.name} cx={x(chosen)} cy={y(value)} r={3.5} fill={COLOR[one.tone]} stroke="var(--surface)" strokeWidth={1.5} />;
              })}
            {shownLabels(count, inner, 52).map((index) => (
              <text key={index} x={Math.min(x(index), width - 20)} y={height - 5} textAnchor="middle" fill="var(--ink-subtle)" fontSize={11}>
                {points[index]?.short}
              </text>
            ))}
          </svg>
        )}
        {chosen !== undefined && (
          <div
            className="pointer-events-none absolute top-1 z-10 w-max max-w-56 rounded-md border bg-raised px-2.5 py-1.5 text-xs shadow-pop"
            style={x(chosen) < width / 2 ? { left: x(chosen) + band / 2 + 6 } : { right: width - x(chosen) + band / 2 + 6 }}
          >
            <p className="font-medium">{points[chosen]?.long}</p>
            <ul role="status" className="mt-0.5">
              {series.map((one) => {
                const value = one.values[chosen];
                return (
                  <li key={one.name} className="flex items-center gap-2">
                    <Mark tone={one.tone} kind={one.kind} />
                    <span className="flex-1 text-muted">{one.name}</span>
                    <span className="pl-3 font-medium tabular">{value === null || value === undefined ? "–" : format(value)}</span>
                  </li>
                );
              })}
            </ul>
          </div>
        )}
      </div>
      <div className="sr-only">
        <table id={`${id}-table`}>
          <caption>{label}</caption>
          <thead>
            <tr>
              <td />
              {series.map((one) => (
                <th key={one.name} scope="col">
                  {one.name}
                </th>
              ))}
            </tr>
          </thead>
          <tbody>
            {points.map((point, index) => (
              <tr key={point.long}>
                <th scope="row">{point.long}</th>
                {series.map((one) => {
                  const value = one.values[index];
                  return <td key={one.name}>{value === null || value === undefined ? "–" : format(value)}</td>;
                })}
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </div>
  );
}

function Mark({ tone, kind }: { tone: Tone; kind: Series["kind"] }) {
  if (kind === "dashes") return <span aria-hidden className="w-2.5 border-t-2 border-dashed" style={{ borderColor: COLOR[tone] }} />;
  return <span aria-hidden className={cx("w-2.5", kind === "bars" ? "h-2.5 rounded-[3px]" : "h-0.5 rounded-full")} style={{ background: COLOR[tone] }} />;
}

/** What the colours of a chart mean. */
export function Legend({ series }: { series: readonly Series[] }) {
  return (
    <ul aria-hidden className="flex flex-wrap items-center gap-x-3 gap-y-1 text-xs text-muted">
      {series.map((one) => (
        <li key={one.name} className="flex items-center gap-1.5">
          <Mark tone={one.tone} kind={one.kind} />
          {one.name}
        </li>
      ))}
    </ul>
  );
}

/** A share of a whole as a bar, with its words outside. */
export function Meter({ value, max = 100, label, tone = "info", className }: { value: number; max?: number; label: string; tone?: Tone; className?: string }) {
  const share = Math.max(0, Math.min(1, value / max));
  return (
    <span role="meter" aria-label={label} aria-valuenow={value} aria-valuemin={0} aria-valuemax={max} className={cx("block h-1.5 overflow-hidden rounded-full bg-pressed", className)}>
      <span className="block h-full rounded-full" style={{ width: `${share * 100}%`, background: COLOR[tone] }} />
    </span>
  );
}
