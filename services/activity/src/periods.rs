//! Ranges and buckets of the dashboard, in UTC. Pure.

use proto::activity::v1::{MetricsBucket, MetricsRange};
use time::{Date, Duration, Month, OffsetDateTime, Time};

/// The hour and the day an event is counted in, by the words that the table has for them.
pub fn steps(at: OffsetDateTime) -> [(&'static str, OffsetDateTime); 2] {
    [
        ("hour", floor(at, MetricsBucket::Hour)),
        ("day", floor(at, MetricsBucket::Day)),
    ]
}

/// A range that ends now, and the one of equal length before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    pub range: MetricsRange,
    pub bucket: MetricsBucket,
    /// Where the range before begins.
    pub before: OffsetDateTime,
    /// Where the range begins.
    pub start: OffsetDateTime,
    /// Where it ends.
    pub end: OffsetDateTime,
}

/// Where a bucket begins, or the part of one that belongs to one of the two ranges.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Edge {
    /// What is not before it, and before the next edge, belongs to it.
    pub from: OffsetDateTime,
    /// Whether it is part of the range itself, or of the one before.
    pub primary: bool,
    /// Where its bucket begins.
    pub period: OffsetDateTime,
}

impl Edge {
    /// The bucket it belongs to.
    pub fn bucket(&self) -> (bool, OffsetDateTime) {
        (self.primary, self.period)
    }
}

impl Window {
    /// The window of a range; a day when none is given.
    pub fn ending(range: MetricsRange, end: OffsetDateTime) -> Self {
        use MetricsBucket::{Day, Hour, Month, Week};
        let (range, days, bucket) = match range {
            MetricsRange::Unspecified | MetricsRange::MetricsRange24h => (MetricsRange::MetricsRange24h, 1, Hour),
            MetricsRange::MetricsRange3d => (range, 3, Day),
            MetricsRange::MetricsRange7d => (range, 7, Day),
            MetricsRange::MetricsRange14d => (range, 14, Day),
            MetricsRange::MetricsRange1m => (range, 30, Day),
            MetricsRange::MetricsRange3m => (range, 90, Week),
            MetricsRange::MetricsRange6m => (range, 180, Week),
            MetricsRange::MetricsRange1y => (range, 365, Month),
        };
        let length = Duration::days(days);
        Self {
            range,
            bucket,
            before: end - length * 2,
            start: end - length,
            end,
        }
    }

    /// Where the buckets of the range begin.
    pub fn primary(&self) -> Vec<OffsetDateTime> {
        buckets(self.start, self.end, self.bucket)
    }

    /// Where the buckets of the range before begin.
    pub fn comparison(&self) -> Vec<OffsetDateTime> {
        buckets(self.before, self.start, self.bucket)
    }

    /// The edges of all buckets of both ranges, in order; the first is where the range before begins.
    pub fn edges(&self) -> Vec<Edge> {
        let of = |primary: bool, begin: OffsetDateTime, periods: Vec<OffsetDateTime>| {
            periods.into_iter().map(move |period| Edge {
                from: period.max(begin),
                primary,
                period,
            })
        };
        of(false, self.before, self.comparison())
            .chain(of(true, self.start, self.primary()))
            .collect()
    }

    /// PostgreSQL's word for the bucket.
    pub fn word(&self) -> &'static str {
        match self.bucket {
            MetricsBucket::Hour | MetricsBucket::Unspecified => "hour",
            MetricsBucket::Day => "day",
            MetricsBucket::Week => "week",
            MetricsBucket::Month => "month",
        }
    }

    /// The step that failures are counted by.
    pub fn step(&self) -> &'static str {
        if self.bucket == MetricsBucket::Hour {
            "hour"
        } else {
            "day"
        }
    }
}

/// Where the bucket of a moment begins: the hour, midnight, Monday's midnight, the first of the month.
pub fn floor(at: OffsetDateTime, bucket: MetricsBucket) -> OffsetDateTime {
    let at = at.to_offset(time::UtcOffset::UTC);
    let midnight = |date: Date| date.midnight().assume_utc();
    match bucket {
        MetricsBucket::Hour | MetricsBucket::Unspecified => {
            at.replace_time(Time::from_hms(at.hour(), 0, 0).unwrap_or(Time::MIDNIGHT))
        }
        MetricsBucket::Day => midnight(at.date()),
        MetricsBucket::Week => midnight(at.date()) - Duration::days(i64::from(at.weekday().number_days_from_monday())),
        MetricsBucket::Month => midnight(at.date().replace_day(1).unwrap_or(at.date())),
    }
}

fn next(at: OffsetDateTime, bucket: MetricsBucket) -> OffsetDateTime {
    match bucket {
        MetricsBucket::Hour | MetricsBucket::Unspecified => at + Duration::hours(1),
        MetricsBucket::Day => at + Duration::days(1),
        MetricsBucket::Week => at + Duration::weeks(1),
        MetricsBucket::Month => {
            let year = if at.month() == Month::December {
                at.year() + 1
            } else {
                at.year()
            };
            Date::from_calendar_date(year, at.month().next(), 1)
                .map_or(at + Duration::days(31), |date| date.midnight().assume_utc())
        }
    }
}

fn buckets(start: OffsetDateTime, end: OffsetDateTime, bucket: MetricsBucket) -> Vec<OffsetDateTime> {
    let mut found = Vec::new();
    let mut at = floor(start, bucket);
    while at <= end {
        found.push(at);
        at = next(at, bucket);
    }
    found
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;

    const NOW: OffsetDateTime = datetime!(2026-03-04 15:16:17 UTC);

    #[test]
    fn every_range_has_its_points() {
        for (range, primary, comparison) in [
            (MetricsRange::MetricsRange24h, 25, 25),
            (MetricsRange::MetricsRange3d, 4, 4),
            (MetricsRange::MetricsRange7d, 8, 8),
            (MetricsRange::MetricsRange14d, 15, 15),
            (MetricsRange::MetricsRange1m, 31, 31),
            (MetricsRange::MetricsRange3m, 14, 14),
            (MetricsRange::MetricsRange6m, 27, 27),
            (MetricsRange::MetricsRange1y, 13, 13),
        ] {
            let window = Window::ending(range, NOW);
            assert_eq!(
                (window.primary().len(), window.comparison().len()),
                (primary, comparison),
                "{range:?}"
            );
            assert_eq!(window.start - window.before, window.end - window.start, "{range:?}");
            assert!(window.primary().is_sorted() && window.primary()[0] <= window.start);
        }
        let nothing = Window::ending(MetricsRange::Unspecified, NOW);
        assert_eq!(
            (nothing.range, nothing.word(), nothing.step()),
            (MetricsRange::MetricsRange24h, "hour", "hour")
        );
        assert_eq!(Window::ending(MetricsRange::MetricsRange3m, NOW).step(), "day");
    }

    #[test]
    fn edges_part_the_window() {
        for range in [
            MetricsRange::MetricsRange24h,
            MetricsRange::MetricsRange3d,
            MetricsRange::MetricsRange3m,
            MetricsRange::MetricsRange1y,
        ] {
            for now in [NOW, datetime!(2026-03-02 00:00 UTC), datetime!(2026-01-01 00:00 UTC)] {
                let window = Window::ending(range, now);
                let edges = window.edges();
                assert_eq!(edges[0].from, window.before, "{range:?}");
                assert!(edges.is_sorted_by_key(|edge| edge.from), "{range:?}");
                // As PostgreSQL looks: the last edge that is not after the moment.
                let bucket = |at: OffsetDateTime| edges.iter().rfind(|edge| edge.from <= at).map(Edge::bucket);
                let mut at = window.before;
                while at <= window.end {
                    assert_eq!(bucket(at), Some((at >= window.start, floor(at, window.bucket))), "{at}");
                    at += Duration::minutes(437);
                }
                for at in [window.start, window.start - Duration::microseconds(1), window.end] {
                    assert_eq!(bucket(at), Some((at >= window.start, floor(at, window.bucket))), "{at}");
                }
            }
        }
    }

    #[test]
    fn buckets_begin_where_people_expect() {
        for (bucket, expected) in [
            (MetricsBucket::Hour, datetime!(2026-03-04 15:00 UTC)),
            (MetricsBucket::Day, datetime!(2026-03-04 00:00 UTC)),
            (MetricsBucket::Week, datetime!(2026-03-02 00:00 UTC)),
            (MetricsBucket::Month, datetime!(2026-03-01 00:00 UTC)),
        ] {
            assert_eq!(floor(NOW, bucket), expected, "{bucket:?}");
        }
        assert_eq!(
            floor(datetime!(2026-03-01 23:30 -2), MetricsBucket::Day),
            datetime!(2026-03-02 00:00 UTC)
        );
        let year = buckets(
            datetime!(2025-11-30 00:00 UTC),
            datetime!(2026-02-01 00:00 UTC),
            MetricsBucket::Month,
        );
        assert_eq!(
            year,
            [
                datetime!(2025-11-01 00:00 UTC),
                datetime!(2025-12-01 00:00 UTC),
                datetime!(2026-01-01 00:00 UTC),
                datetime!(2026-02-01 00:00 UTC)
            ]
        );
    }
}
