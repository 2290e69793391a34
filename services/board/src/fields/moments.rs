//! Days and moments in ISO 8601, in the forms that are in use: with and without separators, of weeks, with and without a zone.

use time::{Date, Month, Time, Weekday};

/// Whether a text is a day: `2031-01-31`, `20310131`, `2031-W05-5`, `2031W055` or `2031-W05`.
pub fn is_date(text: &str) -> bool {
    date(text).is_some()
}

/// Whether a text is a moment: a day, then, after any one character, a time with or without seconds, fraction and zone. A day alone is its
/// midnight.
pub fn is_date_time(text: &str) -> bool {
    if is_date(text) {
        return true;
    }
    // The day may be of any form: the longest that is one counts.
    [10, 8, 7].into_iter().any(|length| {
        let Some((day, rest)) = text.split_at_checked(length) else {
            return false;
        };
        let mut rest = rest.chars();
        is_date(day) && rest.next().is_some() && is_time(rest.as_str())
    })
}

fn date(text: &str) -> Option<Date> {
    if !text.is_ascii() {
        return None;
    }
    let (year, rest) = text.split_at_checked(4)?;
    let year = i32::try_from(number(year)?).ok()?;
    let (rest, separated) = match rest.strip_prefix('-') {
        Some(rest) => (rest, true),
        None => (rest, false),
    };
    if let Some(week) = rest.strip_prefix('W') {
        let (week, day) = week.split_at_checked(2)?;
        let day = match (day.is_empty(), separated, day.strip_prefix('-')) {
            (true, ..) => 1,
            (_, true, Some(day)) => number(day)?,
            (_, false, None) => number(day)?,
            _ => return None,
        };
        let weekday = Weekday::Monday.nth_next(u8::try_from(day.checked_sub(1)?).ok().filter(|day| *day < 7)?);
        return Date::from_iso_week_date(year, u8::try_from(number(week)?).ok()?, weekday).ok();
    }
    let (month, day) = rest.split_at_checked(2)?;
    let day = match (separated, day.strip_prefix('-')) {
        (true, Some(day)) => day,
        (false, None) => day,
        _ => return None,
    };
    if day.len() != 2 {
        return None;
    }
    let month = Month::try_from(u8::try_from(number(month)?).ok()?).ok()?;
    Date::from_calendar_date(year, month, u8::try_from(number(day)?).ok()?).ok()
}

fn is_time(text: &str) -> bool {
    let zone = text.find(['Z', 'z', '+', '-']).unwrap_or(text.len());
    let (clock, zone) = text.split_at(zone);
    let zone = match zone {
        "" | "Z" | "z" => true,
        zone => is_clock(&zone[1..]),
    };
    zone && is_clock(clock)
}

/// `10`, `10:00`, `1000`, `10:00:00`, `100000`, each of the last two with a fraction.
fn is_clock(text: &str) -> bool {
    let (clock, fraction) = match text.split_once(['.', ',']) {
        Some((clock, fraction)) => (clock, Some(fraction)),
        None => (text, None),
    };
    let parts: Vec<&str> = if clock.contains(':') {
        clock.split(':').collect()
    } else if clock.is_ascii() {
        (0..clock.len())
            .step_by(2)
            .filter_map(|at| clock.get(at..at + 2))
            .collect()
    } else {
        return false;
    };
    let whole = if clock.contains(':') {
        parts.len() * 3 - 1
    } else {
        parts.len() * 2
    };
    let fraction_fits = fraction.is_none_or(|digits| {
        parts.len() == 3 && !digits.is_empty() && digits.bytes().all(|digit| digit.is_ascii_digit())
    });
    let numbers: Option<Vec<u8>> = parts
        .iter()
        .map(|part| (part.len() == 2).then(|| number(part).and_then(|number| u8::try_from(number).ok()))?)
        .collect();
    let valid = numbers.is_some_and(|numbers| match numbers[..] {
        [hour] => Time::from_hms(hour, 0, 0).is_ok(),
        [hour, minute] => Time::from_hms(hour, minute, 0).is_ok(),
        [hour, minute, second] => Time::from_hms(hour, minute, second).is_ok(),
        _ => false,
    });
    valid && whole == clock.len() && fraction_fits
}

fn number(digits: &str) -> Option<u32> {
    (!digits.is_empty() && digits.bytes().all(|digit| digit.is_ascii_digit()))
        .then(|| digits.parse().ok())
        .flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days() {
        for good in [
            "2031-01-31",
            "20310131",
            "2028-02-29",
            "2031-W05-5",
            "2031W055",
            "2031-W05",
            "0001-01-01",
        ] {
            assert!(is_date(good), "{good}");
        }
        for bad in [
            "",
            "2031",
            "2031-1-1",
            "2031-13-01",
            "2031-02-29",
            "2031-0131",
            "203101-31",
            "2031-01-31 ",
            "2031-W54-1",
            "2031-W05-8",
            "2031-W05-0",
            "2031-01-31T00:00",
            "+031-01-31",
            "２031-01-31",
            "1.1.2031",
        ] {
            assert!(!is_date(bad), "{bad}");
        }
    }

    #[test]
    fn moments() {
        for good in [
            "2031-01-31",
            "2031-01-31T10:00:00",
            "2031-01-31 10:00",
            "2031-01-31T10",
            "2031-01-31T10:00:00.123456Z",
            "2031-01-31T10:00:00+02:00",
            "2031-01-31T10:00:00-0530",
            "20310131T100000",
            "20310131T1000Z",
            "2031-W05-5T10:00",
            "2031-01-31T23:59:59,5z",
            "2031-01-31T10:00+02",
        ] {
            assert!(is_date_time(good), "{good}");
        }
        for bad in [
            "",
            "soon",
            "2031-01-31T",
            "2031-01-31T24:00",
            "2031-01-31T10:60",
            "2031-01-31T10:00:",
            "2031-01-31T10:0",
            "2031-01-31T10:00.5",
            "2031-01-31T10:00:00.",
            "2031-01-31T10:00:00+",
            "2031-01-31T10:00:00+2",
            "2031-01-31T10:00:00Zx",
            "T10:00",
            "2031-01-31Tééé",
        ] {
            assert!(!is_date_time(bad), "{bad}");
        }
    }
}
