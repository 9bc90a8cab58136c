//! Whatever happens to a library in whatever order: nothing points at what is gone, counts are what
//! a count would find, what is found is what is there, and a new start finds the same.

use proptest::prelude::*;
use rusqlite::types::Value;

use crate::edit::{NewTag, PostEdit, RatingChange};
use crate::fixture::{NOW, Scene, along, at, claim, picture, result, sha256};
use crate::lease::{Claim, Holder};
use crate::location::LocationChange;
use crate::source_record::{NewRecord, RecordKey};
use crate::task::{Delivery, Outcome};
use crate::{Category, Error, ModelId, Now, PostId, Rating};

#[derive(Debug, Clone)]
enum Step {
    Register(u32, u8),
    Present(u32, u8),
    Missing(u8),
    Moved(u8),
    Lease(usize),
    Complete(usize, u32),
    Trash(PostId),
    Restore(PostId),
    Purge(PostId),
    Allow(u32),
    Edit(PostId, u32),
    Unedit(PostId, u32),
    Record(PostId, u32),
    Forget(PostId),
    Switch(usize),
    Upkeep,
    Days(u8),
    Reopen,
}

const NUMBERS: std::ops::Range<u32> = 0..8;
const POSTS: std::ops::Range<PostId> = 1..12;
const PATHS: std::ops::Range<u8> = 0..12;

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (NUMBERS, PATHS).prop_map(|(number, path)| Step::Register(number, path)),
        3 => (NUMBERS, PATHS).prop_map(|(number, path)| Step::Present(number, path)),
        1 => PATHS.prop_map(Step::Missing),
        1 => PATHS.prop_map(Step::Moved),
        4 => (0usize..3).prop_map(Step::Lease),
        5 => (0usize..9, 0u32..10).prop_map(|(claim, label)| Step::Complete(claim, label)),
        6 => POSTS.prop_map(Step::Trash),
        2 => POSTS.prop_map(Step::Restore),
        5 => POSTS.prop_map(Step::Purge),
        2 => NUMBERS.prop_map(Step::Allow),
        3 => (POSTS, 0u32..12).prop_map(|(post, tag)| Step::Edit(post, tag)),
        2 => (POSTS, 0u32..12).prop_map(|(post, tag)| Step::Unedit(post, tag)),
        3 => (POSTS, 0u32..12).prop_map(|(post, tag)| Step::Record(post, tag)),
        1 => POSTS.prop_map(Step::Forget),
        2 => (0usize..3).prop_map(Step::Switch),
        2 => Just(Step::Upkeep),
        1 => (1u8..40).prop_map(Step::Days),
        1 => Just(Step::Reopen),
    ]
}

/// A library, its nodes, and the leases they were ever given.
struct Play {
    scene: Scene,
    /// A tagger, and two embedders.
    models: [(ModelId, Holder); 3],
    leases: Vec<(usize, Claim)>,
    now: Now,
}

impl Play {
    fn new() -> Self {
        let mut scene = Scene::new();
        let ids = [
            scene.tagger(1).id,
            scene.embedder(1).id,
            scene.embedder(2).id,
        ];
        let mut number = 0;
        let models = ids.map(|id| {
            number += 1;
            (id, scene.node(number, 1, &[id]))
        });
        Self {
            scene,
            models,
            leases: Vec::new(),
            now: NOW,
        }
    }

    fn act(&mut self, step: &Step) {
        let (root, now) = (self.scene.root, self.now);
        let path = |path: &u8| at(root, &format!("{path}.png"));
        let outcome = match step {
            Step::Register(number, place) => {
                let mut new = picture(root, *number);
                new.location = path(place);
                let told = self.scene.write(|w| w.register_posts(&[new], now));
                told.map(drop)
            }
            Step::Present(number, place) => {
                let change = LocationChange::Present(path(place), sha256(*number));
                let told = self.scene.write(|w| w.update_locations(&[change], now));
                told.map(drop)
            }
            Step::Missing(place) | Step::Moved(place) => {
                let path = path(place).path;
                let change = match step {
                    Step::Moved(_) => LocationChange::Moved { root, path },
                    _ => LocationChange::Missing { root, path },
                };
                let told = self.scene.write(|w| w.update_locations(&[change], now));
                told.map(drop)
            }
            Step::Lease(model) => self.lease(*model),
            Step::Complete(lease, label) => self.complete(*lease, *label),
            Step::Trash(post) => self.scene.write(|w| w.trash_posts(&[*post], now)).map(drop),
            Step::Restore(post) => self.scene.write(|w| w.restore_posts(&[*post])).map(drop),
            Step::Purge(post) => self.scene.write(|w| w.purge_posts(&[*post], now)).map(drop),
            Step::Allow(number) => {
                let contents = [sha256(*number)];
                let told = self.scene.write(|w| w.allow_rejected(&contents, now));
                told.map(drop)
            }
            Step::Edit(post, tag) | Step::Unedit(post, tag) => {
                self.edit(*post, *tag, matches!(step, Step::Edit(..)))
            }
            Step::Record(post, tag) => {
                let tags = vec![(format!("tag_{tag}"), Category::General)];
                let source = format!("booru{}", tag % 2);
                let raw = vec![b'x'; *tag as usize];
                let rating = Some(Rating::Sensitive);
                let new = NewRecord::new(source, String::new(), tags, rating, raw, None).unwrap();
                let told = self
                    .scene
                    .write(|w| w.put_source_records(&[(*post, new)], now));
                told.map(drop)
            }
            Step::Forget(post) => {
                let key = RecordKey {
                    post: *post,
                    source: "booru1".to_owned(),
                    external_id: None,
                };
                self.scene
                    .write(|w| w.delete_source_records(&[key]))
                    .map(drop)
            }
            Step::Switch(model) => {
                let id = self.models[*model].0;
                match self.scene.model(id).unwrap().active {
                    true => self.scene.write(|w| w.deactivate_model(id)).map(drop),
                    false => self.scene.write(|w| w.activate_model(id, now)).map(drop),
                }
            }
            Step::Upkeep => self.scene.write(|w| w.upkeep(now)).map(drop),
            Step::Days(days) => {
                let ms = u64::from(*days) * 24 * 3_600_000;
                self.now.mono_ms += ms;
                self.now.unix_ms += ms.cast_signed();
                Ok(())
            }
            Step::Reopen => self.reopen(),
        };
        match outcome {
            // Most numbers are of posts that are not there, or not in the trash.
            Ok(()) | Err(Error::NotFound { .. } | Error::NotTrashed { .. }) => {}
            Err(error) => panic!("{step:?}: {error}"),
        }
    }

    fn lease(&mut self, model: usize) -> Result<(), Error> {
        let (id, holder) = self.models[model];
        let now = self.now;
        let (leased, _) = self.scene.write(|w| w.lease_tasks(holder, id, 2, now))?;
        let claims = leased.tasks.iter().map(|task| (model, claim(&task.grant)));
        self.leases.extend(claims);
        Ok(())
    }

    /// Delivers under one of the last leases, which may be lost since, or done.
    fn complete(&mut self, lease: usize, label: u32) -> Result<(), Error> {
        let Some(&(model, claim)) = self.leases.iter().rev().nth(lease) else {
            return Ok(());
        };
        let outcome: Outcome = match model {
            0 => result(&[(label, 0.9), (11, 0.5)]),
            _ => along(label as usize % 8),
        };
        let holder = self.models[model].1;
        let now = self.now;
        let before = self.results();
        let (told, _) = self
            .scene
            .write(|w| w.complete_task(holder, claim, &outcome, now))?;
        match told {
            Delivery::Accepted => {}
            Delivery::Repeated | Delivery::Stale => assert_eq!(self.results(), before),
            Delivery::Refused(refused) => panic!("{}", refused.message),
        }
        Ok(())
    }

    fn edit(&mut self, post: PostId, tag: u32, add: bool) -> Result<(), Error> {
        let name = format!("Tag {tag}");
        let mut edit = PostEdit {
            post,
            ..PostEdit::default()
        };
        if add {
            edit.rating = RatingChange::Set(Rating::Explicit);
            edit.add.push(NewTag {
                name,
                category: None,
            });
        } else if tag.is_multiple_of(2) {
            edit.remove.push(name);
        } else {
            edit.rating = RatingChange::Reset;
            edit.reset.push(name);
        }
        let now = self.now;
        self.scene
            .write(|w| w.edit_posts(&[edit], "ann", now))
            .map(drop)
    }

    fn reopen(&mut self) -> Result<(), Error> {
        let before = self.scene.dump();
        self.scene.reopen();
        assert_eq!(self.scene.dump(), before);
        Ok(())
    }

    fn results(&self) -> Vec<Vec<Value>> {
        self.rows("SELECT post, model FROM prediction UNION ALL SELECT key, 0 FROM embedding")
    }

    fn rows(&self, sql: &str) -> Vec<Vec<Value>> {
        let mut select = self.scene.conn.prepare(sql).unwrap();
        let width = select.column_count();
        let rows = select.query_map([], |row| (0..width).map(|at| row.get(at)).collect());
        rows.unwrap().map(Result::unwrap).collect()
    }

    fn check(&self) {
        for (what, sql) in [
            ("a reference to nothing", "PRAGMA foreign_key_check"),
            (
                "a vector of nothing",
                "SELECT key FROM embedding WHERE key & 0xffffffff NOT IN (SELECT id FROM post) \
                 OR key >> 32 NOT IN (SELECT id FROM model WHERE dimensions > 0)",
            ),
            (
                "a content both rejected and a post",
                "SELECT post.id FROM rejected JOIN post USING (sha256)",
            ),
            (
                "a number both of a post and of one that is gone",
                "SELECT id FROM post JOIN tombstone ON post = id",
            ),
            (
                "places counted wrong",
                "SELECT id FROM root WHERE \
                 present <> (SELECT count(*) FROM location WHERE root = root.id AND state = 1) \
                 OR missing <> (SELECT count(*) FROM location WHERE root = root.id AND state = 2)",
            ),
            (
                "results counted wrong",
                "SELECT id, done, done_trashed FROM model WHERE done <> \
                 (SELECT count(*) FROM prediction WHERE model = model.id) + \
                 (SELECT count(*) FROM embedding WHERE key >> 32 = model.id) \
                 OR done_trashed <> (SELECT count(*) FROM post WHERE trashed_ms IS NOT NULL AND \
                 (EXISTS (SELECT 1 FROM prediction WHERE post = post.id AND model = model.id) OR \
                 EXISTS (SELECT 1 FROM embedding WHERE key = (model.id << 32) + post.id)))",
            ),
            (
                "facts counted wrong",
                "SELECT fact, n FROM fact_count WHERE n <> CASE fact \
                 WHEN 'edit' THEN (SELECT count(*) FROM edit) + (SELECT count(*) FROM edit_rating) \
                 WHEN 'source_record' THEN (SELECT count(*) FROM source_record) \
                 ELSE (SELECT count(*) FROM rejected WHERE allowed_ms IS NULL) END",
            ),
            (
                "records counted wrong",
                "SELECT id FROM source WHERE records <> \
                 (SELECT count(*) FROM source_record WHERE source = source.id)",
            ),
            (
                "tasks counted wrong",
                "SELECT * FROM task_count WHERE n <> (SELECT count(*) FROM task \
                 WHERE task.model = task_count.model AND task.state = task_count.state \
                 AND task.priority = task_count.priority)",
            ),
        ] {
            assert_eq!(self.rows(sql), Vec::<Vec<Value>>::new(), "{what}");
        }
        for (query, trashed) in [("", "IS NULL"), ("status:trash", "IS NOT NULL")] {
            let sql = format!("SELECT id FROM post WHERE trashed_ms {trashed} ORDER BY id DESC");
            let found = self.scene.find(query).into_iter();
            let found: Vec<Vec<Value>> = found.map(|id| vec![Value::from(id)]).collect();
            assert_eq!(self.rows(&sql), found, "{query}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn no_history_leaves_anything_behind_or_counts_it_wrong(
        steps in proptest::collection::vec(step(), 1..80)
    ) {
        let mut play = Play::new();
        for step in &steps {
            play.act(step);
            play.check();
        }
        play.reopen().unwrap();
        while play.scene.run(|w| w.upkeep(play.now)) {}
        play.check();
    }
}
