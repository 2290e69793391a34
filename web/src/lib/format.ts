// Dates, numbers and durations in the reader's language, and in the time zone of their profile when it names one.
import type { Timestamp } from "@bufbuild/protobuf/wkt";
import { language, locale } from "@/texts/catalogue";
import { Store } from "./store";

/** The zone of all times that are shown; undefined is the browser's own. What shows times follows it. */
export const timeZone = new Store<string | undefined>(undefined);

/** The time zone of the profile; the browser's when absent or unknown. */
export function setTimeZone(name: string | undefined): void {
  try {
    timeZone.set(name ? new Intl.DateTimeFormat("en", { timeZone: name }).resolvedOptions().timeZone : undefined);
  } catch {
    timeZone.set(undefined);
  }
}

/** A moment as a date. */
export function toDate(at: Timestamp | Date | string): Date {
  if (at instanceof Date) return at;
  if (typeof at === "string") return new Date(at);
  return new Date(Number(at.seconds) * 1000 + at.nanos / 1e6);
}

/** A moment for the wire. */
export function toTimestamp(at: Date): Pick<Timestamp, "seconds" | "nanos"> {
  const milliseconds = at.getTime();
  return { seconds: BigInt(Math.floor(milliseconds / 1000)), nanos: (((milliseconds % 1000) + 1000) % 1000) * 1_000_000 };
}

const made = new Map<string, Intl.DateTimeFormat>();
const others = new Map<string, unknown>();

/** Formatters are made once: making one takes longer than all that is written with it. */
function kept<T>(key: string, make: () => T): T {
  let found = others.get(key) as T | undefined;
  if (found === undefined) others.set(key, (found = make()));
  return found;
}

function formatter(options: Intl.DateTimeFormatOptions): Intl.DateTimeFormat {
  const zone = timeZone.get();
  const key = `${locale()}|${zone ?? ""}|${JSON.stringify(options)}`;
  let found = made.get(key);
  if (!found) made.set(key, (found = new Intl.DateTimeFormat(locale(), { ...options, timeZone: zone })));
  return found;
}

/** The calendar day of a moment, `2026-11-25`: what days are told apart by. */
export function calendarDay(at: Timestamp | Date | string): string {
  const parts = new Map(formatter({ calendar: "gregory", numberingSystem: "latn", year: "numeric", month: "2-digit", day: "2-digit" }).formatToParts(toDate(at)).map((part) => [part.type, part.value]));
  return `${parts.get("year")}-${parts.get("month")}-${parts.get("day")}`;
}

/** `today`, `yesterday`, `Monday, 23 November`. */
export function dayName(at: Timestamp | Date | string, now = new Date()): string {
  const days = Math.round((Date.parse(calendarDay(at)) - Date.parse(calendarDay(now))) / 86_400_000);
  if (days === 0 || days === -1) return new Intl.RelativeTimeFormat(locale(), { numeric: "auto" }).format(days, "day");
  const sameYear = calendarDay(at).slice(0, 4) === calendarDay(now).slice(0, 4);
  return formatter({ weekday: "long", day: "numeric", month: "long", ...(sameYear ? {} : { year: "numeric" }) }).format(toDate(at));
}

/** A moment in other words of `Intl`, in the zone of all times. */
export function moment(at: Timestamp | Date | string, options: Intl.DateTimeFormatOptions): string {
  return formatter(options).format(toDate(at));
}

/** `25 Nov 2026`, without the year when it is this one. */
export function date(at: Timestamp | Date | string): string {
  const moment = toDate(at);
  const sameYear = calendarDay(moment).slice(0, 4) === calendarDay(new Date()).slice(0, 4);
  return formatter({ day: "numeric", month: "short", ...(sameYear ? {} : { year: "numeric" }) }).format(moment);
}

/** Date, time and zone, to the second. */
export function dateTime(at: Timestamp | Date | string): string {
  return formatter({ dateStyle: "medium", timeStyle: "long" }).format(toDate(at));
}

/** Time of day. */
export function time(at: Timestamp | Date | string): string {
  return formatter({ hour: "2-digit", minute: "2-digit" }).format(toDate(at));
}

/** A grouped number. */
export function number(value: number | bigint, options?: Intl.NumberFormatOptions): string {
  // Counts on a page that has just begun: English writes them as they are, and making a formatter takes as long as drawing many of them.
  if (!options && value >= 0 && value < 1000 && Number.isInteger(Number(value)) && /^en\b/.test(locale())) return String(value);
  return kept(`number ${locale()} ${options ? JSON.stringify(options) : ""}`, () => new Intl.NumberFormat(locale(), options)).format(value);
}

/** A share between 0 and 1 as per cent. */
export function percent(share: number): string {
  return number(share, { style: "percent", maximumFractionDigits: 0 });
}

/** The right form of a word for a number: `plural(n, { one: "1 task", other: `${n} tasks` })`. */
export function plural(count: number, forms: Partial<Record<Intl.LDMLPluralRule, string>> & { other: string }): string {
  return forms[kept(`plural ${language()}`, () => new Intl.PluralRules(language())).select(count)] ?? forms.other;
}

/** `A, B and C`. */
export function list(words: readonly string[]): string {
  return new Intl.ListFormat(locale(), { type: "conjunction" }).format(words);
}

const STEPS: readonly [Intl.RelativeTimeFormatUnit, number][] = [
  ["year", 31_536_000],
  ["month", 2_592_000],
  ["week", 604_800],
  ["day", 86_400],
  ["hour", 3_600],
  ["minute", 60],
];

/** `3 min. ago`, `in 2 days`, `now`. */
export function relative(at: Timestamp | Date | string, now = Date.now()): string {
  const seconds = Math.round((toDate(at).getTime() - now) / 1000);
  const format = new Intl.RelativeTimeFormat(locale(), { numeric: "auto", style: "short" });
  for (const [unit, size] of STEPS) if (Math.abs(seconds) >= size) return format.format(Math.trunc(seconds / size), unit);
  return format.format(0, "second");
}

/** A span in milliseconds in its largest sensible unit. */
export function duration(milliseconds: number): string {
  const unit = (value: number, name: string) => number(value, { style: "unit", unit: name, unitDisplay: "narrow", maximumFractionDigits: value < 10 ? 1 : 0 });
  if (milliseconds < 1000) return unit(milliseconds, "millisecond");
  if (milliseconds < 60_000) return unit(milliseconds / 1000, "second");
  if (milliseconds < 3_600_000) return unit(milliseconds / 60_000, "minute");
  if (milliseconds < 86_400_000) return unit(milliseconds / 3_600_000, "hour");
  return unit(milliseconds / 86_400_000, "day");
}

/** A size in bytes. */
export function bytes(size: number): string {
  const units = ["byte", "kilobyte", "megabyte", "gigabyte"] as const;
  let value = size;
  let step = 0;
  while (value >= 1000 && step < units.length - 1) {
    value /= 1000;
    step += 1;
  }
  return number(value, { style: "unit", unit: units[step] ?? "byte", unitDisplay: "short", maximumFractionDigits: value < 10 && step > 0 ? 1 : 0 });
}
