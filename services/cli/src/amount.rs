//! Amounts as people read them.

use std::time::Duration;

/// `13,028`.
pub(crate) fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() * 4 / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `1 post`, `13,028 posts`: `noun` is singular and takes an `s`.
pub(crate) fn of(number: u64, noun: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{} {noun}{plural}", count(number))
}

/// Bytes in decimal units, three digits: `0 B`, `12.3 MB`.
pub(crate) fn bytes(number: u64) -> String {
    const UNITS: [&str; 5] = ["kB", "MB", "GB", "TB", "PB"];
    if number < 1000 {
        return format!("{number} B");
    }
    let mut value = number as f64 / 1000.0;
    let mut unit = 0;
    // 999.5 would be shown as 1000.
    while value >= 999.5 && unit + 1 < UNITS.len() {
        value /= 1000.0;
        unit += 1;
    }
    let digits = if value < 9.995 {
        2
    } else if value < 99.95 {
        1
    } else {
        0
    };
    format!("{value:.digits$} {}", UNITS[unit])
}

/// A length of time in at most two units: `3 s`, `4 min 10 s`, `2 d 5 h`.
pub(crate) fn duration(length: Duration) -> String {
    let seconds = length.as_secs();
    let two = |large: u64, name: &str, small: u64, small_name: &str| match small {
        0 => format!("{large} {name}"),
        _ => format!("{large} {name} {small} {small_name}"),
    };
    match seconds {
        0 if length.as_millis() > 0 => format!("{} ms", length.as_millis()),
        0..60 => format!("{seconds} s"),
        60..3600 => two(seconds / 60, "min", seconds % 60, "s"),
        3600..86_400 => two(seconds / 3600, "h", seconds % 3600 / 60, "min"),
        _ => two(seconds / 86_400, "d", seconds % 86_400 / 3600, "h"),
    }
}

/// A rate of things in a second: `0.4/s`, `72/s`.
pub(crate) fn rate(per_second: f64) -> String {
    if per_second < 9.95 {
        format!("{per_second:.1}/s")
    } else {
        format!("{}/s", count(per_second.round() as u64))
    }
}

/// How long `left` things take at this rate; `None` while nothing moves, or beyond a hundred days.
pub(crate) fn time_left(left: u64, per_second: f64) -> Option<Duration> {
    if per_second < 0.01 || !per_second.is_finite() {
        return None;
    }
    let seconds = left as f64 / per_second;
    (seconds < 8_640_000.0).then(|| Duration::from_secs(seconds.ceil() as u64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_grouped_by_three() {
        for (number, text) in [
            (0, "0"),
            (999, "999"),
            (1000, "1,000"),
            (1_234_567, "1,234,567"),
        ] {
            assert_eq!(count(number), text);
        }
        assert_eq!(
            (of(1, "post"), of(2, "post")),
            ("1 post".into(), "2 posts".into())
        );
    }

    #[test]
    fn bytes_keep_three_digits_across_units() {
        for (number, text) in [
            (0, "0 B"),
            (999, "999 B"),
            (1000, "1.00 kB"),
            (12_345, "12.3 kB"),
            (999_600, "1.00 MB"),
            (123_456_789, "123 MB"),
            (u64::MAX, "18447 PB"),
        ] {
            assert_eq!(bytes(number), text);
        }
    }

    #[test]
    fn times_have_at_most_two_units() {
        for (seconds, text) in [
            (0, "0 s"),
            (59, "59 s"),
            (60, "1 min"),
            (250, "4 min 10 s"),
            (7_500, "2 h 5 min"),
            (190_800, "2 d 5 h"),
        ] {
            assert_eq!(duration(Duration::from_secs(seconds)), text);
        }
        assert_eq!(duration(Duration::from_millis(12)), "12 ms");
    }

    #[test]
    fn nothing_is_promised_while_nothing_moves() {
        assert_eq!(time_left(100, 0.0), None);
        assert_eq!(time_left(100, f64::NAN.max(0.0)), None);
        assert_eq!(time_left(100, 8.0), Some(Duration::from_secs(13)));
        assert_eq!(
            (rate(0.44), rate(1234.4)),
            ("0.4/s".into(), "1,234/s".into())
        );
    }
}
