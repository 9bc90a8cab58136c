//! Nodes and watchers: who takes part. Who they are is on disk; whether they are there is known
//! in memory alone, by when they were last heard of on a clock that nobody can set.

use std::collections::BTreeMap;

use rusqlite::{OptionalExtension, Row, params};

use crate::lease::{Holder, NodeRow};
use crate::model::ModelKind;
use crate::model::check_name;
use crate::root::{Root, WatchedRoot};
use crate::store::{Store, Write};
use crate::{Error, ModelId, Now, PostId, RootId};

/// Number of a node.
pub type NodeId = u32;
/// Number of a watcher.
pub type WatcherId = u32;

/// Who was not heard of for this long is offline: three renewals or heartbeats missed.
pub const OFFLINE_AFTER_MS: u64 = 60_000;
/// Longest address, proof or version, bytes.
const MAX_TEXT: usize = 1_000;

/// What really runs a node's graph.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum DeviceClass {
    /// The processor.
    Cpu = 1,
    /// NVIDIA.
    Cuda = 2,
    /// Intel.
    Xpu = 3,
    /// AMD.
    Rocm = 4,
}

impl DeviceClass {
    /// Its lower-case name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Cpu => "cpu",
            Self::Cuda => "cuda",
            Self::Xpu => "xpu",
            Self::Rocm => "rocm",
        }
    }

    /// The class with a number on disk.
    pub const fn from_code(code: u8) -> Option<Self> {
        match code {
            1 => Some(Self::Cpu),
            2 => Some(Self::Cuda),
            3 => Some(Self::Xpu),
            4 => Some(Self::Rocm),
            _ => None,
        }
    }
}

/// An inference process as it announces itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewNode {
    /// Name, stable over restarts.
    pub name: String,
    /// This start of the process.
    pub incarnation: u64,
    /// What it does.
    pub kind: ModelKind,
    /// Models it serves.
    pub models: Vec<ModelId>,
    /// What really runs the graph.
    pub device_class: DeviceClass,
    /// How that is known.
    pub device_proof: String,
    /// Address at which it can be called; may be empty.
    pub address: String,
    /// Program version.
    pub version: String,
}

/// A node as the store knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// Its number.
    pub id: NodeId,
    /// What it said last.
    pub announced: NewNode,
    /// Whether it was heard of lately.
    pub online: bool,
    /// The store gives it nothing, because it failed everything.
    pub stopped: bool,
    /// The store gives it nothing, because a person said so.
    pub paused: bool,
    /// Leases it holds.
    pub leased: u32,
    /// When it was last heard of, unix milliseconds.
    pub last_seen_ms: i64,
}

/// A watcher as it announces itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewWatcher {
    /// Name, stable over restarts.
    pub name: String,
    /// This start of the process.
    pub incarnation: u64,
    /// Address of its media service.
    pub address: String,
    /// Directory of its samples on its machine; may be empty.
    pub sample_dir: Vec<u8>,
    /// Program version.
    pub version: String,
}

/// What a watcher is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct WatcherProgress {
    /// Files waiting to be read or rendered.
    pub pending: u64,
    /// Whether a scan is under way.
    pub scanning: bool,
    /// Files looked at by the present or last scan.
    pub scanned: u64,
}

/// A watcher as the store knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Watcher {
    /// Its number.
    pub id: WatcherId,
    /// What it said last.
    pub announced: NewWatcher,
    /// Whether it was heard of lately.
    pub online: bool,
    /// When it was last heard of, unix milliseconds.
    pub last_seen_ms: i64,
    /// What it is doing.
    pub progress: WatcherProgress,
}

/// A place to fetch a sample from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// The watcher.
    pub watcher: String,
    /// Address of its media service.
    pub address: String,
    /// Directory of its samples on its machine; may be empty.
    pub sample_dir: Vec<u8>,
}

/// When somebody was last heard of.
#[derive(Debug, Clone, Copy)]
struct Heard {
    now: Now,
    progress: WatcherProgress,
}

/// Who was heard of since the store started.
#[derive(Debug, Default)]
pub(crate) struct Presence {
    nodes: BTreeMap<NodeId, Heard>,
    watchers: BTreeMap<WatcherId, Heard>,
    /// Watchers that the lease protocol was told are online.
    told: std::collections::BTreeSet<WatcherId>,
}

impl Presence {
    fn online(heard: Option<&Heard>, now: Now) -> bool {
        heard.is_some_and(|h| now.mono_ms.saturating_sub(h.now.mono_ms) < OFFLINE_AFTER_MS)
    }

    fn watcher_online(&self, id: WatcherId, now: Now) -> bool {
        Self::online(self.watchers.get(&id), now)
    }
}

const NODE: &str = "SELECT id, name, incarnation, kind, models, device_class, device_proof, \
     address, version, last_seen_ms, stopped, paused FROM node WHERE forgotten = 0";

fn read_node(row: &Row<'_>) -> Result<Node, Error> {
    let id = row.get(0)?;
    let damaged = || Error::corrupt(format!("node {id} is unreadable"));
    let models: Vec<u8> = row.get(4)?;
    Ok(Node {
        id,
        announced: NewNode {
            name: row.get(1)?,
            incarnation: row.get::<_, i64>(2)?.cast_unsigned(),
            kind: ModelKind::from_code(row.get(3)?).ok_or_else(damaged)?,
            models: unpack_words(&models),
            device_class: DeviceClass::from_code(row.get(5)?).ok_or_else(damaged)?,
            device_proof: row.get(6)?,
            address: row.get(7)?,
            version: row.get(8)?,
        },
        online: false,
        stopped: row.get(10)?,
        paused: row.get(11)?,
        leased: 0,
        last_seen_ms: row.get(9)?,
    })
}

const WATCHER: &str =
    "SELECT id, name, incarnation, address, sample_dir, version, last_seen_ms FROM watcher";

fn read_watcher(row: &Row<'_>) -> Result<Watcher, Error> {
    Ok(Watcher {
        id: row.get(0)?,
        announced: NewWatcher {
            name: row.get(1)?,
            incarnation: row.get::<_, i64>(2)?.cast_unsigned(),
            address: row.get(3)?,
            sample_dir: row.get(4)?,
            version: row.get(5)?,
        },
        online: false,
        last_seen_ms: row.get(6)?,
        progress: WatcherProgress::default(),
    })
}

/// Small numbers side by side, four bytes each.
pub(crate) fn pack_words(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_le_bytes()).collect()
}

/// What [`pack_words`] made.
pub(crate) fn unpack_words(bytes: &[u8]) -> Vec<u32> {
    let (words, _) = bytes.as_chunks::<4>();
    words.iter().map(|word| u32::from_le_bytes(*word)).collect()
}

impl Store {
    /// All nodes by number, online or not.
    pub fn nodes(&self, now: Now) -> Result<Vec<Node>, Error> {
        let sql = format!("{NODE} ORDER BY id");
        let mut select = self.conn.prepare_cached(&sql)?;
        let mut nodes: Vec<Node> = select
            .query_and_then([], read_node)?
            .collect::<Result<_, _>>()?;
        for node in &mut nodes {
            let heard = self.presence.nodes.get(&node.id);
            node.online = Presence::online(heard, now);
            node.leased = self.leases.held(node.id) as u32;
            node.last_seen_ms = heard.map_or(node.last_seen_ms, |heard| heard.now.unix_ms);
        }
        Ok(nodes)
    }

    /// All watchers by number, online or not.
    pub fn watchers(&self, now: Now) -> Result<Vec<Watcher>, Error> {
        let sql = format!("{WATCHER} ORDER BY id");
        let mut select = self.conn.prepare_cached(&sql)?;
        let mut all: Vec<Watcher> = select
            .query_and_then([], read_watcher)?
            .collect::<Result<_, _>>()?;
        for watcher in &mut all {
            let heard = self.presence.watchers.get(&watcher.id);
            watcher.online = Presence::online(heard, now);
            watcher.last_seen_ms = heard.map_or(watcher.last_seen_ms, |h| h.now.unix_ms);
            watcher.progress = heard.map_or_else(WatcherProgress::default, |h| h.progress);
        }
        Ok(all)
    }

    /// The holder that a node's name and incarnation stand for. Whether the incarnation is today's
    /// is for the lease protocol to say.
    pub fn holder(&self, name: &str, incarnation: u64) -> Result<Holder, Error> {
        let mut select = self
            .conn
            .prepare_cached("SELECT id FROM node WHERE name = ?1 AND forgotten = 0")?;
        let node = select
            .query_row(params![name], |row| row.get(0))
            .optional()?;
        let node = node.ok_or_else(|| not_registered("node", name, incarnation))?;
        Ok(Holder { node, incarnation })
    }

    /// Up to three places to fetch a post's sample from: online watchers that hold the post.
    pub fn sources(&self, post: PostId, now: Now) -> Result<Vec<Source>, Error> {
        let holders = self.holders(post)?;
        let mut sources = Vec::new();
        let mut select = self
            .conn
            .prepare_cached("SELECT name, address, sample_dir FROM watcher WHERE id = ?1")?;
        let online = |id: &&WatcherId| self.presence.watcher_online(**id, now);
        for id in holders.iter().filter(online).take(3) {
            sources.push(select.query_row(params![id], |row| {
                Ok(Source {
                    watcher: row.get(0)?,
                    address: row.get(1)?,
                    sample_dir: row.get(2)?,
                })
            })?);
        }
        Ok(sources)
    }

    /// Watchers with a present location of a post, online or not.
    pub(crate) fn holders(&self, post: PostId) -> Result<Vec<WatcherId>, Error> {
        let mut select = self.conn.prepare_cached(
            "SELECT DISTINCT r.watcher FROM location l JOIN root r ON r.id = l.root \
             WHERE l.post = ?1 AND l.state = 1 ORDER BY r.watcher LIMIT 16",
        )?;
        let ids = select.query_map(params![post], |row| row.get(0))?;
        Ok(ids.collect::<Result<_, _>>()?)
    }
}

impl Write<'_> {
    /// Announces an inference process. A new incarnation tells that the old one is gone; returns
    /// how many tasks it had running, which are suspects now.
    pub fn register_node(&mut self, new: &NewNode, now: Now) -> Result<u32, Error> {
        check_name("node name", &new.name)?;
        for (what, text) in [
            ("device proof", &new.device_proof),
            ("address", &new.address),
            ("version", &new.version),
        ] {
            check_text(what, text)?;
        }
        for &id in &new.models {
            let model = self.model(id)?;
            if model.kind != new.kind {
                let name = format!("models/{id}");
                return Err(Error::invalid(
                    "model of node",
                    &name,
                    "it is of another kind",
                ));
            }
        }
        let id: NodeId = self
            .conn
            .prepare_cached(
                "INSERT INTO node (name, incarnation, kind, device_class, device_proof, address, \
                 version, last_seen_ms) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8) \
                 ON CONFLICT (name) DO UPDATE SET kind = excluded.kind, \
                 device_class = excluded.device_class, device_proof = excluded.device_proof, \
                 address = excluded.address, version = excluded.version, \
                 last_seen_ms = excluded.last_seen_ms, forgotten = 0 RETURNING id",
            )?
            .query_row(
                params![
                    new.name,
                    new.incarnation.cast_signed(),
                    new.kind.code(),
                    new.device_class as u8,
                    new.device_proof,
                    new.address,
                    new.version,
                    now.unix_ms,
                ],
                |row| row.get(0),
            )?;
        let holder = Holder {
            node: id,
            incarnation: new.incarnation,
        };
        let suspects = self.announce(holder, &new.models, now)?;
        self.heard_of_node(id, now);
        Ok(suspects)
    }

    /// Notes that a node is there.
    pub(crate) fn heard_of_node(&mut self, id: NodeId, now: Now) {
        let progress = WatcherProgress::default();
        self.store
            .presence
            .nodes
            .insert(id, Heard { now, progress });
    }

    /// Announces a watcher and its roots, which come back with their numbers in the same order.
    /// Roots of it that are not named stay known and are offline.
    pub fn register_watcher(
        &mut self,
        new: &NewWatcher,
        roots: &[WatchedRoot],
        now: Now,
    ) -> Result<Vec<Root>, Error> {
        check_name("watcher name", &new.name)?;
        check_text("address", &new.address)?;
        check_text("version", &new.version)?;
        let id: WatcherId = self
            .conn
            .prepare_cached(
                "INSERT INTO watcher (name, incarnation, address, sample_dir, version, \
                 last_seen_ms) VALUES (?1, ?2, ?3, ?4, ?5, ?6) \
                 ON CONFLICT (name) DO UPDATE SET incarnation = excluded.incarnation, \
                 address = excluded.address, sample_dir = excluded.sample_dir, \
                 version = excluded.version, last_seen_ms = excluded.last_seen_ms RETURNING id",
            )?
            .query_row(
                params![
                    new.name,
                    new.incarnation.cast_signed(),
                    new.address,
                    new.sample_dir,
                    new.version,
                    now.unix_ms,
                ],
                |row| row.get(0),
            )?;
        let ids = self.see_roots(id, roots)?;
        self.unwatch_others(id, &ids)?;
        self.heard_of_watcher(id, WatcherProgress::default(), now)?;
        ids.iter().map(|&root| self.root(root)).collect()
    }

    /// A watcher is alive. Takes in the state of its roots and returns files to look at again.
    pub fn heartbeat_watcher(
        &mut self,
        name: &str,
        incarnation: u64,
        roots: &[WatchedRoot],
        progress: WatcherProgress,
        now: Now,
    ) -> Result<Vec<(RootId, Vec<u8>)>, Error> {
        let id: Option<WatcherId> = self
            .conn
            .prepare_cached("SELECT id FROM watcher WHERE name = ?1 AND incarnation = ?2")?
            .query_row(params![name, incarnation.cast_signed()], |row| row.get(0))
            .optional()?;
        let id = id.ok_or_else(|| not_registered("watcher", name, incarnation))?;
        self.see_changed_roots(id, roots)?;
        self.heard_of_watcher(id, progress, now)?;
        self.take_retries(id, now)
    }

    /// Writes the roots only if something about them is new: a heartbeat that says nothing new
    /// costs no sync of the disk.
    fn see_changed_roots(&mut self, id: WatcherId, roots: &[WatchedRoot]) -> Result<(), Error> {
        let known = self.roots()?;
        let mine = || known.iter().filter(|root| root.watcher == id);
        let news: Vec<WatchedRoot> = roots
            .iter()
            .filter(|seen| !mine().any(|root| root.seen == **seen))
            .cloned()
            .collect();
        self.see_roots(id, &news).map(|_| ())
    }

    fn heard_of_watcher(
        &mut self,
        id: WatcherId,
        progress: WatcherProgress,
        now: Now,
    ) -> Result<(), Error> {
        self.store
            .presence
            .watchers
            .insert(id, Heard { now, progress });
        if self.store.presence.told.insert(id) {
            self.source_online(id, now)?;
        }
        Ok(())
    }

    /// Tells the lease protocol of watchers that fell silent.
    pub(crate) fn notice_silence(&mut self, now: Now) -> Result<(), Error> {
        let silent: Vec<WatcherId> = self
            .presence
            .told
            .iter()
            .copied()
            .filter(|&id| !self.presence.watcher_online(id, now))
            .collect();
        for id in silent {
            self.store.presence.told.remove(&id);
            self.source_offline(id, now)?;
        }
        Ok(())
    }

    /// Writes what the lease protocol keeps of a node.
    pub(crate) fn keep_node(&mut self, row: &NodeRow) -> Result<(), Error> {
        let retired: Vec<u8> = row.retired.iter().flat_map(|i| i.to_le_bytes()).collect();
        self.conn
            .prepare_cached(
                "UPDATE node SET incarnation = ?2, retired = ?3, models = ?4, stopped = ?5, \
                 paused = ?6 WHERE id = ?1",
            )?
            .execute(params![
                row.node,
                row.incarnation.cast_signed(),
                retired,
                pack_words(&row.queues),
                row.stopped,
                row.paused,
            ])?;
        Ok(())
    }
}

pub(crate) fn not_registered(noun: &'static str, name: &str, incarnation: u64) -> Error {
    Error::NotRegistered {
        noun,
        name: name.to_owned(),
        incarnation,
    }
}

fn check_text(what: &'static str, text: &str) -> Result<(), Error> {
    if text.len() > MAX_TEXT || text.chars().any(char::is_control) {
        return Err(Error::invalid(
            what,
            text,
            "at most 1000 bytes, no control characters",
        ));
    }
    Ok(())
}
