-- What people and boorus say, the trash, and what was thrown away for good.

-- How much there was to hash, as the renderer measured it; 65535: not measured.
ALTER TABLE post ADD COLUMN detail INTEGER NOT NULL DEFAULT 65535;
-- When it was put into the trash.
ALTER TABLE post ADD COLUMN trashed_ms INTEGER;
CREATE INDEX post_trashed ON post (trashed_ms) WHERE trashed_ms IS NOT NULL;

-- Numbers of rows that nobody wants to count one by one; kept by the triggers below.
CREATE TABLE fact_count (
    fact TEXT    NOT NULL PRIMARY KEY,
    n    INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
INSERT INTO fact_count (fact, n) VALUES ('edit', 0), ('source_record', 0), ('rejected', 0);

-- What a person said of a tag on a post: the last word of anybody.
CREATE TABLE edit (
    post      INTEGER NOT NULL REFERENCES post (id),
    tag       INTEGER NOT NULL REFERENCES tag (id),
    -- 1: the post does not have it; 0: it has it.
    removed   INTEGER NOT NULL,
    editor    TEXT    NOT NULL,
    edited_ms INTEGER NOT NULL,
    PRIMARY KEY (post, tag)
) STRICT, WITHOUT ROWID;
CREATE TRIGGER edit_added AFTER INSERT ON edit BEGIN
    UPDATE fact_count SET n = n + 1 WHERE fact = 'edit';
END;
CREATE TRIGGER edit_removed AFTER DELETE ON edit BEGIN
    UPDATE fact_count SET n = n - 1 WHERE fact = 'edit';
END;

CREATE TABLE edit_rating (
    post      INTEGER PRIMARY KEY REFERENCES post (id),
    rating    INTEGER NOT NULL,
    editor    TEXT    NOT NULL,
    edited_ms INTEGER NOT NULL
) STRICT;
CREATE TRIGGER edit_rating_added AFTER INSERT ON edit_rating BEGIN
    UPDATE fact_count SET n = n + 1 WHERE fact = 'edit';
END;
CREATE TRIGGER edit_rating_removed AFTER DELETE ON edit_rating BEGIN
    UPDATE fact_count SET n = n - 1 WHERE fact = 'edit';
END;

-- A booru, or anything else that says something of posts. Numbers ascend with acquaintance.
CREATE TABLE source (
    id       INTEGER PRIMARY KEY AUTOINCREMENT,
    name     TEXT    NOT NULL UNIQUE,
    priority INTEGER NOT NULL,
    -- Kept by the triggers below.
    records  INTEGER NOT NULL DEFAULT 0
) STRICT;

CREATE TABLE source_record (
    id          INTEGER PRIMARY KEY,
    post        INTEGER NOT NULL REFERENCES post (id),
    source      INTEGER NOT NULL REFERENCES source (id),
    external_id TEXT    NOT NULL,
    rating      INTEGER,
    fetched_ms  INTEGER NOT NULL,
    -- Tags as ascending numbers, packed as in `post`.
    tags        BLOB    NOT NULL,
    -- As received. Last, so that nobody who wants the rest reads its pages.
    raw         BLOB    NOT NULL,
    UNIQUE (post, source, external_id)
) STRICT;
CREATE TRIGGER source_record_added AFTER INSERT ON source_record BEGIN
    UPDATE source SET records = records + 1 WHERE id = NEW.source;
    UPDATE fact_count SET n = n + 1 WHERE fact = 'source_record';
END;
CREATE TRIGGER source_record_removed AFTER DELETE ON source_record BEGIN
    UPDATE source SET records = records - 1 WHERE id = OLD.source;
    UPDATE fact_count SET n = n - 1 WHERE fact = 'source_record';
END;

-- Contents that a person threw away for good.
CREATE TABLE rejected (
    id          INTEGER PRIMARY KEY AUTOINCREMENT,
    sha256      BLOB    NOT NULL UNIQUE CHECK (length(sha256) = 32),
    rejected_ms INTEGER NOT NULL,
    -- Set once it may come back; the row goes when it has become a post again.
    allowed_ms  INTEGER
) STRICT;
CREATE TRIGGER rejected_added AFTER INSERT ON rejected BEGIN
    UPDATE fact_count SET n = n + 1 WHERE fact = 'rejected';
END;
CREATE TRIGGER rejected_allowed AFTER UPDATE OF allowed_ms ON rejected BEGIN
    UPDATE fact_count SET n = n + (NEW.allowed_ms IS NULL) - (OLD.allowed_ms IS NULL)
    WHERE fact = 'rejected';
END;
CREATE TRIGGER rejected_removed AFTER DELETE ON rejected BEGIN
    UPDATE fact_count SET n = n - (OLD.allowed_ms IS NULL) WHERE fact = 'rejected';
END;

-- A place holds a post or a rejected content: places of both are known, so that counts stay whole
-- and a watcher need not look at them again (docs/adr/0004). SQLite cannot take a NOT NULL away,
-- so the table is written anew; its numbers stay, for lists are paged by them.
CREATE TABLE location_2 (
    id           INTEGER PRIMARY KEY AUTOINCREMENT,
    root         INTEGER NOT NULL REFERENCES root (id),
    path         BLOB    NOT NULL,
    post         INTEGER REFERENCES post (id),
    rejected     INTEGER REFERENCES rejected (id),
    state        INTEGER NOT NULL,
    byte_size    INTEGER NOT NULL,
    mtime_ns     INTEGER NOT NULL,
    ctime_ns     INTEGER NOT NULL,
    dev          INTEGER NOT NULL,
    ino          INTEGER NOT NULL,
    -- Set while its content is allowed again and has yet to be read: when its watcher is next told.
    retry_due_ms INTEGER,
    UNIQUE (root, path),
    CHECK ((post IS NULL) <> (rejected IS NULL))
) STRICT;
INSERT INTO location_2 (id, root, path, post, state, byte_size, mtime_ns, ctime_ns, dev, ino)
    SELECT id, root, path, post, state, byte_size, mtime_ns, ctime_ns, dev, ino FROM location;
UPDATE sqlite_sequence SET seq = max(seq, coalesce(
    (SELECT seq FROM sqlite_sequence WHERE name = 'location'), 0)) WHERE name = 'location_2';
DROP TABLE location;
ALTER TABLE location_2 RENAME TO location;
CREATE INDEX location_post ON location (post) WHERE post IS NOT NULL;
CREATE INDEX location_rejected ON location (rejected) WHERE rejected IS NOT NULL;
CREATE INDEX location_root ON location (root);
CREATE INDEX location_retry ON location (root, retry_due_ms) WHERE retry_due_ms IS NOT NULL;

CREATE TRIGGER location_added AFTER INSERT ON location BEGIN
    UPDATE root SET present = present + (NEW.state = 1), missing = missing + (NEW.state = 2)
    WHERE id = NEW.root;
END;
CREATE TRIGGER location_moved AFTER UPDATE OF state ON location WHEN OLD.state <> NEW.state BEGIN
    UPDATE root SET present = present + (NEW.state = 1) - (OLD.state = 1),
                    missing = missing + (NEW.state = 2) - (OLD.state = 2)
    WHERE id = NEW.root;
END;
CREATE TRIGGER location_removed AFTER DELETE ON location BEGIN
    UPDATE root SET present = present - (OLD.state = 1), missing = missing - (OLD.state = 2)
    WHERE id = OLD.root;
END;
