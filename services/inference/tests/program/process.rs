//! Starting a program that is a node, and talking to it. A part of the tests of each such program,
//! which says what it is: `crate::PROGRAM` (the path) and `crate::ROLE`.

use std::io::Read;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use kit::Credential;
use kit::client::Peer;
use kit::rundir::Announcement;
use tempfile::TempDir;

/// An address at which nobody answers.
pub(crate) const NOBODY: &str = "http://127.0.0.1:9";

pub(crate) fn command(data: &Path, flags: &[&str]) -> Command {
    let mut command = Command::new(crate::PROGRAM);
    command
        .env_remove("ORT_DYLIB_PATH")
        .args(["--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"])
        .arg("--data")
        .arg(data)
        .args(flags);
    command
}

/// Runs it to its end, which must come by itself.
pub(crate) fn run(flags: &[&str]) -> (Option<i32>, String) {
    let data = tempfile::tempdir().unwrap();
    let output = finish(command(data.path(), flags));
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    (output.status.code(), text)
}

pub(crate) fn finish(mut command: Command) -> Output {
    let mut child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let deadline = Instant::now() + Duration::from_secs(20);
    while child.try_wait().unwrap().is_none() {
        if Instant::now() > deadline {
            child.kill().unwrap();
            panic!("it did not end: {:?}", child.wait_with_output());
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    child.wait_with_output().unwrap()
}

/// The program at work; ended with the test.
pub(crate) struct Program {
    child: Child,
    pub(crate) data: TempDir,
}

impl Program {
    pub(crate) fn start(flags: &[&str]) -> Self {
        let data = tempfile::tempdir().unwrap();
        let child = command(data.path(), flags)
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        Self { child, data }
    }

    /// The way to it, once it has announced itself.
    pub(crate) async fn peer(&mut self) -> Peer {
        let deadline = Instant::now() + Duration::from_secs(20);
        let announced = loop {
            if let Some(found) = Announcement::read(self.data.path(), crate::ROLE) {
                break found;
            }
            assert!(Instant::now() < deadline, "it announces itself");
            assert!(self.child.try_wait().unwrap().is_none(), "{}", self.end());
            tokio::time::sleep(Duration::from_millis(10)).await;
        };
        let credential = Credential::local(self.data.path()).unwrap();
        Peer::new(&announced.address.to_string(), &credential).unwrap()
    }

    /// Most memory that it ever held, in MiB.
    pub(crate) fn peak_mib(&self) -> u64 {
        let path = format!("/proc/{}/status", self.child.id());
        let status = std::fs::read_to_string(path).unwrap();
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kib = peak.unwrap().trim().trim_end_matches(" kB");
        kib.parse::<u64>().unwrap() >> 10
    }

    /// Asks it to stop; exit code and log.
    pub(crate) fn stop(mut self) -> (Option<i32>, String) {
        let id = i32::try_from(self.child.id()).unwrap();
        // SAFETY: a plain system call about a child that has not been waited for.
        unsafe { libc::kill(id, libc::SIGTERM) };
        let deadline = Instant::now() + Duration::from_secs(20);
        while self.child.try_wait().unwrap().is_none() {
            assert!(Instant::now() < deadline, "it ends when asked to");
            std::thread::sleep(Duration::from_millis(10));
        }
        let code = self.child.wait().unwrap().code();
        (code, self.end())
    }

    fn end(&mut self) -> String {
        // Either it has ended already, or it has not been heard of and is of no use.
        let _ = self.child.kill();
        let mut text = String::new();
        if let Some(log) = &mut self.child.stderr {
            log.read_to_string(&mut text).unwrap();
        }
        text
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
