//! One child process: started, listened to, signalled, waited for.

use std::{
    path::PathBuf,
    process::{ExitStatus, Stdio},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use kit::{Tasks, rundir::Announcement};
use rustix::process::{Pid, Signal, kill_process};
use tokio::{
    io::AsyncReadExt,
    process::{Child, ChildStderr, Command},
    sync::mpsc,
};

use super::{
    cluster::Event,
    log::Log,
    supervise::{Exit, Role},
};

/// How often to look whether a child has announced itself.
const LOOK: Duration = Duration::from_millis(25);
/// How long to read what a child that has ended wrote last; a grandchild may hold the pipe open.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// A running child.
#[derive(Debug)]
pub(super) struct Handle {
    /// Its process id; may be another's once [`Event::Ended`] has come.
    pub(super) pid: u32,
    signals: mpsc::Sender<Signal>,
}

impl Handle {
    /// Sends a signal, unless the child has ended.
    pub(super) fn signal(&self, signal: Signal) {
        // Full: as many signals are on their way; closed: it has ended.
        let _ = self.signals.try_send(signal);
    }
}

/// What a child needs around it.
#[derive(Debug)]
pub(super) struct Surroundings<'a> {
    /// Data folder, where it announces itself.
    pub(super) data: PathBuf,
    /// Where its life is told.
    pub(super) events: &'a mpsc::Sender<Event>,
    /// Who waits for it.
    pub(super) tasks: &'a Tasks,
}

/// Starts a child. Must be called on the main thread: the kernel ends the child with the thread.
pub(super) fn start(
    role: Role,
    mut command: Command,
    around: &Surroundings<'_>,
) -> std::io::Result<Handle> {
    let log = Log::open(&around.data.join("logs"), role.name())?;
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        // A group of its own: Ctrl-C is for `kumo` alone, which ends its children in order.
        .process_group(0);
    let before = Announcement::read(&around.data, role.name());
    let mut child = command.spawn()?;
    let pid = child.id().unwrap_or_default();
    let stderr = child.stderr.take();
    let (signals, received) = mpsc::channel(8);
    let life = Life {
        role,
        pid,
        data: around.data.clone(),
        before,
        events: around.events.clone(),
        signals: received,
        log: Arc::new(Mutex::new(log)),
    };
    around.tasks.spawn(role.name(), life.live(child, stderr));
    Ok(Handle { pid, signals })
}

struct Life {
    role: Role,
    pid: u32,
    data: PathBuf,
    /// What somebody of this role had announced before.
    before: Option<Announcement>,
    events: mpsc::Sender<Event>,
    signals: mpsc::Receiver<Signal>,
    log: Arc<Mutex<Log>>,
}

impl Life {
    async fn live(mut self, mut child: Child, stderr: Option<ChildStderr>) {
        let words = listen(stderr, self.log.clone());
        tokio::pin!(words);
        let announced = announcement(self.data.clone(), self.role, self.pid, self.before.take());
        tokio::pin!(announced);
        let (mut is_announced, mut is_silent) = (false, false);
        let exit = loop {
            tokio::select! {
                exit = child.wait() => break exit,
                Some(signal) = self.signals.recv() => send(&child, signal),
                found = &mut announced, if !is_announced => {
                    is_announced = true;
                    let _ = self.events.send(Event::Listens(self.role, found)).await;
                }
                () = &mut words, if !is_silent => is_silent = true,
            }
        };
        if !is_silent {
            let _ = tokio::time::timeout(LAST_WORDS, words).await;
        }
        let complaint = lock(&self.log).complaint().to_owned();
        let ended = Event::Ended(self.role, exit_of(&exit), Ending::new(&exit, complaint));
        // Nobody is left to tell if `kumo` leaves at once.
        let _ = self.events.send(ended).await;
    }
}

/// How a child ended, for people.
#[derive(Debug, Clone)]
pub(super) struct Ending {
    /// `exit status: 1`, `signal: 9 (SIGKILL)`.
    pub(super) status: String,
    /// Its last complaint; empty if it had none.
    pub(super) complaint: String,
}

impl Ending {
    fn new(exit: &std::io::Result<ExitStatus>, complaint: String) -> Self {
        let status = match exit {
            Ok(status) => status.to_string(),
            Err(error) => error.to_string(),
        };
        Self { status, complaint }
    }

    /// A child that could not even be started.
    pub(super) fn unborn(why: String) -> Self {
        Self {
            status: "cannot be started".to_owned(),
            complaint: why,
        }
    }
}

impl std::fmt::Display for Ending {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.complaint.as_str() {
            "" => f.write_str(&self.status),
            complaint => write!(f, "{complaint} ({})", self.status),
        }
    }
}

fn exit_of(exit: &std::io::Result<ExitStatus>) -> Exit {
    match exit {
        Ok(status) if status.success() => Exit::Clean,
        Ok(status) if status.code().is_some() => Exit::Refused,
        Ok(_) | Err(_) => Exit::Killed,
    }
}

/// The child was not waited for yet, so its number is still its own.
fn send(child: &Child, signal: Signal) {
    let pid = child
        .id()
        .and_then(|pid| i32::try_from(pid).ok())
        .and_then(Pid::from_raw);
    if let Some(pid) = pid {
        // It may have ended this very moment.
        let _ = kill_process(pid, signal);
    }
}

async fn listen(stderr: Option<ChildStderr>, log: Arc<Mutex<Log>>) {
    let Some(mut stderr) = stderr else { return };
    let mut buffer = vec![0; 8 << 10];
    while let Ok(length @ 1..) = stderr.read(&mut buffer).await {
        lock(&log).take(&buffer[..length]);
    }
}

fn lock(log: &Mutex<Log>) -> std::sync::MutexGuard<'_, Log> {
    log.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Waits for the announcement of this very child. One of an earlier start may lie there, and even
/// under the same process id: in a container each start counts from 1 again.
async fn announcement(
    data: PathBuf,
    role: Role,
    pid: u32,
    before: Option<Announcement>,
) -> Announcement {
    if matches!(role, Role::Registrar(_)) {
        // It listens nowhere.
        return std::future::pending().await;
    }
    loop {
        match Announcement::read(&data, role.name()) {
            Some(found) if found.pid == pid && before.as_ref() != Some(&found) => return found,
            Some(_) | None => tokio::time::sleep(LOOK).await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_announcement_of_an_earlier_start_with_the_same_number_is_not_taken() {
        let data = tempfile::tempdir().expect("a folder");
        let announce = |incarnation| Announcement {
            role: "store".to_owned(),
            address: ([127, 0, 0, 1], 7801).into(),
            admin_address: ([127, 0, 0, 1], 7901).into(),
            pid: 7,
            incarnation,
        };
        let folder = data.path().join("run");
        std::fs::create_dir(&folder).expect("makes");
        let write = |found: &Announcement| {
            let text = serde_json::to_vec(found).expect("is JSON");
            std::fs::write(folder.join("store.json"), text).expect("writes");
        };
        write(&announce(1));
        let before = Announcement::read(data.path(), "store");
        assert_eq!(before, Some(announce(1)));
        let data = data.path().to_owned();
        let found = announcement(data, Role::Store, 7, before);
        tokio::pin!(found);
        let early = tokio::time::timeout(4 * LOOK, &mut found).await;
        assert!(early.is_err(), "nobody listens there any more");
        write(&announce(2));
        let found = tokio::time::timeout(Duration::from_secs(10), found).await;
        assert_eq!(found.ok(), Some(announce(2)));
    }
}
