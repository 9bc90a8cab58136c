//! Words → posts, and what is said of them.

use std::path::Path;

use proto::store::v1::{NewTag, PostEdit, Rating};

use crate::{error::Error, subject::Subject, words};

/// What is said of each of the posts.
#[derive(Debug, Default)]
pub(super) struct Change {
    edit: PostEdit,
}

impl Change {
    /// Whether nothing is said.
    pub(super) fn is_empty(&self) -> bool {
        self.edit == PostEdit::default()
    }

    /// How many tags something is said of.
    pub(super) fn tags(&self) -> usize {
        self.edit.add.len() + self.edit.remove.len() + self.edit.reset.len()
    }

    /// The same of one post.
    pub(super) fn of(&self, number: u32) -> PostEdit {
        PostEdit {
            post: format!("posts/{number}"),
            ..self.edit.clone()
        }
    }

    /// Says nothing of a tag any more.
    pub(super) fn reset(&mut self, tag: &str) -> Result<(), Error> {
        let (_, name) = words::categorised(named(tag, tag)?);
        self.edit.reset.push(name.to_owned());
        Ok(())
    }

    fn rating(&mut self, word: &str) -> Result<(), Error> {
        if self.edit.reset_rating || self.edit.rating() != Rating::Unspecified {
            return Err(Error::Usage("a post has one rating; name one".to_owned()));
        }
        if word.eq_ignore_ascii_case("none") {
            self.edit.reset_rating = true;
            return Ok(());
        }
        let rating = words::rating_named(&word.to_ascii_lowercase()).ok_or_else(|| {
            Error::Usage(format!(
                "there is no rating {word:?}: general, sensitive, questionable, explicit (or the \
                 first letter), or none to withdraw it"
            ))
        })?;
        self.edit.set_rating(rating);
        Ok(())
    }

    /// Takes a word that is an edit; false if it is none.
    fn take(&mut self, word: &str) -> Result<bool, Error> {
        let lower = word.to_ascii_lowercase();
        if let Some(tag) = word.strip_prefix('+') {
            let (category, name) = words::categorised(named(tag, word)?);
            self.edit.add.push(NewTag {
                name: name.to_owned(),
                category: category.into(),
            });
        } else if let Some(tag) = word.strip_prefix('-').filter(|_| word != "-") {
            let (_, name) = words::categorised(named(tag, word)?);
            self.edit.remove.push(name.to_owned());
        } else if lower.starts_with("rating:") {
            self.rating(&word["rating:".len()..])?;
        } else if let Some(tag) = word.strip_suffix('?') {
            self.reset(named(tag, word)?)?;
        } else {
            return Ok(false);
        }
        Ok(true)
    }
}

fn named<'a>(tag: &'a str, word: &str) -> Result<&'a str, Error> {
    match tag.trim() {
        "" => Err(Error::Usage(format!("{word:?} names no tag"))),
        tag => Ok(tag),
    }
}

/// Cuts the words of a command into posts and what is said of them.
pub(super) fn parse(words: &[String]) -> Result<(Vec<String>, Change), Error> {
    let mut posts = Vec::new();
    let mut change = Change::default();
    for word in words {
        // The space in front keeps a word with a dash from being a flag.
        let word = word.strip_prefix(' ').unwrap_or(word);
        // A file may be called anything, but posts come first.
        let is_file = change.is_empty() && Path::new(word).is_file();
        if is_file || !change.take(word)? {
            let names_post = matches!(Subject::new(Path::new(word)), Subject::Post(_));
            if !(change.is_empty() && (is_file || names_post || word == "-")) {
                return Err(stray(word, &change, names_post));
            }
            posts.push(word.to_owned());
        }
    }
    Ok((posts, change))
}

fn stray(word: &str, change: &Change, names_post: bool) -> Error {
    Error::Usage(if names_post && !change.is_empty() {
        format!("{word} stands behind an edit; name all posts first")
    } else {
        format!(
            "{word:?} is no post and no file; write +{word} to add it as a tag, -{word} to remove it"
        )
    })
}

#[cfg(test)]
mod tests {
    use proto::store::v1::TagCategory;

    use super::*;

    fn read(words: &[&str]) -> Result<(Vec<String>, Change), String> {
        let words: Vec<String> = words.iter().map(ToString::to_string).collect();
        parse(&words).map_err(|error| error.to_string())
    }

    #[test]
    fn posts_come_first_and_each_sign_has_its_meaning() {
        let words = [
            "12",
            "posts/13",
            "+cloud",
            "+artist:foo",
            "+re:zero",
            " -sky",
            " -artist:bar",
            "what?",
            "rating:Q",
        ];
        let (posts, change) = read(&words).expect("reads");
        assert_eq!(posts, ["12", "posts/13"]);
        let edit = change.of(7);
        assert_eq!(edit.post, "posts/7");
        let add: Vec<_> = edit
            .add
            .iter()
            .map(|tag| (tag.name.as_str(), tag.category()))
            .collect();
        assert_eq!(
            add,
            [
                ("cloud", TagCategory::Unspecified),
                ("foo", TagCategory::Artist),
                ("re:zero", TagCategory::Unspecified),
            ]
        );
        assert_eq!(edit.remove, ["sky", "bar"]);
        assert_eq!(edit.reset, ["what"]);
        assert_eq!(edit.rating(), Rating::Questionable);
        let (_, change) = read(&["1", "rating:none"]).expect("reads");
        assert!(change.of(1).reset_rating);
    }

    #[test]
    fn what_cannot_be_meant_is_refused_with_what_could() {
        for (words, said) in [
            (&["12", "cloud"][..], "+cloud"),
            (&["+cloud", "12"], "name all posts first"),
            (&["12", "+"], "names no tag"),
            (&["12", "?"], "names no tag"),
            (&["12", "rating:x"], "questionable"),
            (&["12", "rating:g", "rating:none"], "one rating"),
        ] {
            let error = read(words).expect_err("is refused");
            assert!(error.contains(said), "{words:?}: {error}");
        }
    }
}
