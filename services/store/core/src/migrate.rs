//! Brings a database file to the newest schema, one numbered step in one transaction each.

use std::path::Path;

use rusqlite::Connection;

use crate::Error;

/// All steps in order; step `n` leads from version `n` to `n + 1`. Append only.
const STEPS: &[&str] = &[
    include_str!("../schema/0001_init.sql"),
    include_str!("../schema/0003_embeddings.sql"),
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
