//! What a child logs: kept in DATA/logs, bounded, and its last complaint at hand.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use serde_json::Value;

/// A log is put aside at this size; one such older file is kept.
const LARGEST: u64 = 8 << 20;
/// Longer lines are cut in pieces.
const LONGEST_LINE: usize = 64 << 10;

/// The log of one role.
#[derive(Debug)]
pub(super) struct Log {
    path: PathBuf,
    file: File,
    size: u64,
    largest: u64,
    line: Vec<u8>,
    complaint: String,
}

impl Log {
    /// Opens `logs/ROLE.log` to add to it.
    pub(super) fn open(logs: &Path, role: &str) -> io::Result<Self> {
        fs::create_dir_all(logs)?;
        let path = logs.join(format!("{role}.log"));
        let file = append(&path)?;
        let size = file.metadata()?.len();
        Ok(Self {
            path,
            file,
            size,
            largest: LARGEST,
            line: Vec::new(),
            complaint: String::new(),
        })
    }

    /// Takes what the child wrote, in whatever pieces.
    pub(super) fn take(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let end = bytes.iter().position(|byte| *byte == b'\n');
            let (piece, rest) = bytes.split_at(end.map_or(bytes.len(), |end| end + 1));
            self.line.extend_from_slice(piece);
            bytes = rest;
            if end.is_some() || self.line.len() >= LONGEST_LINE {
                self.end_line();
            }
        }
    }

    /// What it last complained of, in its own words.
    pub(super) fn complaint(&self) -> &str {
        &self.complaint
    }

    fn end_line(&mut self) {
        let line = std::mem::take(&mut self.line);
        if let Some(complaint) = complaint(&line) {
            self.complaint = complaint;
        }
        // A log that cannot be written (a full disk) must not stop the child that writes it.
        let _ = self.write(&line);
    }

    fn write(&mut self, line: &[u8]) -> io::Result<()> {
        if self.size + line.len() as u64 > self.largest {
            fs::rename(&self.path, self.path.with_extension("log.1"))?;
            self.file = append(&self.path)?;
            self.size = 0;
        }
        self.file.write_all(line)?;
        self.size += line.len() as u64;
        Ok(())
    }
}

fn append(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .create(true)
        .append(true)
        .mode(0o600)
        .open(path)
}

/// The text of a line that is an error: a log line of level ERROR, or what a program says before it
/// has a log.
fn complaint(line: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(line);
    let text = text.trim();
    if let Some(said) = text.strip_prefix("error: ") {
        return Some(shorten(said));
    }
    let event: Value = serde_json::from_str(text).ok()?;
    if event["level"] != "ERROR" {
        return None;
    }
    let message = event["message"].as_str()?;
    Some(match event["error.reason"].as_str() {
        Some(reason) => format!("{} ({reason})", shorten(message)),
        None => shorten(message),
    })
}

/// One line of it: what was a list over several lines becomes one with semicolons.
fn shorten(text: &str) -> String {
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    let joined = lines.join("; ").replace(":; ", ": ");
    joined.chars().take(2000).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_complaint_of_several_lines_is_told_in_one() {
        let line = br#"{"level":"ERROR","message":"no library; tried:\n  /a: missing\nfetch it"}"#;
        let said = complaint(line);
        assert_eq!(
            said.as_deref(),
            Some("no library; tried: /a: missing; fetch it")
        );
    }

    #[test]
    fn a_log_never_grows_past_its_bound() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut log = Log::open(folder.path(), "store").expect("opens");
        log.largest = 1000;
        for number in 0..200 {
            log.take(format!("line {number}\n").as_bytes());
        }
        let size = |name: &str| {
            let found = fs::metadata(folder.path().join(name)).expect("is there");
            found.len()
        };
        assert!(size("store.log") <= 1000 && size("store.log.1") <= 1000);
        let text = fs::read_to_string(folder.path().join("store.log")).expect("text");
        assert!(text.ends_with("line 199\n"));
        assert_eq!(fs::read_dir(folder.path()).expect("lists").count(), 2);
    }

    #[test]
    fn the_last_complaint_is_found_in_logs_and_before_them() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut log = Log::open(folder.path(), "tagger").expect("opens");
        log.take(b"error: unexpected argument '--x' found\n\nUsage: x\n");
        assert_eq!(log.complaint(), "unexpected argument '--x' found");
        log.take(b"{\"level\":\"ERROR\",\"message\":\"no ONNX ");
        log.take(b"Runtime\",\"error.reason\":\"RUNTIME_MISSING\"}\n{\"level\":\"INFO\",\"message\":\"bye\"}\n");
        assert_eq!(log.complaint(), "no ONNX Runtime (RUNTIME_MISSING)");
        log.take(&vec![b'x'; 200_000]);
        assert!(log.line.len() <= LONGEST_LINE);
    }
}
