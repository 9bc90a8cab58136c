//! Brings a database file to the newest schema, one numbered step in one transaction each.

use std::path::Path;

use rusqlite::Connection;

use crate::Error;

/// All steps in order; step `n` leads from version `n` to `n + 1`. Append only.
const STEPS: &[&str] = &[
    include_str!("../schema/0001_init.sql"),
    include_str!("../schema/0002_facts.sql"),
    include_str!("../schema/0003_embeddings.sql"),
    include_str!("../schema/0004_trash_time.sql"),
    include_str!("../schema/0005_subjects.sql"),
];

/// `application_id` of our databases: "KUMO". The first step sets it.
const APPLICATION: u32 = 0x4b55_4d4f;

/// Applies the steps that `conn` lacks. A database newer than this program is refused untouched.
pub(crate) fn migrate(conn: &Connection, path: &Path) -> Result<(), Error> {
    let found: u32 = conn.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    let known = STEPS.len() as u32;
    refuse_foreign(conn, path)?;
    if found > known {
        return Err(Error::NewerSchema {
            path: path.to_owned(),
            found,
            known,
        });
    }
    for (version, step) in (1u32..).zip(STEPS).skip(found as usize) {
        let transaction = conn.unchecked_transaction()?;
        transaction.execute_batch(step)?;
        transaction.pragma_update(None, "user_version", version)?;
        transaction.commit()?;
    }
    Ok(())
}

/// Refuses a database that some other program made.
fn refuse_foreign(conn: &Connection, path: &Path) -> Result<(), Error> {
    let id: u32 = conn.query_row("PRAGMA application_id", [], |row| row.get(0))?;
    let things: u32 = conn.query_row("SELECT count(*) FROM sqlite_schema", [], |r| r.get(0))?;
    if id != APPLICATION && things > 0 {
        let path = path.display();
        return Err(Error::corrupt(format!("{path} is no Kumobooru database")));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::{NOW, at};
    use crate::location::{Held, LocationChange};
    use crate::post::NOT_MEASURED;
    use crate::{Options, Rating, Store};

    fn tables(conn: &Connection) -> i64 {
        conn.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))
            .unwrap()
    }

    #[test]
    fn a_new_database_gets_every_step_once() {
        let conn = Connection::open_in_memory().unwrap();
        migrate(&conn, Path::new("x")).unwrap();
        let first = tables(&conn);
        migrate(&conn, Path::new("x")).unwrap();
        assert_eq!(tables(&conn), first);
        let version: u32 = conn
            .query_row("PRAGMA user_version", [], |row| row.get(0))
            .unwrap();
        assert_eq!(version as usize, STEPS.len());
    }

    #[test]
    fn a_library_of_the_first_schema_keeps_everything() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("kumo.db");
        let old = Connection::open(&path).unwrap();
        old.pragma_update(None, "foreign_keys", true).unwrap();
        old.execute_batch(STEPS[0]).unwrap();
        old.pragma_update(None, "user_version", 1).unwrap();
        old.execute_batch(include_str!("migrate/first.sql"))
            .unwrap();
        drop(old);

        let mut store = Store::open(dir.path(), &Options::default(), NOW).unwrap();
        let post = store.post(7).unwrap().unwrap();
        assert_eq!((post.content.detail, post.trashed_ms), (NOT_MEASURED, None));
        assert_eq!((post.tags, post.rating), (vec![3], Some(Rating::General)));
        let places = store.root_locations(1, 0, 10).unwrap();
        let ids: Vec<u64> = places.iter().map(|place| place.id).collect();
        assert_eq!(ids, [2, 5]);
        assert!(places.iter().all(|place| place.held == Held::Post(7)));
        let root = store.root(1).unwrap();
        assert_eq!((root.present, root.missing), (1, 1));
        assert_eq!(store.stats().unwrap().locations_missing, 1);
        assert_eq!(store.cursor().seq, 40);

        // What was there goes on as before, and what is new works on it.
        let change = LocationChange::Present(at(1, "new.png"), [1; 32]);
        store.write(|w| w.update_locations(&[change], NOW)).unwrap();
        let last = store.root_locations(1, 0, 10).unwrap().pop().unwrap();
        assert_eq!(last.id, 10, "numbers go on behind all that were given out");
        assert_eq!(store.root(1).unwrap().present, 2);
        store.write(|w| w.trash_posts(&[7], NOW)).unwrap();
        store.write(|w| w.purge_posts(&[7], NOW)).unwrap();
        assert_eq!(store.rejected(None, 9).unwrap()[0].places.len(), 3);
        assert_eq!(store.root(1).unwrap().present, 2);
        let check: String = store
            .conn
            .query_row("PRAGMA integrity_check", [], |row| row.get(0))
            .unwrap();
        assert_eq!(check, "ok");
        let broken = store
            .conn
            .prepare("PRAGMA foreign_key_check")
            .unwrap()
            .exists([]);
        assert!(!broken.unwrap());
    }

    #[test]
    fn a_database_of_another_program_is_refused() {
        let conn = Connection::open_in_memory().unwrap();
        conn.execute_batch("CREATE TABLE theirs (x)").unwrap();
        let error = migrate(&conn, Path::new("x.db")).unwrap_err();
        assert!(
            error.to_string().contains("x.db is no Kumobooru"),
            "{error}"
        );
    }

    #[test]
    fn a_newer_database_is_refused_and_left_as_it_is() {
        let conn = Connection::open_in_memory().unwrap();
        conn.pragma_update(None, "user_version", 999).unwrap();
        let error = migrate(&conn, Path::new("lib/kumo.db")).unwrap_err();
        assert!(matches!(error, Error::NewerSchema { found: 999, .. }));
        assert!(error.to_string().contains("lib/kumo.db"), "{error}");
        assert_eq!(tables(&conn), 0);
    }
}
