//! Watchers: who they are, their roots, and which of them can hand out a post's sample.

use rusqlite::{OptionalExtension, Row, params};

use crate::model::check_name;
use crate::node::{check_text, not_registered};
use crate::root::{MAX_PATH, Root, WatchedRoot};
use crate::store::{Store, Write};
use crate::{Error, Now, PostId, RootId};

/// Number of a watcher.
pub type WatcherId = u32;

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

impl Store {
    /// All watchers by number, online or not.
    pub fn watchers(&self, now: Now) -> Result<Vec<Watcher>, Error> {
        let sql = format!("{WATCHER} ORDER BY id");
        let mut select = self.conn.prepare_cached(&sql)?;
        let mut all: Vec<Watcher> = select
            .query_and_then([], read_watcher)?
            .collect::<Result<_, _>>()?;
        for watcher in &mut all {
            watcher.online = self.presence.watcher_online(watcher.id, now);
            if let Some(heard) = self.presence.watcher(watcher.id) {
                watcher.last_seen_ms = heard.now.unix_ms;
                watcher.progress = heard.progress;
            }
        }
        Ok(all)
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
    /// Announces a watcher and its roots, which come back with their numbers in the same order.
    /// Roots of it that are not named stay known and are offline.
    pub fn register_watcher(
        &mut self,
        new: &NewWatcher,
        roots: &[WatchedRoot],
        now: Now,
    ) -> Result<Vec<Root>, Error> {
        check_name("watcher name", &new.name)?;
        if new.sample_dir.len() > MAX_PATH {
            let shown = String::from_utf8_lossy(&new.sample_dir);
            return Err(Error::invalid(
                "sample directory",
                &shown,
                "at most 4096 bytes",
            ));
        }
        check_text("address", &new.address)?;
        check_text("version", &new.version)?;
        let id = self.write_watcher(new, now)?;
        let ids = self.see_roots(id, roots)?;
        self.unwatch_others(id, &ids)?;
        self.heard_of_watcher(id, WatcherProgress::default(), now)?;
        ids.iter().map(|&root| self.root(root)).collect()
    }

    /// Updates before it inserts, so that coming back uses up no number.
    fn write_watcher(&mut self, new: &NewWatcher, now: Now) -> Result<WatcherId, Error> {
        let bound = params![
            new.name,
            new.incarnation.cast_signed(),
            new.address,
            new.sample_dir,
            new.version,
            now.unix_ms,
        ];
        let known = self
            .conn
            .prepare_cached(
                "UPDATE watcher SET incarnation = ?2, address = ?3, sample_dir = ?4, \
                 version = ?5, last_seen_ms = ?6 WHERE name = ?1 RETURNING id",
            )?
            .query_row(bound, |row| row.get(0))
            .optional()?;
        if let Some(id) = known {
            return Ok(id);
        }
        Ok(self
            .conn
            .prepare_cached(
                "INSERT INTO watcher (name, incarnation, address, sample_dir, version, \
                 last_seen_ms) VALUES (?1, ?2, ?3, ?4, ?5, ?6) RETURNING id",
            )?
            .query_row(bound, |row| row.get(0))?)
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
        let mut retries = self.take_retries(id, now)?;
        retries.append(&mut self.take_allowed(id, now)?);
        Ok(retries)
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
        self.store.presence.hear_watcher(id, progress, now);
        self.source_online(id, now)
    }

    /// Tells the lease protocol of watchers that fell silent.
    pub(crate) fn notice_silence(&mut self, now: Now) -> Result<(), Error> {
        for id in self.store.presence.take_silent(now) {
            self.source_offline(id, now)?;
        }
        Ok(())
    }
}
