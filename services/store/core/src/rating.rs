//! How explicit a picture is: the four ratings every booru knows.
//!
//! A post may also have none yet; that is `Option<Rating>` everywhere, never a
//! fifth variant, so that "not looked at" cannot be mistaken for a judgement.

/// A rating, from harmless to explicit. The order is meaningful: a later one
/// is the more explicit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Rating {
    /// Fit for anyone.
    General = 0,
    /// Mildly suggestive.
    Sensitive = 1,
    /// Suggestive or partly nude.
    Questionable = 2,
    /// Explicit.
    Explicit = 3,
}

impl Rating {
    /// Every rating, least explicit first.
    pub const ALL: [Self; 4] = [
        Self::General,
        Self::Sensitive,
        Self::Questionable,
        Self::Explicit,
    ];

    /// The full lower-case name, as people write it and files keep it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::General => "general",
            Self::Sensitive => "sensitive",
            Self::Questionable => "questionable",
            Self::Explicit => "explicit",
        }
    }

    /// Reads a full name or its first letter, whatever its ASCII case.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|rating| {
            let full = rating.as_str();
            name.eq_ignore_ascii_case(full) || name.eq_ignore_ascii_case(&full[..1])
        })
    }

    /// The number kept in the database and in packed columns, 0 to 3.
    pub const fn code(self) -> u8 {
        self as u8
    }

    /// The rating with this number; `None` for any other number.
    pub const fn from_code(code: u8) -> Option<Self> {
        match code {
            0 => Some(Self::General),
            1 => Some(Self::Sensitive),
            2 => Some(Self::Questionable),
            3 => Some(Self::Explicit),
            _ => None,
        }
    }
}

impl std::fmt::Display for Rating {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::Rating;

    #[test]
    fn every_rating_survives_its_name_its_letter_and_its_number() {
        for rating in Rating::ALL {
            assert_eq!(Rating::from_name(rating.as_str()), Some(rating));
            assert_eq!(Rating::from_name(&rating.as_str()[..1]), Some(rating));
            assert_eq!(
                Rating::from_name(&rating.as_str().to_uppercase()),
                Some(rating)
            );
            assert_eq!(Rating::from_code(rating.code()), Some(rating));
        }
    }

    #[test]
    fn anything_else_is_no_rating() {
        for name in ["", "ge", "safe", "generalx", "é"] {
            assert_eq!(Rating::from_name(name), None, "{name}");
        }
        assert_eq!(Rating::from_code(4), None);
    }
}
