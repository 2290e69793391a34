import { create } from "@bufbuild/protobuf";
import { timestampFromDate } from "@bufbuild/protobuf/wkt";
import { afterEach, expect, test } from "vitest";
import { DashboardRangeSeriesSchema, MetricsBucket } from "@/gen/missioncontrol/activity/v1/metrics_pb";
import { setTimeZone } from "@/lib/format";
import { aligned, change, hours, mean, pointNames, total, values } from "./figures";

afterEach(() => setTimeZone(undefined));

const series = (bucket: MetricsBucket, from: string, ...points: number[]) =>
  create(DashboardRangeSeriesSchema, { bucket, points: points.map((value, index) => ({ period: timestampFromDate(new Date(Date.parse(from) + index * (bucket === MetricsBucket.HOUR ? 3_600_000 : 86_400_000))), value })) });

test("a day keeps its name in every time zone, an hour follows the profile's", () => {
  setTimeZone("America/New_York");
  expect(pointNames(series(MetricsBucket.DAY, "2026-11-25T00:00:00Z", 1))[0]?.short).toContain("25");
  expect(pointNames(series(MetricsBucket.HOUR, "2026-11-25T15:00:00Z", 1))[0]?.short).toContain("10");
});

test("a bucket without any is a gap where the mean says so", () => {
  const some = series(MetricsBucket.DAY, "2026-11-20T00:00:00Z", 2, 0, 4);
  expect(values(some)).toEqual([2, 0, 4]);
  expect(values(some, true)).toEqual([2, null, 4]);
  expect(total(some)).toBe(6);
  expect(mean(some)).toBe(3);
  expect(mean(series(MetricsBucket.DAY, "2026-11-20T00:00:00Z", 0))).toBeUndefined();
});

test("the range before lies under this one, whatever their lengths", () => {
  expect(aligned([1, 2, 3], 2)).toEqual([2, 3]);
  expect(aligned([1], 3)).toEqual([null, null, 1]);
});

test.each([
  [6, 4, 0.5],
  [3, 4, -0.25],
  [3, 0, undefined],
  [undefined, 4, undefined],
])("from %j to what was %j is a change of %j", (now, before, expected) => {
  expect(change(now, before)).toBe(expected);
});

test("hours are said in a unit that fits", () => {
  expect(hours(0.5)).toMatch(/30\s?min/);
  expect(hours(3.25)).toMatch(/3[.,]3\s?h/);
  expect(hours(72)).toMatch(/3\s?d/);
});
