//! Names come from files, models and other machines: what a terminal would obey is made visible.

/// Whether a terminal acts on this character, or shows the text around it in another order.
fn is_treacherous(character: char) -> bool {
    character.is_control()
        || matches!(character,
            '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// The text with every such character as `\u{1b}`, one line in all.
pub(crate) fn escape(text: &str) -> String {
    let mut clean = String::with_capacity(text.len());
    for character in text.chars() {
        if is_treacherous(character) {
            clean.extend(character.escape_unicode());
        } else {
            clean.push(character);
        }
    }
    clean
}

/// The same for JSON, where such characters can only be inside strings: `\u009b`, so that it means
/// the same.
pub(super) fn json(text: &str) -> String {
    let mut clean = String::with_capacity(text.len());
    for character in text.chars() {
        if is_treacherous(character) {
            clean.push_str(&format!("\\u{:04x}", u32::from(character)));
        } else {
            clean.push(character);
        }
    }
    clean
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_obeys_is_made_visible_and_all_else_stays() {
        assert_eq!(escape("雲 – naïve/ok.png"), "雲 – naïve/ok.png");
        assert_eq!(
            escape("a\u{1b}[2Jb\r\n\u{9b}"),
            "a\\u{1b}[2Jb\\u{d}\\u{a}\\u{9b}"
        );
        assert_eq!(escape("gpj.\u{202e}exe"), "gpj.\\u{202e}exe");
    }

    #[test]
    fn json_stays_the_same_value() {
        let name = "a\u{1b}\u{9b}\u{202e}\"\\雲";
        let text = json(&serde_json::to_string(name).expect("a string"));
        assert!(!text.chars().any(is_treacherous), "{text}");
        let back: String = serde_json::from_str(&text).expect("still JSON");
        assert_eq!(back, name);
    }
}
