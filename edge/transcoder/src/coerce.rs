//! Pydantic's lax coercions from JSON values to numbers, booleans and moments.

use serde_json::json;

use crate::{
    json::Value,
    problem::Fault,
    text::{self, day_number},
};

const INT_PARSING: Fault = Fault::plain(
    "int_parsing",
    "Input should be a valid integer, unable to parse string as an integer",
);
const INT_TYPE: Fault = Fault::plain("int_type", "Input should be a valid integer");
const INT_FROM_FLOAT: Fault = Fault::plain(
    "int_from_float",
    "Input should be a valid integer, got a number with a fractional part",
);
const INT_SIZE: Fault = Fault::plain(
    "int_parsing_size",
    "Unable to parse input string as an integer, exceeded maximum size",
);
const FINITE: Fault = Fault::plain("finite_number", "Input should be a finite number");
const FLOAT_PARSING: Fault = Fault::plain(
    "float_parsing",
    "Input should be a valid number, unable to parse string as a number",
);
const FLOAT_TYPE: Fault = Fault::plain("float_type", "Input should be a valid number");
const BOOL_PARSING: Fault = Fault::plain(
    "bool_parsing",
    "Input should be a valid boolean, unable to interpret input",
);
const BOOL_TYPE: Fault = Fault::plain("bool_type", "Input should be a valid boolean");
const DATETIME_TYPE: Fault = Fault::plain("datetime_type", "Input should be a valid datetime");
const DURATION_TYPE: Fault = Fault::plain("time_delta_type", "Input should be a valid timedelta");

/// Largest magnitude up to which a float holds every integer; beyond it the digits are not the client's any more.
const WHOLE_FLOATS: f64 = 1e19;

/// An integer: numbers without fraction, numeric strings, booleans.
pub(crate) fn integer(value: &Value<'_>) -> Result<i128, Fault> {
    match value {
        Value::Bool(value) => Ok(i128::from(*value)),
        Value::Number(token) if token.contains(['.', 'e', 'E']) => {
            let number: f64 = token.parse().map_err(|_| INT_PARSING)?;
            if !number.is_finite() {
                Err(FINITE)
            } else if number.fract() != 0.0 {
                Err(INT_FROM_FLOAT)
            } else if number.abs() > WHOLE_FLOATS {
                Err(INT_SIZE)
            } else {
                #[expect(clippy::cast_possible_truncation, reason = "checked just above")]
                Ok(number as i128)
            }
        }
        Value::Number(token) => whole(token),
        Value::String(text) => {
            let text = text.trim();
            let digits = match text.split_once('.') {
                Some((whole, zeros)) if !zeros.is_empty() && zeros.bytes().all(|byte| byte == b'0') => whole,
                _ => text,
            };
            let digits = ungroup(digits).ok_or(INT_PARSING)?;
            let unsigned = digits.strip_prefix(['+', '-']).unwrap_or(&digits);
            if unsigned.is_empty() || !unsigned.bytes().all(|byte| byte.is_ascii_digit()) {
                return Err(INT_PARSING);
            }
            whole(&digits)
        }
        _ => Err(INT_TYPE),
    }
}

/// Digits that are too many for any integer type count as the largest number, so that the bound is what is reported.
fn whole(digits: &str) -> Result<i128, Fault> {
    if digits.len() > 4300 {
        return Err(INT_SIZE);
    }
    Ok(digits
        .parse()
        .unwrap_or(if digits.starts_with('-') { i128::MIN } else { i128::MAX }))
}

/// Removes single underscores between digits; `None` when one stands elsewhere.
fn ungroup(text: &str) -> Option<String> {
    let bytes = text.as_bytes();
    for (at, _) in text.match_indices('_') {
        let digit = |at: Option<usize>| at.and_then(|at| bytes.get(at)).is_some_and(u8::is_ascii_digit);
        if !digit(at.checked_sub(1)) || !digit(Some(at + 1)) {
            return None;
        }
    }
    Some(text.replace('_', ""))
}

/// A number: JSON numbers, numeric strings, booleans.
pub(crate) fn number(value: &Value<'_>) -> Result<f64, Fault> {
    match value {
        Value::Bool(value) => Ok(f64::from(u8::from(*value))),
        Value::Number(token) => token.parse().map_err(|_| FLOAT_PARSING),
        Value::String(text) => ungroup(text.trim())
            .and_then(|text| text.parse().ok())
            .ok_or(FLOAT_PARSING),
        _ => Err(FLOAT_TYPE),
    }
}

/// A boolean: `true`/`false`, 1/0, and the usual words in any case.
pub(crate) fn boolean(value: &Value<'_>) -> Result<bool, Fault> {
    match value {
        Value::Bool(value) => Ok(*value),
        Value::Number(token) => {
            let number: f64 = token.parse().map_err(|_| BOOL_PARSING)?;
            match number {
                1.0 => Ok(true),
                0.0 => Ok(false),
                _ if number.fract() == 0.0 => Err(BOOL_PARSING),
                _ => Err(BOOL_TYPE),
            }
        }
        Value::String(text) => match text.to_ascii_lowercase().as_str() {
            "1" | "true" | "t" | "yes" | "y" | "on" => Ok(true),
            "0" | "false" | "f" | "no" | "n" | "off" => Ok(false),
            _ => Err(BOOL_PARSING),
        },
        _ => Err(BOOL_TYPE),
    }
}

const TOO_LATE: &str = "dates after 9999 are not supported as unix timestamps";
const TOO_EARLY: &str = "dates before 1600 are not supported as unix timestamps";
const EXTRA: &str = "unexpected extra characters at the end of the input";
/// 1600-01-01; pydantic takes no earlier unix time.
const YEAR_1600: i64 = -11_676_096_000;
/// Unix times of a larger magnitude are milliseconds.
const WATERSHED: i128 = 20_000_000_000;

fn datetime_fault(error: &str) -> Fault {
    Fault::with(
        "datetime_parsing",
        format!("Input should be a valid datetime, {error}"),
        json!({ "error": error }),
    )
}

/// A moment as seconds and nanoseconds (whole microseconds): ISO date-times with or without zone, dates (midnight), unix
/// seconds or milliseconds as numbers or strings. Without a zone it is UTC.
pub(crate) fn datetime(value: &Value<'_>) -> Result<(i64, i32), Fault> {
    match value {
        Value::Number(token) => unix(token).map_err(datetime_fault),
        Value::String(text) => {
            if let Some(moment) = iso(text) {
                if !text::SECONDS.contains(&moment.0) || text.starts_with("0000") {
                    return Err(datetime_fault(if moment.0 < 0 {
                        "year 0 is out of range"
                    } else {
                        "year 10000 is out of range"
                    }));
                }
                return Ok(moment);
            }
            if numeric(text)
                && let Ok(moment) = unix(text)
            {
                return Ok(moment);
            }
            match date(text) {
                Ok(_) if text.starts_with("0000") => Err(datetime_fault("year 0 is out of range")),
                Ok(days) => Ok((days * 86_400, 0)),
                Err(error) => {
                    let msg = format!("Input should be a valid datetime or date, {error}");
                    Err(Fault::with(
                        "datetime_from_date_parsing",
                        msg,
                        json!({ "error": error }),
                    ))
                }
            }
        }
        _ => Err(DATETIME_TYPE),
    }
}

/// Whether a text is a plain decimal number.
fn numeric(text: &str) -> bool {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let (whole, fraction) = unsigned.split_once('.').unwrap_or((unsigned, "0"));
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    !whole.is_empty() && digits(whole) && digits(fraction)
}

/// A unix time in seconds, or in milliseconds when it is large.
fn unix(token: &str) -> Result<(i64, i32), &'static str> {
    let (seconds, micros) = if token.contains(['.', 'e', 'E']) {
        let number: f64 = token.parse().map_err(|_| "invalid number")?;
        let whole = number.floor();
        if whole.abs() > 1e18 {
            return Err(if whole > 0.0 { TOO_LATE } else { TOO_EARLY });
        }
        #[expect(clippy::cast_possible_truncation, reason = "the magnitude was checked just above")]
        let split = (whole as i128, ((number - whole) * 1e6).round() as i128);
        split
    } else {
        let number = token.parse().unwrap_or(if token.starts_with('-') {
            i128::MIN / 2
        } else {
            i128::MAX / 2
        });
        (number, 0)
    };
    let total = if seconds.abs() > WATERSHED {
        seconds.saturating_mul(1000).saturating_add(micros / 1000)
    } else {
        seconds * 1_000_000 + micros
    };
    let (seconds, micros) = (total.div_euclid(1_000_000), total.rem_euclid(1_000_000));
    if seconds > i128::from(*text::SECONDS.end()) {
        return Err(TOO_LATE);
    }
    if seconds < i128::from(YEAR_1600) {
        return Err(TOO_EARLY);
    }
    Ok((
        i64::try_from(seconds).map_err(|_| TOO_LATE)?,
        i32::try_from(micros * 1000).map_err(|_| TOO_LATE)?,
    ))
}

fn digits(bytes: &[u8]) -> Option<i64> {
    bytes.iter().try_fold(0, |value, byte| {
        byte.is_ascii_digit().then(|| value * 10 + i64::from(byte - b'0'))
    })
}

/// The day of a text that is a date and nothing more.
fn date(text: &str) -> Result<i64, &'static str> {
    let bytes = text.as_bytes();
    if numeric(text) && unix(text).is_err() {
        return Err(TOO_LATE);
    }
    let Some((date, rest)) = bytes.split_first_chunk::<10>() else {
        return Err("input is too short");
    };
    let days = calendar(date)?;
    if rest.is_empty() { Ok(days) } else { Err(EXTRA) }
}

fn calendar(date: &[u8; 10]) -> Result<i64, &'static str> {
    let separator = "invalid date separator, expected `-`";
    let year = digits(&date[..4]).ok_or("invalid character in year")?;
    if date[4] != b'-' {
        return Err(separator);
    }
    let month = digits(&date[5..7]).ok_or("invalid character in month")?;
    if date[7] != b'-' {
        return Err(separator);
    }
    let day = digits(&date[8..]).ok_or("invalid character in day")?;
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let last = match month {
        1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
        4 | 6 | 9 | 11 => 30,
        2 if leap => 29,
        2 => 28,
        _ => return Err("month value is outside expected range of 1-12"),
    };
    if !(1..=last).contains(&day) {
        return Err("day value is outside expected range");
    }
    Ok(day_number(year, month, day))
}

/// `YYYY-MM-DD[Tt _]HH:MM[:SS[.,]ffffff][Z|±HH:MM|±HHMM]`.
fn iso(text: &str) -> Option<(i64, i32)> {
    let (date, rest) = text.as_bytes().split_first_chunk::<10>()?;
    let days = calendar(date).ok()?;
    let ([b'T' | b't' | b' ' | b'_'], rest) = rest.split_first_chunk::<1>()? else {
        return None;
    };
    let (hour, rest) = clock(rest, 23)?;
    let (minute, mut rest) = clock(rest.strip_prefix(b":")?, 59)?;
    let mut second = 0;
    let mut nanos = 0;
    if let Some(after) = rest.strip_prefix(b":") {
        (second, rest) = clock(after, 59)?;
        if let Some(fraction) = rest.strip_prefix(b".").or_else(|| rest.strip_prefix(b",")) {
            let length = fraction.iter().take_while(|byte| byte.is_ascii_digit()).count();
            if length == 0 {
                return None;
            }
            // Microseconds: more digits are cut off, fewer are filled up.
            for place in 0..6 {
                let digit = fraction[..length].get(place).map_or(0, |byte| i32::from(byte - b'0'));
                nanos = nanos * 10 + digit;
            }
            nanos *= 1000;
            rest = &fraction[length..];
        }
    }
    let offset = zone(rest)?;
    Some((days * 86_400 + hour * 3600 + minute * 60 + second - offset, nanos))
}

fn clock(bytes: &[u8], most: i64) -> Option<(i64, &[u8])> {
    let (pair, rest) = bytes.split_first_chunk::<2>()?;
    digits(pair).filter(|value| *value <= most).map(|value| (value, rest))
}

/// Seconds east of UTC.
fn zone(bytes: &[u8]) -> Option<i64> {
    if matches!(bytes, [] | [b'Z' | b'z']) {
        return Some(0);
    }
    let (sign, rest) = if let Some(rest) = bytes.strip_prefix(b"+") {
        (1, rest)
    } else if let Some(rest) = bytes
        .strip_prefix(b"-")
        .or_else(|| bytes.strip_prefix("\u{2212}".as_bytes()))
    {
        (-1, rest)
    } else {
        return None;
    };
    let (hours, rest) = clock(rest, 23)?;
    let (minutes, rest) = clock(rest.strip_prefix(b":").unwrap_or(rest), 59)?;
    rest.is_empty().then_some(sign * (hours * 3600 + minutes * 60))
}

/// A duration: a number of seconds, or a text like `1.5s` or `1.5`.
pub(crate) fn duration(value: &Value<'_>) -> Result<(i64, i32), Fault> {
    let token: &str = match value {
        Value::Number(token) => token,
        Value::String(text) => text,
        _ => return Err(DURATION_TYPE),
    };
    let parsing = || {
        Fault::with(
            "time_delta_parsing",
            "Input should be a valid timedelta, seconds with an `s` at the end",
            json!({ "error": "seconds with an `s` at the end" }),
        )
    };
    let text = token.strip_suffix('s').unwrap_or(token);
    if !numeric(text) {
        return Err(parsing());
    }
    let (sign, unsigned) = match text.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, text.strip_prefix('+').unwrap_or(text)),
    };
    let (whole, fraction) = unsigned.split_once('.').unwrap_or((unsigned, ""));
    // The range of google.protobuf.Duration: about 10,000 years.
    let seconds: i64 = whole
        .parse()
        .ok()
        .filter(|seconds| *seconds <= 315_576_000_000)
        .ok_or_else(parsing)?;
    let mut nanos = 0;
    for place in 0..9 {
        nanos = nanos * 10 + fraction.as_bytes().get(place).map_or(0, |byte| i32::from(byte - b'0'));
    }
    Ok((sign * seconds, nanos * i32::try_from(sign).unwrap_or(1)))
}
