//! Nodes: inference processes. Who they are is on disk; whether they are there is in memory.

use rusqlite::{OptionalExtension, Row, params};

use crate::error::at_most;
use crate::lease::{Holder, NodeRow};
use crate::model::{ModelKind, check_name};
use crate::packed::{pack_words, unpack_words};
use crate::store::{Store, Write};
use crate::{Error, ModelId, Now};

/// Number of a node.
pub type NodeId = u32;
/// Most models that one node serves.
pub const MAX_MODELS: usize = 64;
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

/// Who asks for a node: the name of his token in the auth file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subject {
    /// His name.
    pub name: String,
    /// Whether he may act for the nodes of others.
    pub admin: bool,
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

impl Store {
    /// All nodes by number, online or not.
    pub fn nodes(&self, now: Now) -> Result<Vec<Node>, Error> {
        let sql = format!("{NODE} ORDER BY id");
        let mut select = self.conn.prepare_cached(&sql)?;
        let mut nodes: Vec<Node> = select
            .query_and_then([], read_node)?
            .collect::<Result<_, _>>()?;
        for node in &mut nodes {
            node.online = self.presence.node_online(node.id, now);
            node.leased = self.leases.held(node.id) as u32;
            let seen = self.presence.node_seen_ms(node.id);
            node.last_seen_ms = seen.unwrap_or(node.last_seen_ms);
        }
        Ok(nodes)
    }

    /// The holder that a node's name and incarnation stand for. Whether the incarnation is today's
    /// is for the lease protocol to say.
    pub fn holder(&self, name: &str, incarnation: u64, subject: &Subject) -> Result<Holder, Error> {
        let known = self.known_node(name)?;
        let (node, owner) = known.ok_or_else(|| not_registered("node", name, incarnation))?;
        if !subject.may_act_for(&owner) {
            return Err(of_another(name, owner));
        }
        Ok(Holder { node, incarnation })
    }

    /// Number and subject of the node of a name.
    pub(crate) fn known_node(&self, name: &str) -> Result<Option<(NodeId, String)>, Error> {
        let mut select = self
            .conn
            .prepare_cached("SELECT id, subject FROM node WHERE name = ?1 AND forgotten = 0")?;
        let known = select.query_row(params![name], |row| Ok((row.get(0)?, row.get(1)?)));
        Ok(known.optional()?)
    }
}

impl Write<'_> {
    /// Announces an inference process. A new incarnation tells that the old one is gone; returns
    /// how many tasks it had running, which are suspects now.
    ///
    /// Its name belongs to `subject` from then on. Another may have it only while it is offline and
    /// holds nothing: then there is nothing to take over.
    pub fn register_node(
        &mut self,
        new: &NewNode,
        subject: &Subject,
        now: Now,
    ) -> Result<u32, Error> {
        check_name("node name", &new.name)?;
        if let Some((id, owner)) = self.known_node(&new.name)? {
            let busy = self.store.presence.node_online(id, now) || self.store.leases.held(id) > 0;
            if busy && !subject.may_act_for(&owner) {
                return Err(of_another(&new.name, owner));
            }
        }
        for (what, text) in [
            ("device proof", &new.device_proof),
            ("address", &new.address),
            ("version", &new.version),
        ] {
            check_text(what, text)?;
        }
        at_most("models of a node", new.models.len(), MAX_MODELS)?;
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
        let id = self.write_node(new, subject, now)?;
        let holder = Holder {
            node: id,
            incarnation: new.incarnation,
        };
        let suspects = self.announce(holder, &new.models, now)?;
        self.heard_of_node(id, now);
        Ok(suspects)
    }

    /// Updates before it inserts, so that coming back uses up no number. The incarnation of a known
    /// node is for the lease protocol to change.
    fn write_node(&mut self, new: &NewNode, subject: &Subject, now: Now) -> Result<NodeId, Error> {
        let bound = params![
            new.name,
            new.kind.code(),
            new.device_class as u8,
            new.device_proof,
            new.address,
            new.version,
            now.unix_ms,
            new.incarnation.cast_signed(),
            subject.name,
        ];
        let known = self
            .conn
            .prepare_cached(
                "UPDATE node SET kind = ?2, device_class = ?3, device_proof = ?4, address = ?5, \
                 version = ?6, last_seen_ms = ?7, incarnation = coalesce(incarnation, ?8), \
                 subject = ?9, forgotten = 0 WHERE name = ?1 RETURNING id",
            )?
            .query_row(bound, |row| row.get(0))
            .optional()?;
        if let Some(id) = known {
            return Ok(id);
        }
        Ok(self
            .conn
            .prepare_cached(
                "INSERT INTO node (name, kind, device_class, device_proof, address, version, \
                 last_seen_ms, incarnation, subject) \
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9) RETURNING id",
            )?
            .query_row(bound, |row| row.get(0))?)
    }

    /// Notes that a node is there.
    pub(crate) fn heard_of_node(&mut self, id: NodeId, now: Now) {
        self.store.presence.hear_node(id, now);
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

impl Subject {
    /// Whether he may act for a node that `owner` registered.
    fn may_act_for(&self, owner: &str) -> bool {
        self.admin || owner.is_empty() || owner == self.name
    }
}

fn of_another(name: &str, owner: String) -> Error {
    Error::NodeOfAnother {
        name: name.to_owned(),
        owner,
    }
}

pub(crate) fn not_registered(noun: &'static str, name: &str, incarnation: u64) -> Error {
    Error::NotRegistered {
        noun,
        name: name.to_owned(),
        incarnation,
    }
}

pub(crate) fn check_text(what: &'static str, text: &str) -> Result<(), Error> {
    if text.len() > MAX_TEXT || text.chars().any(char::is_control) {
        return Err(Error::invalid(
            what,
            text,
            "at most 1000 bytes, no control characters",
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::Subject;
    use crate::Error;
    use crate::fixture::{NOW, Scene, later, node};
    use crate::lease::TTL;
    use crate::presence::NODE_OFFLINE_AFTER_MS;

    fn subject(name: &str, admin: bool) -> Subject {
        Subject {
            name: name.to_owned(),
            admin,
        }
    }

    #[test]
    fn nobody_acts_for_the_node_of_another_while_it_has_something_to_lose() {
        let mut scene = Scene::new();
        let model = scene.tagger(1).id;
        scene.register([1]);
        let (den, thief) = (subject("den", false), subject("thief", false));
        let mut new = node(1, 7, &[model]);
        scene.run(|w| w.register_node(&new, &den, NOW));
        let holder = scene.holder(&new.name, 7, &den).unwrap();
        assert_eq!(scene.lease(holder, model, 1).tasks.len(), 1);

        let refused = scene.holder(&new.name, 7, &thief).unwrap_err();
        assert!(matches!(refused, Error::NodeOfAnother { .. }), "{refused}");
        assert!(refused.to_string().contains("den"), "{refused}");
        scene.holder(&new.name, 7, &subject("root", true)).unwrap();
        new.incarnation = 8;
        // There, or silent for long while its leases have not been taken back yet.
        for when in [NOW, later(NODE_OFFLINE_AFTER_MS + 1)] {
            let refused = scene.write(|w| w.register_node(&new, &thief, when));
            assert!(matches!(refused, Err(Error::NodeOfAnother { .. })));
            scene.holder(&new.name, 7, &den).unwrap();
        }

        // Then there is nothing to take over, and the name is free.
        let free = later(NODE_OFFLINE_AFTER_MS + TTL + 1);
        scene.run(|w| w.tick(free));
        scene.run(|w| w.register_node(&new, &thief, free));
        let refused = scene.holder(&new.name, 7, &den).unwrap_err();
        assert!(matches!(refused, Error::NodeOfAnother { .. }), "{refused}");
        scene.reopen();
        scene.holder(&new.name, 8, &thief).unwrap();
        assert!(
            scene.holder(&new.name, 8, &den).is_err(),
            "also after a restart"
        );
    }

    #[test]
    fn a_node_from_before_belongs_to_whoever_registers_it_next() {
        let mut scene = Scene::new();
        let model = scene.tagger(1).id;
        let (den, other) = (subject("den", false), subject("other", false));
        let new = node(1, 7, &[model]);
        scene.run(|w| w.register_node(&new, &den, NOW));
        scene
            .conn
            .execute("UPDATE node SET subject = ''", [])
            .unwrap();
        scene.holder(&new.name, 7, &other).unwrap();
        scene.run(|w| w.register_node(&new, &other, NOW));
        assert!(scene.holder(&new.name, 7, &den).is_err());
    }
}
