import type { ReactNode } from "react";
import { cx } from "./cx";

/** Meanings that colours have everywhere. */
export type Tone = "neutral" | "info" | "violet" | "ok" | "warn" | "bad" | "signal";

const WASH: Record<Tone, string> = {
  neutral: "bg-sunken text-muted border-line",
  info: "bg-info-wash text-info-ink border-transparent",
  violet: "bg-violet-wash text-violet-ink border-transparent",
  ok: "bg-ok-wash text-ok-ink border-transparent",
  warn: "bg-warn-wash text-warn-ink border-transparent",
  bad: "bg-bad-wash text-bad-ink border-transparent",
  signal: "bg-signal-wash text-signal-ink border-transparent",
};
const SOLID: Record<Tone, string> = {
  neutral: "bg-subtle",
  info: "bg-info",
  violet: "bg-violet",
  ok: "bg-ok",
  warn: "bg-warn",
  bad: "bg-bad",
  signal: "bg-signal",
};

/** A word with a meaning. */
export function Badge({ tone = "neutral", dot, className, children, title }: { tone?: Tone; dot?: boolean; className?: string; children: ReactNode; title?: string }) {
  return (
    <span title={title} className={cx("inline-flex h-5 items-center gap-1 rounded-sm border px-1.5 text-2xs font-medium whitespace-nowrap", WASH[tone], className)}>
      {dot && <Dot tone={tone} />}
      {children}
    </span>
  );
}

/** A point of colour; `alive` breathes. Never the only sign of a meaning. */
export function Dot({ tone = "neutral", alive, className }: { tone?: Tone; alive?: boolean; className?: string }) {
  return (
    <span aria-hidden className={cx("relative inline-flex size-1.5 shrink-0", className)}>
      {alive && <span className={cx("absolute inset-0 rounded-full opacity-60 animate-[ping_2s_ease-out_infinite]", SOLID[tone])} />}
      <span className={cx("relative size-full rounded-full", SOLID[tone])} />
    </span>
  );
}

/** A small number beside a name; nothing for nought. */
export function Count({ value, tone = "neutral", label }: { value: number; tone?: Tone; label?: string }) {
  if (value === 0) return null;
  return (
    <span aria-label={label} className={cx("inline-flex h-4.5 min-w-4.5 items-center justify-center rounded-full px-1.5 text-2xs font-medium tabular", WASH[tone])}>
      {value > 999 ? "999+" : value}
    </span>
  );
}

const HUES = [256, 298, 155, 72, 25, 200, 330, 120];

/** Initials of somebody; people are round, agents are square. */
export function Avatar({ name, kind = "person", size = 20, className }: { name: string; kind?: "person" | "agent"; size?: number; className?: string }) {
  const words = name.trim().split(/[\s._@-]+/u).filter(Boolean);
  const initials = ((words[0]?.[0] ?? "?") + (words.length > 1 ? (words[words.length - 1]?.[0] ?? "") : "")).toUpperCase();
  let hash = 0;
  for (const letter of name) hash = (hash * 31 + (letter.codePointAt(0) ?? 0)) >>> 0;
  const hue = HUES[hash % HUES.length] ?? 256;
  return (
    <span
      aria-hidden
      title={name}
      className={cx("inline-flex shrink-0 items-center justify-center font-semibold select-none", kind === "person" ? "rounded-full" : "rounded-sm", className)}
      style={{
        width: size,
        height: size,
        fontSize: Math.max(8, Math.round(size * 0.42)),
        background: `light-dark(oklch(0.92 0.05 ${hue}), oklch(0.34 0.07 ${hue}))`,
        color: `light-dark(oklch(0.38 0.12 ${hue}), oklch(0.9 0.06 ${hue}))`,
      }}
    >
      {initials}
    </span>
  );
}

/** A key on the keyboard. */
export function Key({ children }: { children: ReactNode }) {
  return (
    <kbd className="inline-flex h-5 min-w-5 items-center justify-center rounded-sm border bg-sunken px-1 font-sans text-2xs font-medium text-muted">{children}</kbd>
  );
}
