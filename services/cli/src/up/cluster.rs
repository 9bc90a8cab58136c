//! The event loop of `kumo up`: what happens goes into the supervisor, what it decides is done.

mod awaited;
mod trouble;

use std::{
    collections::{HashMap, VecDeque},
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use kit::{Credential, Shutdown, Tasks, rundir::Announcement, shutdown::Signals};
use proto::{media::v1::WatchProgressResponse, similarity::v1::GetIndexResponse};
use rustix::process::Signal;
use tokio::sync::{mpsc, watch};

use super::{
    EXIT_STOPPED, Flags,
    child::{self, Ending, Handle, Surroundings},
    follow::Followers,
    idle::{Figures, Mark, View},
    launch::Launcher,
    progress::Progress,
    summary::{self, Memory},
    supervise::{Action, Exit, Input, Kind, Role, Supervisor},
};
use crate::{connection::Connection, error::Error, run::Session};

/// How often the line of progress is redrawn at least.
const REDRAW: Duration = Duration::from_millis(500);

/// What children and followers tell.
#[derive(Debug)]
pub(super) enum Event {
    Listens(Role, Announcement),
    Ended(Role, Exit, Ending),
    Demand(Kind, u64),
    Figures(Instant, Box<Figures>),
    Files(WatchProgressResponse),
    Index(GetIndexResponse),
    Roots(Result<Vec<PathBuf>, Error>),
    /// Something that the person should know.
    Notice(String),
}

/// Why everything ends.
#[derive(Debug)]
enum Verdict {
    /// Nothing is left to do.
    Done,
    /// A person said so.
    Stopped,
    /// It cannot go on.
    Failed(Error),
}

struct Cluster<'a> {
    flags: &'a Flags,
    session: &'a Session,
    credential: Credential,
    launcher: Launcher,
    supervisor: Supervisor,
    children: HashMap<Role, Handle>,
    endings: HashMap<Role, Ending>,
    /// Inputs of the loop's own making.
    inputs: VecDeque<Input>,
    events: mpsc::Sender<Event>,
    tasks: Tasks,
    shutdown: Shutdown,
    followers: Option<Followers>,
    watcher: watch::Sender<Option<String>>,
    similarity: watch::Sender<Option<String>>,
    view: View,
    memory: Memory,
    progress: Progress,
    started: Instant,
    done_after: Duration,
    moved: (Mark, Instant),
    verdict: Option<Verdict>,
}

/// Runs the cluster until it is to end; gives the exit code.
pub(super) async fn run(
    flags: Flags,
    credential: Credential,
    session: &Session,
) -> Result<u8, Error> {
    let mut signals = Signals::install().map_err(|source| Error::System {
        action: "take signals",
        source,
    })?;
    let (events, mut received) = mpsc::channel(64);
    let mut cluster = Cluster::new(&flags, credential, session, events)?;
    cluster.inputs.push_back(Input::Tick);
    let mut redraw = tokio::time::interval(REDRAW);
    redraw.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut ended = false;
    while !ended {
        while let Some(input) = cluster.inputs.pop_front() {
            ended |= cluster.step(input);
        }
        if ended {
            break;
        }
        let deadline = cluster.supervisor.deadline();
        tokio::select! {
            Some(event) = received.recv() => cluster.take(event),
            signal = signals.next() => if !cluster.stop(signal) {
                cluster.progress.clear();
                return Ok(EXIT_STOPPED);
            },
            () = until(deadline) => cluster.inputs.push_back(Input::Tick),
            _ = redraw.tick() => cluster.look(),
        }
    }
    cluster.finish()
}

async fn until(deadline: Option<Instant>) {
    match deadline {
        Some(at) => tokio::time::sleep_until(at.into()).await,
        None => std::future::pending().await,
    }
}

impl<'a> Cluster<'a> {
    fn new(
        flags: &'a Flags,
        credential: Credential,
        session: &'a Session,
        events: mpsc::Sender<Event>,
    ) -> Result<Self, Error> {
        let now = Instant::now();
        Ok(Self {
            launcher: Launcher::new(flags, &session.global.data)?,
            supervisor: Supervisor::new(flags.idle_stop),
            flags,
            session,
            credential,
            children: HashMap::new(),
            endings: HashMap::new(),
            inputs: VecDeque::new(),
            events,
            tasks: Tasks::new(),
            shutdown: Shutdown::new(),
            followers: None,
            watcher: watch::channel(None).0,
            similarity: watch::channel(None).0,
            view: View::default(),
            memory: Memory::default(),
            progress: Progress::new(),
            started: now,
            done_after: Duration::ZERO,
            moved: (Mark::default(), now),
            verdict: None,
        })
    }

    fn note(&self, text: &str) {
        self.progress.note(text, &self.session.terminal);
    }

    /// Ends everything for this reason, unless there is one already.
    fn end(&mut self, verdict: Verdict) {
        self.verdict.get_or_insert(verdict);
        self.inputs.push_back(Input::Stop);
    }

    /// A signal came; false if it is the second.
    fn stop(&mut self, signal: &str) -> bool {
        if self.supervisor.is_stopping() {
            self.note(&format!("{signal} again: leaving at once"));
            // The kernel asks the children to end when this process is gone; those that drain since
            // the first signal leave at once, too.
            return false;
        }
        self.note(&format!(
            "{signal}: stopping in order; once more leaves at once"
        ));
        self.end(Verdict::Stopped);
        true
    }

    /// Gives the supervisor an input and does what it says; true when all have ended.
    fn step(&mut self, input: Input) -> bool {
        let mut ended = false;
        for action in self.supervisor.step(input, Instant::now()) {
            match action {
                Action::Start(role) => self.start(role),
                Action::Terminate(role) => self.signal(role, Signal::TERM),
                Action::Kill(role) => {
                    self.note(&format!("the {} does not end; killing it", role.name()));
                    self.signal(role, Signal::KILL);
                }
                Action::ReportCrash(kind, incarnation) => {
                    if let Some(followers) = &self.followers {
                        followers.report_crash(self.launcher.node_name(kind), incarnation);
                    }
                }
                Action::GiveUp(role) => {
                    let why = self.why(role);
                    self.end(Verdict::Failed(Error::Failed(why)));
                }
                Action::Leave => ended = true,
            }
        }
        ended
    }

    fn start(&mut self, role: Role) {
        let around = Surroundings {
            data: self.session.global.data.clone(),
            events: &self.events,
            tasks: &self.tasks,
        };
        let command = self.launcher.command(role);
        let program = command.as_std().get_program().to_owned();
        match child::start(role, command, &around) {
            Ok(handle) => {
                self.children.insert(role, handle);
            }
            Err(error) => {
                let why = format!("{}: {error}", program.to_string_lossy());
                self.ended(role, Exit::Refused, Ending::unborn(why));
            }
        }
    }

    fn signal(&self, role: Role, signal: Signal) {
        if let Some(child) = self.children.get(&role) {
            child.signal(signal);
        }
    }

    fn take(&mut self, event: Event) {
        let now = Instant::now();
        match event {
            Event::Listens(role, found) => self.listens(role, &found),
            Event::Ended(role, exit, ending) => self.ended(role, exit, ending),
            Event::Demand(kind, demand) => {
                self.inputs.push_back(Input::Demand(kind, demand));
                self.ring();
            }
            Event::Figures(asked, figures) => self.figures(asked, *figures),
            Event::Index(index) => {
                self.view.saw_index(index);
                self.inputs.push_back(Input::Works(Role::Similarity));
                self.look();
            }
            Event::Files(files) => {
                self.view.saw_files(files, now);
                self.inputs.push_back(Input::Works(Role::Watcher));
                self.ring();
            }
            Event::Roots(Ok(roots)) => {
                self.launcher.roots = roots;
                self.inputs.push_back(Input::RootsKnown);
            }
            Event::Roots(Err(error)) => self.end(Verdict::Failed(error)),
            Event::Notice(text) => self.note(&text),
        }
    }

    fn figures(&mut self, asked: Instant, figures: Figures) {
        let before = Kind::ALL.map(|kind| self.view.done(kind));
        self.view.saw_figures(figures, asked);
        self.inputs.push_back(Input::Works(Role::Store));
        for (kind, before) in Kind::ALL.into_iter().zip(before) {
            let role = Role::Node(kind);
            if self.view.done(kind) > before && self.supervisor.is_alive(role) {
                self.inputs.push_back(Input::Works(role));
            }
        }
        let children = self.children.iter();
        self.memory
            .sample(children.map(|(role, child)| (role.name(), child.pid)));
        self.look();
    }

    fn listens(&mut self, role: Role, found: &Announcement) {
        self.inputs
            .push_back(Input::Listens(role, found.incarnation));
        let address = format!("http://{}", found.address);
        match role {
            Role::Store => {
                self.launcher.store = Some(found.address);
                if self.followers.is_none() {
                    self.note(&format!("the store is at {address}"));
                    self.follow(&address);
                }
            }
            Role::Watcher => {
                self.watcher.send_replace(Some(address));
            }
            Role::Similarity => {
                self.similarity.send_replace(Some(address));
            }
            Role::Node(kind) => self.note(&format!("the {} runs", kind.node())),
            Role::Registrar(_) => {}
        }
    }

    /// Starts listening to the store, and finds out what to watch.
    fn follow(&mut self, store: &str) {
        let data = self.session.global.data.clone();
        let connection = match Connection::to(store, self.credential.clone(), data) {
            Ok(connection) => connection,
            Err(error) => return self.end(Verdict::Failed(error)),
        };
        let followers = Followers {
            connection: Arc::new(connection),
            events: self.events.clone(),
            tasks: self.tasks.clone(),
            shutdown: self.shutdown.clone(),
            // Something always moves at the start.
            busy: Arc::new(true.into()),
            ring: Arc::default(),
        };
        followers.demand();
        followers.figures();
        followers.files(self.watcher.subscribe(), self.credential.clone());
        followers.index(self.similarity.subscribe(), self.credential.clone());
        // A path is a root's identity to its watcher: it must be the same from every folder.
        let absolute = |dir: &PathBuf| {
            dir.canonicalize()
                .or_else(|_| std::path::absolute(dir))
                .unwrap_or_else(|_| dir.clone())
        };
        let given = self.flags.dirs.iter().map(absolute).collect();
        followers.roots(given, self.launcher.watcher_name().to_owned());
        self.followers = Some(followers);
    }

    fn ended(&mut self, role: Role, exit: Exit, ending: Ending) {
        self.children.remove(&role);
        self.inputs.push_back(Input::Ended(role, exit));
        match role {
            Role::Registrar(_) if exit == Exit::Clean => {
                self.view.model_known(Instant::now());
                self.ring();
            }
            Role::Watcher => {
                self.view.lost_files();
                self.watcher.send_replace(None);
            }
            // What it said at the end is what the summary tells.
            Role::Similarity if !self.supervisor.is_stopping() => {
                self.view.lost_index();
                self.similarity.send_replace(None);
            }
            Role::Store | Role::Similarity | Role::Registrar(_) | Role::Node(_) => {}
        }
        let idled = matches!(role, Role::Node(_)) && exit == Exit::Clean;
        let asked = self.supervisor.is_stopping() || idled;
        // Said once, however often it is tried again for nothing.
        let said = ending.to_string();
        let again = self.endings.get(&role).map(ToString::to_string) == Some(said);
        if !asked && (exit == Exit::Killed || (exit == Exit::Refused && !again)) {
            self.note(&format!("the {} ended: {ending}", role.name()));
        }
        self.endings.insert(role, ending);
    }

    fn ring(&self) {
        if let Some(followers) = &self.followers {
            followers.ring.notify_one();
        }
    }

    /// All children have ended.
    fn finish(self) -> Result<u8, Error> {
        self.progress.clear();
        self.shutdown.begin();
        let out = &self.session.terminal;
        match self.verdict {
            Some(Verdict::Failed(error)) => Err(error),
            Some(Verdict::Done) => {
                summary::write(&self.view, &self.memory, self.done_after, out)?;
                Ok(0)
            }
            Some(Verdict::Stopped) | None if self.flags.until_idle => Ok(EXIT_STOPPED),
            Some(Verdict::Stopped) | None => Ok(0),
        }
    }
}
