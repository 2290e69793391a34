//! How values look as text: JSON strings, numbers as Python prints them, timestamps and durations.
#![expect(
    clippy::cast_sign_loss,
    reason = "digits and civil dates are computed within proven ranges"
)]

const ONES: u64 = 0x0101_0101_0101_0101;
const HIGH: u64 = 0x8080_8080_8080_8080;

/// Whether none of eight bytes needs an escape. False positives do not occur below a byte that needs one.
#[inline]
fn clean(chunk: u64) -> bool {
    let zero = |word: u64| word.wrapping_sub(ONES) & !word & HIGH;
    let control = chunk.wrapping_sub(ONES * 0x20) & !chunk & HIGH;
    (control | zero(chunk ^ (ONES * 0x22)) | zero(chunk ^ (ONES * 0x5c))) == 0
}

/// Appends a JSON string with the fewest escapes.
pub(crate) fn string(value: &str, out: &mut Vec<u8>) {
    let bytes = value.as_bytes();
    out.reserve(bytes.len() + 2);
    out.push(b'"');
    let mut rest = bytes;
    let mut plain = 0;
    while let Some(chunk) = rest.get(plain..).and_then(|tail| tail.first_chunk::<8>()) {
        if clean(u64::from_le_bytes(*chunk)) {
            plain += 8;
            continue;
        }
        (rest, plain) = escape(rest, plain, 8, out);
    }
    let tail = rest.len() - plain;
    (rest, plain) = escape(rest, plain, tail, out);
    out.extend_from_slice(rest.get(..plain).unwrap_or_default());
    out.push(b'"');
}

/// Looks at `count` bytes after the `plain` ones already seen; answers what is left and how much of it is plain.
fn escape<'a>(mut rest: &'a [u8], mut plain: usize, count: usize, out: &mut Vec<u8>) -> (&'a [u8], usize) {
    for _ in 0..count {
        let Some(&byte) = rest.get(plain) else { break };
        let short = match byte {
            b'"' => b'"',
            b'\\' => b'\\',
            b'\n' => b'n',
            b'\r' => b'r',
            b'\t' => b't',
            0x08 => b'b',
            0x0c => b'f',
            0..0x20 => 0,
            _ => {
                plain += 1;
                continue;
            }
        };
        out.extend_from_slice(rest.get(..plain).unwrap_or_default());
        if short == 0 {
            out.extend_from_slice(b"\\u00");
            out.push(b'0' + (byte >> 4));
            out.push(b"0123456789abcdef"[usize::from(byte & 0xf)]);
        } else {
            out.extend_from_slice(&[b'\\', short]);
        }
        rest = rest.get(plain + 1..).unwrap_or_default();
        plain = 0;
    }
    (rest, plain)
}

/// Appends a number without sign.
pub(crate) fn unsigned(mut value: u64, out: &mut Vec<u8>) {
    let mut digits = [0_u8; 20];
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + (value % 10) as u8;
        value /= 10;
        if value == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[at..]);
}

/// Appends a number.
pub(crate) fn signed(value: i64, out: &mut Vec<u8>) {
    if value < 0 {
        out.push(b'-');
    }
    unsigned(value.unsigned_abs(), out);
}

/// Appends a number as Python's `repr` prints it; values JSON has no form for are `null`.
pub(crate) fn double(value: f64, out: &mut Vec<u8>) {
    if !value.is_finite() {
        return out.extend_from_slice(b"null");
    }
    // Whole numbers of usual size need no search for the shortest digits.
    if value.fract() == 0.0 && value.abs() < 1e15 && (value != 0.0 || value.is_sign_positive()) {
        #[expect(clippy::cast_possible_truncation, reason = "a whole number below 1e15")]
        signed(value as i64, out);
        return out.extend_from_slice(b".0");
    }
    repr(&format!("{value:e}"), out);
}

/// The same for single precision, with the digits that single precision needs.
pub(crate) fn float(value: f32, out: &mut Vec<u8>) {
    if !value.is_finite() {
        return out.extend_from_slice(b"null");
    }
    repr(&format!("{value:e}"), out);
}

/// Lays out the shortest digits (`d.ddde±x`) as Python does: plain from 1e-4 to below 1e16, else with an exponent.
fn repr(scientific: &str, out: &mut Vec<u8>) {
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let (sign, mantissa) = mantissa.strip_prefix('-').map_or(("", mantissa), |rest| ("-", rest));
    let digits: Vec<u8> = mantissa.bytes().filter(u8::is_ascii_digit).collect();
    out.extend_from_slice(sign.as_bytes());
    if (-4..16).contains(&exponent) {
        if exponent < 0 {
            out.extend_from_slice(b"0.");
            out.extend(std::iter::repeat_n(b'0', (-exponent - 1) as usize));
            out.extend_from_slice(&digits);
            return;
        }
        let whole = exponent as usize + 1;
        if digits.len() <= whole {
            out.extend_from_slice(&digits);
            out.extend(std::iter::repeat_n(b'0', whole - digits.len()));
            out.extend_from_slice(b".0");
        } else {
            out.extend_from_slice(&digits[..whole]);
            out.push(b'.');
            out.extend_from_slice(&digits[whole..]);
        }
        return;
    }
    out.extend_from_slice(&digits[..1]);
    if digits.len() > 1 {
        out.push(b'.');
        out.extend_from_slice(&digits[1..]);
    }
    out.extend_from_slice(if exponent < 0 { b"e-" } else { b"e+" });
    if exponent.abs() < 10 {
        out.push(b'0');
    }
    unsigned(u64::from(exponent.unsigned_abs()), out);
}

/// First and last second of the years 1 to 9999.
pub(crate) const SECONDS: std::ops::RangeInclusive<i64> = -62_135_596_800..=253_402_300_799;

/// Appends `"2026-11-22T07:08:48.667082Z"`: microseconds, trailing zeros trimmed, no fraction when it is 0.
/// Answers false, and writes nothing, when the moment is outside the years 1 to 9999.
pub(crate) fn timestamp(seconds: i64, nanos: i32, out: &mut Vec<u8>) -> bool {
    if !SECONDS.contains(&seconds) || !(0..1_000_000_000).contains(&nanos) {
        return false;
    }
    let (days, time) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    let (year, month, day) = civil(days);
    let mut text = *b"\"0000-00-00T00:00:00";
    put2(&mut text, 1, year as u64 / 100);
    put2(&mut text, 3, year as u64 % 100);
    put2(&mut text, 6, month as u64);
    put2(&mut text, 9, day as u64);
    put2(&mut text, 12, time as u64 / 3600);
    put2(&mut text, 15, time as u64 / 60 % 60);
    put2(&mut text, 18, time as u64 % 60);
    out.extend_from_slice(&text);
    fraction(nanos as u64 / 1000, out);
    out.extend_from_slice(b"Z\"");
    true
}

/// Appends `.ffffff` without trailing zeros, or nothing.
fn fraction(micros: u64, out: &mut Vec<u8>) {
    if micros == 0 {
        return;
    }
    let mut digits = *b".000000";
    put2(&mut digits, 1, micros / 10_000);
    put2(&mut digits, 3, micros / 100 % 100);
    put2(&mut digits, 5, micros % 100);
    let mut text = &digits[..];
    while let [rest @ .., b'0'] = text {
        text = rest;
    }
    out.extend_from_slice(text);
}

fn put2(text: &mut [u8], at: usize, value: u64) {
    if let Some([tens, ones]) = text.get_mut(at..at + 2) {
        *tens = b'0' + (value / 10 % 10) as u8;
        *ones = b'0' + (value % 10) as u8;
    }
}

/// Year, month and day of a day counted from 1970-01-01 (Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms").
fn civil(days: i64) -> (i64, i64, i64) {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 {
        shifted_month + 3
    } else {
        shifted_month - 9
    };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

/// The day counted from 1970-01-01; the inverse of `civil`.
pub(crate) fn day_number(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let shifted_month = if month > 2 { month - 3 } else { month + 9 };
    let day_of_year = (153 * shifted_month + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

/// Appends `"1.5s"`, as protobuf's own JSON form writes durations.
pub(crate) fn duration(seconds: i64, nanos: i32, out: &mut Vec<u8>) {
    out.push(b'"');
    if seconds < 0 || nanos < 0 {
        out.push(b'-');
    }
    unsigned(seconds.unsigned_abs(), out);
    let nanos = nanos.unsigned_abs();
    if nanos > 0 {
        let digits = format!("{nanos:09}");
        out.push(b'.');
        out.extend_from_slice(digits.trim_end_matches('0').as_bytes());
    }
    out.extend_from_slice(b"s\"");
}
