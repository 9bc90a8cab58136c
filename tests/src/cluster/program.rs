//! A running program: found by its announcement, killed when the test is over.

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    time::{Duration, Instant},
};

use kit::rundir::Announcement;

use crate::wait;

/// A process of ours.
#[derive(Debug)]
pub struct Program {
    child: Child,
    role: &'static str,
    log: PathBuf,
    address: SocketAddr,
}

impl Program {
    /// Starts it and waits until it has announced its address.
    pub(super) fn spawn(role: &'static str, mut command: Command, data: &Path) -> Self {
        fs::create_dir_all(data).expect("the data folder can be made");
        let log = data.with_file_name(format!("{role}.log"));
        let file = fs::File::options().create(true).append(true).open(&log);
        let file = file.expect("a log can be written");
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(file)
            .spawn()
            .expect("our own program can be started");
        let address = wait::until(&format!("the {role} listens"), 60, || {
            let ended = child.try_wait().expect("our own child can be waited for");
            assert!(
                ended.is_none(),
                "the {role} ended ({ended:?}):\n{}",
                tail(&log)
            );
            Announcement::read(data, role)
                .filter(|announcement| announcement.pid == child.id())
                .map(|announcement| announcement.address)
                .ok_or_else(|| tail(&log))
        });
        Self {
            child,
            role,
            log,
            address,
        }
    }

    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> String {
        self.address.to_string()
    }

    /// The end of its log.
    #[must_use]
    pub fn log(&self) -> String {
        tail(&self.log)
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: rustix::process::Signal) {
        let pid = i32::try_from(self.pid()).expect("process ids fit");
        let pid = rustix::process::Pid::from_raw(pid).expect("process ids are positive");
        rustix::process::kill_process(pid, signal).expect("our own child can be signalled");
    }

    /// Ends it as a power switch would.
    pub fn kill(mut self) {
        self.child.kill().expect("our own child can be killed");
        self.child.wait().expect("our own child can be waited for");
    }

    /// Asks it to stop and gives its exit status.
    pub fn stop(mut self) -> ExitStatus {
        self.signal(rustix::process::Signal::TERM);
        self.wait(30)
    }

    /// Waits for its end.
    pub fn wait(&mut self, seconds: u64) -> ExitStatus {
        let deadline = Instant::now() + Duration::from_secs(seconds);
        loop {
            if let Some(status) = self
                .child
                .try_wait()
                .expect("our own child can be waited for")
            {
                return status;
            }
            assert!(
                Instant::now() < deadline,
                "the {} did not end within {seconds} s:\n{}",
                self.role,
                self.log()
            );
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Process ids of its children.
    #[must_use]
    pub fn children(&self) -> Vec<u32> {
        children_of(self.pid())
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            let log = self.log();
            #[expect(
                clippy::print_stderr,
                reason = "a failing test shows what its programs said"
            )]
            {
                eprintln!("--- log of the {} ---\n{log}", self.role);
            }
        }
    }
}

/// Process ids of the children of a process, from /proc.
#[must_use]
pub(crate) fn children_of(parent: u32) -> Vec<u32> {
    let Ok(entries) = fs::read_dir("/proc") else {
        return Vec::new();
    };
    entries
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter(|pid: &u32| {
            let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
            // The name may hold anything; the fields after its closing bracket do not.
            let fields = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
            fields.split_whitespace().nth(1) == Some(&parent.to_string())
        })
        .collect()
}

fn tail(path: &Path) -> String {
    let bytes = fs::read(path).unwrap_or_default();
    let start = bytes.len().saturating_sub(6000);
    String::from_utf8_lossy(&bytes[start..]).into_owned()
}
