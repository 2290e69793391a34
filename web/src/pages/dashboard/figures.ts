// What the dashboard makes of the figures: ranges, names of points, changes against the range before.
import { queryOptions } from "@tanstack/react-query";
import { type DashboardRangeSeries, MetricsBucket, MetricsRange, MetricsService } from "@/gen/missioncontrol/activity/v1/metrics_pb";
import { api } from "@/lib/api";
import { moment, number, percent, toDate } from "@/lib/format";
import { locale } from "@/texts/catalogue";
import type { Timestamp } from "@bufbuild/protobuf/wkt";

/** Ranges that are offered, by their word in the address. */
export const RANGES = {
  "24h": { range: MetricsRange.METRICS_RANGE_24H, text: "day" },
  "7d": { range: MetricsRange.METRICS_RANGE_7D, text: "week" },
  "14d": { range: MetricsRange.METRICS_RANGE_14D, text: "fortnight" },
  "1m": { range: MetricsRange.METRICS_RANGE_1M, text: "month" },
  "3m": { range: MetricsRange.METRICS_RANGE_3M, text: "quarter" },
  "1y": { range: MetricsRange.METRICS_RANGE_1Y, text: "year" },
} as const;
export type RangeKey = keyof typeof RANGES;

/** The figures of a range for everything, a board, or a group. */
export const metricsQuery = (range: RangeKey, boardId: string, groupId: string) =>
  queryOptions({
    queryKey: ["metrics", range, boardId, groupId],
    queryFn: ({ signal }) => api(MetricsService).getDashboardMetrics({ rangeKey: RANGES[range].range, boardId: boardId || undefined, groupId: groupId || undefined }, { signal }),
  });

/** Names of the points of a series, short and long. */
export function pointNames(series: Pick<DashboardRangeSeries, "bucket"> & { points: readonly { period?: Timestamp }[] }): { short: string; long: string }[] {
  return series.points.map(({ period }) => {
    if (!period) return { short: "", long: "" };
    const at = toDate(period);
    // Days, weeks and months are those of UTC: in another zone their beginning would carry the name of the day before.
    const utc = (options: Intl.DateTimeFormatOptions) => new Intl.DateTimeFormat(locale(), { ...options, timeZone: "UTC" }).format(at);
    switch (series.bucket) {
      case MetricsBucket.HOUR:
        return { short: moment(at, { hour: "2-digit", minute: "2-digit" }), long: moment(at, { weekday: "short", hour: "2-digit", minute: "2-digit", timeZoneName: "short" }) };
      case MetricsBucket.MONTH:
        return { short: utc({ month: "short" }), long: utc({ month: "long", year: "numeric" }) };
      default:
        return { short: utc({ day: "numeric", month: "short" }), long: utc({ weekday: "long", day: "numeric", month: "long" }) };
    }
  });
}

/** The values of a series. With `gaps`, 0 stands for a bucket without any. */
export function values(series: Pick<DashboardRangeSeries, "points"> | undefined, gaps = false): (number | null)[] {
  return (series?.points ?? []).map(({ value }) => (gaps && value === 0 ? null : value));
}

/** The other range, of as many points as this one, so that the same places lie above each other. */
export function aligned(other: readonly (number | null)[], count: number): (number | null)[] {
  const cut = other.slice(-count);
  return [...Array.from({ length: count - cut.length }, () => null), ...cut];
}

/** The sum of a series. */
export function total(series: Pick<DashboardRangeSeries, "points"> | undefined): number {
  return (series?.points ?? []).reduce((sum, { value }) => sum + value, 0);
}

/** The mean of the points that say something; undefined when none does. */
export function mean(series: Pick<DashboardRangeSeries, "points"> | undefined): number | undefined {
  const said = (series?.points ?? []).filter(({ value }) => value > 0);
  return said.length === 0 ? undefined : said.reduce((sum, { value }) => sum + value, 0) / said.length;
}

/** How a figure changed: `+50 %` of what it was; undefined when there is nothing to compare with. */
export function change(now: number | undefined, before: number | undefined): number | undefined {
  if (now === undefined || before === undefined || before === 0) return undefined;
  return (now - before) / before;
}

/** `+50 %` */
export function signedPercent(share: number): string {
  return Math.abs(share) < 0.005 ? percent(0) : number(share, { style: "percent", maximumFractionDigits: 0, signDisplay: "exceptZero" });
}

/** Hours in words that fit: `45 min`, `3.5 h`, `2.1 d`. */
export function hours(value: number): string {
  const unit = (amount: number, name: string) => number(amount, { style: "unit", unit: name, unitDisplay: "short", maximumFractionDigits: amount < 10 ? 1 : 0 });
  if (value < 1) return unit(Math.round(value * 60), "minute");
  if (value < 48) return unit(value, "hour");
  return unit(value / 24, "day");
}
