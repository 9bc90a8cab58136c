//! Who runs, who is started again and when, and in what order all end: a pure state machine. Time
//! comes in with every input; what is to be done comes out.
//!
//! The store runs first. The watcher, the similarity service and the registrars (each makes the
//! model of a kind of inference known, and ends) follow once the store listens; a node of a kind
//! runs only while there is demand for it. What dies is started again with a back-off that doubles.

use std::time::{Duration, Instant};

/// First wait before something that died is started again; it doubles.
const FIRST_WAIT: Duration = Duration::from_millis(500);
/// Longest wait.
const LONGEST_WAIT: Duration = Duration::from_secs(30);
/// Who lived this long is well again.
const WELL: Duration = Duration::from_secs(60);
/// How long a child may take to end before it is killed; longer than its own grace period.
pub(super) const GRACE: Duration = Duration::from_secs(25);

/// A kind of inference, with a program of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Kind {
    Tag,
    Embed,
}

impl Kind {
    /// All of them.
    pub(super) const ALL: [Self; 2] = [Self::Tag, Self::Embed];

    /// What a node of this kind is called.
    pub(super) fn node(self) -> &'static str {
        match self {
            Self::Tag => "tagger",
            Self::Embed => "embedder",
        }
    }

    /// What it does, for people.
    pub(super) fn work(self) -> &'static str {
        match self {
            Self::Tag => "tagging",
            Self::Embed => "embedding",
        }
    }
}

/// A child.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Role {
    Store,
    Watcher,
    Similarity,
    /// A node's program with `--register-only`.
    Registrar(Kind),
    Node(Kind),
}

impl Role {
    /// In the order in which they start.
    pub(super) const ALL: [Self; 7] = [
        Self::Store,
        Self::Watcher,
        Self::Similarity,
        Self::Registrar(Kind::Tag),
        Self::Registrar(Kind::Embed),
        Self::Node(Kind::Tag),
        Self::Node(Kind::Embed),
    ];

    /// Its name for people, and of its log.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Store => "store",
            Self::Watcher => "watcher",
            Self::Similarity => "similarity",
            Self::Registrar(Kind::Tag) => "tagger-registrar",
            Self::Registrar(Kind::Embed) => "embedder-registrar",
            Self::Node(kind) => kind.node(),
        }
    }

    /// Place among [`Role::ALL`].
    fn place(self) -> usize {
        match self {
            Self::Store => 0,
            Self::Watcher => 1,
            Self::Similarity => 2,
            Self::Registrar(kind) => 3 + kind as usize,
            Self::Node(kind) => 5 + kind as usize,
        }
    }
}

/// How a child ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Exit {
    /// With code 0.
    Clean,
    /// With another code: it gave up, and its log says why.
    Refused,
    /// By a signal.
    Killed,
}

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Input {
    /// Time went by.
    Tick,
    /// A child listens.
    Listens(Role, u64),
    /// A child did what it is for, at least once.
    Works(Role),
    /// The roots to watch are known.
    RootsKnown,
    /// A child ended.
    Ended(Role, Exit),
    /// Tasks and people that want a node of a kind.
    Demand(Kind, u64),
    /// Everything shall end.
    Stop,
}

/// What to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Action {
    Start(Role),
    /// Ask it to end.
    Terminate(Role),
    /// End it.
    Kill(Role),
    /// Tell the store that this incarnation of the node of a kind died.
    ReportCrash(Kind, u64),
    /// A child that nothing works without cannot start: everything ends.
    GiveUp(Role),
    /// All have ended.
    Leave,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Down,
    Runs { since: Instant },
    Ends { kill_at: Option<Instant> },
    Waits { until: Instant },
}

#[derive(Debug)]
struct Member {
    phase: Phase,
    /// Number of this start, once it listens.
    incarnation: Option<u64>,
    /// Deaths in a row.
    deaths: u32,
    /// Times in a row that it gave up by itself.
    refusals: u32,
    /// Whether any start of it ever did what it is for.
    works: bool,
}

impl Member {
    fn new() -> Self {
        Self {
            phase: Phase::Down,
            incarnation: None,
            deaths: 0,
            refusals: 0,
            works: false,
        }
    }

    fn is_alive(&self) -> bool {
        matches!(self.phase, Phase::Runs { .. } | Phase::Ends { .. })
    }
}

/// What is known of a kind of inference.
#[derive(Debug, Clone, Copy, Default)]
struct Inference {
    /// Whether its model is known to the store.
    registered: bool,
    demand: u64,
    /// Since when nobody wants a node of it.
    idle_since: Option<Instant>,
}

/// All children.
#[derive(Debug)]
pub(super) struct Supervisor {
    /// By [`Role::place`].
    members: [Member; Role::ALL.len()],
    /// By kind.
    inference: [Inference; Kind::ALL.len()],
    idle_stop: Duration,
    store_listens: bool,
    roots_known: bool,
    stopping: bool,
}

impl Supervisor {
    /// `idle_stop`: how long a node outlives the demand.
    pub(super) fn new(idle_stop: Duration) -> Self {
        Self {
            members: std::array::from_fn(|_| Member::new()),
            inference: Default::default(),
            idle_stop,
            store_listens: false,
            roots_known: false,
            stopping: false,
        }
    }

    /// Takes in what happened and says what to do, in order.
    pub(super) fn step(&mut self, input: Input, now: Instant) -> Vec<Action> {
        let mut actions = Vec::new();
        match input {
            Input::Tick => {}
            Input::Listens(role, incarnation) => {
                self.member(role).incarnation = Some(incarnation);
                self.store_listens |= role == Role::Store;
            }
            Input::Works(role) => {
                let member = self.member(role);
                member.works = true;
                member.refusals = 0;
            }
            Input::RootsKnown => self.roots_known = true,
            Input::Ended(role, exit) => self.ended(role, exit, now, &mut actions),
            Input::Demand(kind, demand) => {
                let inference = &mut self.inference[kind as usize];
                inference.demand = demand;
                inference.idle_since = match demand {
                    0 => inference.idle_since.or(Some(now)),
                    _ => None,
                };
            }
            Input::Stop => self.stopping = true,
        }
        self.settle(now, &mut actions);
        actions
    }

    /// When `step` must be called with [`Input::Tick`] at the latest.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let phases = self.members.iter().filter_map(|member| match member.phase {
            Phase::Waits { until } => Some(until),
            Phase::Ends { kill_at } => kill_at,
            Phase::Down | Phase::Runs { .. } => None,
        });
        let idle = Kind::ALL.into_iter().filter_map(|kind| {
            let node = &self.members[Role::Node(kind).place()];
            match (node.phase, self.inference[kind as usize].idle_since) {
                (Phase::Runs { .. }, Some(since)) => Some(since + self.idle_stop),
                _ => None,
            }
        });
        phases.chain(idle).min()
    }

    /// Whether a child runs, or ends.
    pub(super) fn is_alive(&self, role: Role) -> bool {
        self.members[role.place()].is_alive()
    }

    /// Whether everything ends.
    pub(super) fn is_stopping(&self) -> bool {
        self.stopping
    }

    /// Whether the model of a kind is known to the store.
    pub(super) fn is_registered(&self, kind: Kind) -> bool {
        self.inference[kind as usize].registered
    }

    /// Whether somebody wants a node of this kind, or would once its model is known.
    pub(super) fn is_needed(&self, kind: Kind) -> bool {
        let inference = self.inference[kind as usize];
        !inference.registered || inference.demand > 0
    }

    /// How often in a row a child gave up by itself.
    pub(super) fn refusals(&self, role: Role) -> u32 {
        self.members[role.place()].refusals
    }

    /// When a child that died is started again.
    pub(super) fn starts_again(&self, role: Role) -> Option<Instant> {
        match self.members[role.place()].phase {
            Phase::Waits { until } if !self.stopping => Some(until),
            _ => None,
        }
    }

    fn member(&mut self, role: Role) -> &mut Member {
        &mut self.members[role.place()]
    }

    fn ended(&mut self, role: Role, exit: Exit, now: Instant, actions: &mut Vec<Action>) {
        let stopping = self.stopping;
        let member = self.member(role);
        let phase = std::mem::replace(&mut member.phase, Phase::Down);
        let incarnation = member.incarnation.take();
        let Phase::Runs { since } = phase else {
            // It was asked to end.
            member.deaths = 0;
            return;
        };
        if now.duration_since(since) >= WELL {
            member.deaths = 0;
            member.refusals = 0;
        }
        match (role, exit) {
            (Role::Registrar(kind), Exit::Clean) => {
                self.inference[kind as usize].registered = true;
                return;
            }
            (_, Exit::Clean) => {}
            (_, Exit::Refused) => member.refusals += 1,
            (_, Exit::Killed) => member.refusals = 0,
        }
        let wait = LONGEST_WAIT.min(FIRST_WAIT * 2u32.saturating_pow(member.deaths.min(16)));
        // Leaving in order again and again, though wanted, costs as much as dying does.
        member.deaths += 1;
        member.phase = Phase::Waits { until: now + wait };
        let essential = matches!(role, Role::Store | Role::Watcher);
        if let (Role::Node(kind), Some(incarnation)) = (role, incarnation)
            && exit != Exit::Clean
        {
            actions.push(Action::ReportCrash(kind, incarnation));
        } else if essential && exit == Exit::Refused && !member.works && !stopping {
            actions.push(Action::GiveUp(role));
            self.stopping = true;
        }
    }

    fn is_wanted(&self, role: Role, now: Instant) -> bool {
        let is_other = |role: &Role| !matches!(role, Role::Store | Role::Watcher);
        let mut others = Role::ALL.into_iter().filter(is_other);
        let others = others.any(|role| self.is_alive(role));
        match role {
            Role::Store if self.stopping => others || self.is_alive(Role::Watcher),
            Role::Watcher if self.stopping => others,
            Role::Similarity | Role::Registrar(_) | Role::Node(_) if self.stopping => false,
            Role::Store => true,
            Role::Watcher => self.store_listens && self.roots_known,
            Role::Similarity => self.store_listens,
            Role::Registrar(kind) => {
                self.store_listens && !self.inference[kind as usize].registered
            }
            Role::Node(kind) => {
                let inference = self.inference[kind as usize];
                let lingers = self.is_alive(role)
                    && inference
                        .idle_since
                        .is_none_or(|since| now < since + self.idle_stop);
                inference.registered && (inference.demand > 0 || lingers)
            }
        }
    }

    /// Brings every member to where it should be.
    fn settle(&mut self, now: Instant, actions: &mut Vec<Action>) {
        let stopping = self.stopping;
        for role in Role::ALL {
            let wanted = self.is_wanted(role, now);
            let member = self.member(role);
            if let Phase::Waits { until } = member.phase
                && (stopping || now >= until)
            {
                member.phase = Phase::Down;
            }
            match member.phase {
                Phase::Down if wanted && !stopping => {
                    member.phase = Phase::Runs { since: now };
                    actions.push(Action::Start(role));
                }
                Phase::Runs { .. } if !wanted => {
                    let kill_at = Some(now + GRACE);
                    member.phase = Phase::Ends { kill_at };
                    actions.push(Action::Terminate(role));
                }
                Phase::Ends { kill_at: Some(at) } if now >= at => {
                    member.phase = Phase::Ends { kill_at: None };
                    actions.push(Action::Kill(role));
                }
                Phase::Down | Phase::Runs { .. } | Phase::Ends { .. } | Phase::Waits { .. } => {}
            }
        }
        if stopping && !self.members.iter().any(Member::is_alive) {
            actions.push(Action::Leave);
        }
    }
}

#[cfg(test)]
mod tests;
