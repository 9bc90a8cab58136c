//! Numeric metatags: `id: width: height: size: mpixels: tagcount:`, each with
//! a value, a comparison, a range or a comma list of these.

use std::fmt;

use super::error::{Error, Problem};

/// What a numeric metatag measures.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Field {
    /// The post's id.
    Id,
    /// Pixels across.
    Width,
    /// Pixels down.
    Height,
    /// Length of the original file, bytes.
    Size,
    /// Width times height, pixels (typed in millions).
    Pixels,
    /// How many effective tags the post has.
    TagCount,
}

impl Field {
    /// The metatag's canonical name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Id => "id",
            Self::Width => "width",
            Self::Height => "height",
            Self::Size => "size",
            Self::Pixels => "mpixels",
            Self::TagCount => "tagcount",
        }
    }

    pub(super) fn from_name(name: &str) -> Option<Self> {
        Some(match name {
            "id" => Self::Id,
            "width" => Self::Width,
            "height" => Self::Height,
            "size" | "filesize" => Self::Size,
            "mpixels" => Self::Pixels,
            "tagcount" => Self::TagCount,
            _ => return None,
        })
    }

    const fn accepted(self) -> &'static str {
        match self {
            Self::Size => {
                "accepted: 2mb, >=500kb, <5, 1mb..2mb, ..1mb, 1mb.. and comma lists of these"
            }
            Self::Pixels => "accepted: 2, >=1.5, <5, 1..2.5, ..2, 2.. and comma lists of these",
            Self::Id | Self::Width | Self::Height | Self::TagCount => {
                "accepted: 100, >=100, <5, 100..200, ..200, 100.. and comma lists of these"
            }
        }
    }

    /// What one typed unit stands for; `None` for a unit this field lacks.
    fn scale(self, unit: &str) -> Option<u64> {
        match (self, unit) {
            (Self::Pixels, "") => Some(1_000_000),
            (_, "") | (Self::Size, "b") => Some(1),
            (Self::Size, "k" | "kb" | "kib") => Some(1 << 10),
            (Self::Size, "m" | "mb" | "mib") => Some(1 << 20),
            (Self::Size, "g" | "gb" | "gib") => Some(1 << 30),
            _ => None,
        }
    }
}

/// A union of number ranges: inclusive, ascending, apart from each other.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Ranges(Vec<(u64, u64)>);

impl Ranges {
    /// Whether `value` lies in one of the ranges.
    pub fn contains(&self, value: u64) -> bool {
        let next = self.0.partition_point(|&(low, _)| low <= value);
        next > 0 && value <= self.0[next - 1].1
    }

    /// The ranges, both ends inclusive.
    pub fn iter(&self) -> impl Iterator<Item = (u64, u64)> + '_ {
        self.0.iter().copied()
    }

    /// Any ranges, in any order, merged where they touch.
    fn union(mut ranges: Vec<(u64, u64)>) -> Self {
        ranges.sort_unstable();
        let mut merged: Vec<(u64, u64)> = Vec::with_capacity(ranges.len());
        for (low, high) in ranges {
            match merged.last_mut() {
                Some(last) if low <= last.1.saturating_add(1) => last.1 = last.1.max(high),
                _ => merged.push((low, high)),
            }
        }
        Self(merged)
    }

    /// Reads the value of a numeric metatag that begins at byte `at`.
    pub(super) fn parse(field: Field, text: &str, at: usize) -> Result<Self, Error> {
        let mut ranges = Vec::new();
        let mut offset = at;
        for item in text.split(',') {
            let (low, high) = range(field, item)
                .ok_or_else(|| Error::new(Problem::BadNumber, offset, item, field.accepted()))?;
            match (low, high) {
                (Some(low), Some(high)) if low <= high => ranges.push((low, high)),
                _ => {
                    let why = "give the smaller number first, and one that can be reached";
                    return Err(Error::new(Problem::EmptyRange, offset, item, why));
                }
            }
            offset += item.len() + 1;
        }
        Ok(Self::union(ranges))
    }
}

/// Writes the canonical value: every range as `low..high`, or `low..` without
/// a ceiling, in the unit the field is typed in.
pub(super) fn write_ranges(
    f: &mut fmt::Formatter<'_>,
    field: Field,
    ranges: &Ranges,
) -> fmt::Result {
    for (i, (low, high)) in ranges.iter().enumerate() {
        f.write_str(if i > 0 { "," } else { "" })?;
        write_number(f, field, low)?;
        f.write_str("..")?;
        if high < u64::MAX {
            write_number(f, field, high)?;
        }
    }
    Ok(())
}

fn write_number(f: &mut fmt::Formatter<'_>, field: Field, value: u64) -> fmt::Result {
    match field {
        // Typed in millions: six decimals tell every pixel.
        Field::Pixels => write!(f, "{}.{:06}", value / 1_000_000, value % 1_000_000),
        _ => write!(f, "{value}"),
    }
}

/// One item, as inclusive ends; `None` inside where no number is left (`<0`).
fn range(field: Field, text: &str) -> Option<(Option<u64>, Option<u64>)> {
    let number = |text| Number::parse(field, text);
    if let Some(rest) = text.strip_prefix(">=") {
        return Some((Some(number(rest)?.ceil), Some(u64::MAX)));
    }
    if let Some(rest) = text.strip_prefix("<=") {
        return Some((Some(0), Some(number(rest)?.floor)));
    }
    if let Some(rest) = text.strip_prefix('>') {
        return Some((number(rest)?.floor.checked_add(1), Some(u64::MAX)));
    }
    if let Some(rest) = text.strip_prefix('<') {
        return Some((Some(0), number(rest)?.ceil.checked_sub(1)));
    }
    if let Some((low, high)) = text.split_once("..") {
        return match (low, high) {
            ("", "") => None,
            ("", high) => Some((Some(0), Some(number(high)?.floor))),
            (low, "") => Some((Some(number(low)?.ceil), Some(u64::MAX))),
            (low, high) => Some((Some(number(low)?.ceil), Some(number(high)?.floor))),
        };
    }
    let Number { floor, ceil, exact } = number(text)?;
    if exact {
        return Some((Some(ceil), Some(floor)));
    }
    // Nobody means one exact byte by "2mb": within 5 %, as boorus do.
    Some((
        Some(ceil - ceil / 20),
        Some(floor.saturating_add(floor / 20)),
    ))
}

/// A decimal number in the field's smallest unit, rounded both ways.
struct Number {
    floor: u64,
    ceil: u64,
    /// Typed in the smallest unit, so that equality means equality.
    exact: bool,
}

impl Number {
    fn parse(field: Field, text: &str) -> Option<Self> {
        let end = text
            .find(|c: char| c != '.' && !c.is_ascii_digit())
            .unwrap_or(text.len());
        let (digits, unit) = text.split_at(end);
        let scale = field.scale(unit)?;
        let (whole, decimals) = digits.split_once('.').unwrap_or((digits, ""));
        // `parse` would take a sign; there is none left in `digits`.
        let whole: u64 = whole.parse().ok()?;
        if digits.contains('.') && (decimals.is_empty() || decimals.len() > 6 || scale == 1) {
            return None;
        }
        let power = 10_u128.pow(u32::try_from(decimals.len()).ok()?);
        let fraction: u128 = if decimals.is_empty() {
            0
        } else {
            decimals.parse().ok()?
        };
        let scaled = (u128::from(whole) * power + fraction) * u128::from(scale);
        Some(Self {
            floor: u64::try_from(scaled / power).ok()?,
            ceil: u64::try_from(scaled.div_ceil(power)).ok()?,
            exact: scale == 1,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{Field, Ranges};
    use crate::query::Problem;

    fn ranges(field: Field, text: &str) -> Vec<(u64, u64)> {
        Ranges::parse(field, text, 0).expect(text).iter().collect()
    }

    #[test]
    fn every_way_to_write_a_range_is_read() {
        const MAX: u64 = u64::MAX;
        for (field, text, expected) in [
            (Field::Width, "100", vec![(100, 100)]),
            (Field::Width, ">=100", vec![(100, MAX)]),
            (Field::Width, ">100", vec![(101, MAX)]),
            (Field::Width, "<=100", vec![(0, 100)]),
            (Field::Width, "<100", vec![(0, 99)]),
            (Field::Width, "100..200", vec![(100, 200)]),
            (Field::Width, "..200", vec![(0, 200)]),
            (Field::Width, "100..", vec![(100, MAX)]),
            (
                Field::Id,
                "7,1,2,3,9..12,5..6",
                vec![(1, 3), (5, 7), (9, 12)],
            ),
            (
                Field::Id,
                "18446744073709551615,1",
                vec![(1, 1), (MAX, MAX)],
            ),
            (Field::Size, ">=1.5kb", vec![(1536, MAX)]),
            (Field::Size, ">1.3kb", vec![(1332, MAX)]),
            (Field::Size, ">=1.3kb", vec![(1332, MAX)]),
            (Field::Size, "<1.3kb", vec![(0, 1331)]),
            (Field::Size, "2000", vec![(2000, 2000)]),
            (Field::Size, "2000b", vec![(2000, 2000)]),
            (Field::Size, "1mb", vec![(996_148, 1_101_004)]),
            (Field::Pixels, "2", vec![(1_900_000, 2_100_000)]),
            (Field::Pixels, "0.5..1.25", vec![(500_000, 1_250_000)]),
        ] {
            assert_eq!(ranges(field, text), expected, "{field:?} {text}");
        }
    }

    #[test]
    fn bad_numbers_are_refused_where_they_stand() {
        for (field, text, problem, at) in [
            (Field::Width, "", Problem::BadNumber, 0),
            (Field::Width, "1,,2", Problem::BadNumber, 2),
            (Field::Width, "..", Problem::BadNumber, 0),
            (Field::Width, "-5", Problem::BadNumber, 0),
            (Field::Width, "+5", Problem::BadNumber, 0),
            (Field::Width, "5px", Problem::BadNumber, 0),
            (Field::Width, "1.5", Problem::BadNumber, 0),
            (Field::Width, "1..2..3", Problem::BadNumber, 0),
            (Field::Width, "٣", Problem::BadNumber, 0),
            (Field::Width, "18446744073709551616", Problem::BadNumber, 0),
            (Field::Size, "18446744073709551615gb", Problem::BadNumber, 0),
            (Field::Pixels, "1.0000001", Problem::BadNumber, 0),
            (Field::Pixels, "1.", Problem::BadNumber, 0),
            (Field::Pixels, ".5", Problem::BadNumber, 0),
            (Field::Width, "200..100", Problem::EmptyRange, 0),
            (Field::Width, "5,<0", Problem::EmptyRange, 2),
            (Field::Id, ">18446744073709551615", Problem::EmptyRange, 0),
        ] {
            let error = Ranges::parse(field, text, 0).expect_err(text);
            assert_eq!((error.problem, error.at), (problem, at), "{text}");
        }
    }

    #[test]
    fn contains_agrees_with_the_ranges() {
        let ranges = Ranges::parse(Field::Id, "3..5,9,20..", 0).expect("valid");
        let inside: Vec<u64> = (0..25).filter(|&n| ranges.contains(n)).collect();
        assert_eq!(inside, [3, 4, 5, 9, 20, 21, 22, 23, 24]);
    }
}
