//! What a person means by POST or FILE: a number, a hash, or a picture of this machine.

use std::{
    fs::File,
    io::Read,
    path::{Path, PathBuf},
};

use proto::store::v1::{GetPostRequest, PostView, post_service_client::PostServiceClient};
use sha2::{Digest, Sha256};

use crate::{connection::Connection, error::Error};

/// A post or a picture.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Subject {
    /// `posts/12`, `posts/sha256:…` or `posts/md5:…`.
    Post(String),
    /// A path that is none of these.
    File(PathBuf),
}

impl Subject {
    /// What was typed. `./12` is a file whose name is a number.
    pub(crate) fn new(typed: &Path) -> Self {
        let Some(text) = typed.to_str() else {
            return Self::File(typed.to_owned());
        };
        let lower = text.to_ascii_lowercase();
        let name = lower.strip_prefix("posts/").unwrap_or(&lower);
        let hash = name
            .strip_prefix("sha256:")
            .or_else(|| name.strip_prefix("md5:"))
            .unwrap_or(name);
        let is_number = !name.is_empty() && name.len() < 32;
        if is_number && name.bytes().all(|byte| byte.is_ascii_digit()) {
            let number = name.trim_start_matches('0');
            let number = if number.is_empty() { "0" } else { number };
            return Self::Post(format!("posts/{number}"));
        }
        if kit::hex::decode::<32>(hash).is_some() {
            return Self::Post(format!("posts/sha256:{hash}"));
        }
        if kit::hex::decode::<16>(hash).is_some() {
            return Self::Post(format!("posts/md5:{hash}"));
        }
        Self::File(typed.to_owned())
    }

    /// The name that GetPost takes; a file is hashed.
    pub(crate) fn resource_name(&self) -> Result<String, Error> {
        match self {
            Self::Post(name) => Ok(name.clone()),
            Self::File(path) => Ok(format!("posts/sha256:{}", hash(path)?)),
        }
    }

    /// The number of the post; what is named by a hash or a file is looked up.
    pub(crate) async fn number(&self, connection: &Connection) -> Result<u32, Error> {
        let name = self.resource_name()?;
        let number = |name: &str| name.strip_prefix("posts/").and_then(|n| n.parse().ok());
        let missing = || match self {
            Self::Post(name) => Error::NoSuchThing(format!("there is no {name}")),
            Self::File(path) => Error::NoSuchThing(format!(
                "{} is not in the library (no post has its content)",
                path.display()
            )),
        };
        if let Some(number) = number(&name) {
            return Ok(number);
        }
        if !name.contains(':') {
            return Err(missing());
        }
        let request = GetPostRequest {
            name,
            view: PostView::Basic.into(),
        };
        let mut client = PostServiceClient::new(connection.store());
        match connection.ask(client.get_post(request)).await {
            Ok(answer) => {
                let post = answer.post.unwrap_or_default();
                number(&post.name).ok_or_else(missing)
            }
            Err(Error::Refused {
                code: kit::Code::NotFound,
                ..
            }) => Err(missing()),
            Err(error) => Err(error),
        }
    }
}

/// SHA-256 of a file, read in pieces.
fn hash(path: &Path) -> Result<String, Error> {
    let mut file = open(path)?;
    let mut hasher = Sha256::new();
    let mut piece = vec![0; 256 << 10];
    loop {
        let length = file.read(&mut piece).map_err(Error::file("read", path))?;
        if length == 0 {
            return Ok(kit::hex::encode(&hasher.finalize()));
        }
        hasher.update(&piece[..length]);
    }
}

/// Opens a picture that a person named; anything but a file would block, or never end.
pub(crate) fn open(path: &Path) -> Result<File, Error> {
    match std::fs::metadata(path) {
        Ok(found) if found.is_file() => File::open(path).map_err(Error::file("open", path)),
        Ok(_) => Err(Error::Failed(format!("{} is not a file", path.display()))),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            Err(Error::NoSuchThing(format!(
                "there is no file {}; a post is named by its number, its SHA-256 or MD5, or a file",
                path.display()
            )))
        }
        Err(error) => Err(Error::file("read", path)(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(typed: &str) -> Option<String> {
        Subject::new(Path::new(typed)).resource_name().ok()
    }

    #[test]
    fn numbers_hashes_and_names_are_told_apart() {
        assert_eq!(name("12").as_deref(), Some("posts/12"));
        assert_eq!(name("posts/012").as_deref(), Some("posts/12"));
        let sha = "AB".repeat(32);
        let wanted = format!("posts/sha256:{}", "ab".repeat(32));
        assert_eq!(name(&sha), Some(wanted.clone()));
        assert_eq!(name(&format!("sha256:{sha}")), Some(wanted.clone()));
        assert_eq!(name(&format!("posts/sha256:{sha}")), Some(wanted));
        let md5 = "9e107d9d372bb6826bd81d3542a419d6";
        assert_eq!(name(md5), Some(format!("posts/md5:{md5}")));
        assert_eq!(name("no such file"), None);
    }

    #[test]
    fn a_file_is_known_by_its_content() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("12");
        std::fs::write(&path, b"abc").expect("writes");
        let wanted =
            "posts/sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        let name = Subject::new(&path).resource_name().ok();
        assert_eq!(name.as_deref(), Some(wanted));
        let error = Subject::new(folder.path()).resource_name();
        let error = error.expect_err("a folder is no picture").to_string();
        assert!(error.contains("is not a file"), "{error}");
    }
}
