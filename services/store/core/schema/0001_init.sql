-- The whole of the first schema. Numbered files are append-only: a released one is never edited.
--
-- Conventions: times are unix milliseconds; hashes and paths are BLOBs of raw bytes; 64-bit
-- unsigned numbers (epochs, incarnations) keep their bits in a signed column; enums are small
-- integers whose meaning stands beside their Rust type.

-- "KUMO": tells our databases from others.
PRAGMA application_id = 0x4b554d4f;

CREATE TABLE meta (
    key   TEXT NOT NULL PRIMARY KEY,
    value INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- One distinct file content. AUTOINCREMENT, so that a number is never given out twice.
CREATE TABLE post (
    id              INTEGER PRIMARY KEY AUTOINCREMENT,
    sha256          BLOB    NOT NULL UNIQUE CHECK (length(sha256) = 32),
    md5             BLOB    NOT NULL CHECK (length(md5) = 16),
    media_type      TEXT    NOT NULL,
    byte_size       INTEGER NOT NULL,
    width           INTEGER NOT NULL,
    height          INTEGER NOT NULL,
    frames          INTEGER NOT NULL,
    has_alpha       INTEGER NOT NULL,
    partial         INTEGER NOT NULL,
    perceptual_hash BLOB    NOT NULL CHECK (length(perceptual_hash) = 32),
    colours         TEXT    NOT NULL,
    render_revision INTEGER NOT NULL,
    sample_size     INTEGER NOT NULL,
    sample_sha256   BLOB    NOT NULL CHECK (length(sample_sha256) = 32),
    sample_width    INTEGER NOT NULL,
    sample_height   INTEGER NOT NULL,
    created_ms      INTEGER NOT NULL,
    changed_seq     INTEGER NOT NULL,
    -- Derived from the facts; kept so that pages and start-up need not derive them again.
    rating          INTEGER,
    tags            BLOB    NOT NULL DEFAULT x''
) STRICT;
CREATE INDEX post_md5 ON post (md5);
CREATE UNIQUE INDEX post_changed ON post (changed_seq);

-- Posts that are gone; with post.changed_seq this is the whole feed.
CREATE TABLE tombstone (
    seq  INTEGER PRIMARY KEY,
    post INTEGER NOT NULL UNIQUE
) STRICT;

CREATE TABLE watcher (
    id           INTEGER PRIMARY KEY AUTOINCREMENT,
    name         TEXT    NOT NULL UNIQUE,
    incarnation  INTEGER NOT NULL,
    address      TEXT    NOT NULL,
    sample_dir   BLOB    NOT NULL,
    version      TEXT    NOT NULL,
    last_seen_ms INTEGER NOT NULL
) STRICT;

CREATE TABLE root (
    id      INTEGER PRIMARY KEY AUTOINCREMENT,
    watcher INTEGER NOT NULL REFERENCES watcher (id),
    path    BLOB    NOT NULL,
    kind    INTEGER NOT NULL,
    state   INTEGER NOT NULL,
    notice  TEXT    NOT NULL,
    -- Kept by the triggers below.
    present INTEGER NOT NULL DEFAULT 0,
    missing INTEGER NOT NULL DEFAULT 0,
    UNIQUE (watcher, path)
) STRICT;

CREATE TABLE location (
    id        INTEGER PRIMARY KEY AUTOINCREMENT,
    root      INTEGER NOT NULL REFERENCES root (id),
    path      BLOB    NOT NULL,
    post      INTEGER NOT NULL REFERENCES post (id),
    state     INTEGER NOT NULL,
    byte_size INTEGER NOT NULL,
    mtime_ns  INTEGER NOT NULL,
    ctime_ns  INTEGER NOT NULL,
    dev       INTEGER NOT NULL,
    ino       INTEGER NOT NULL,
    UNIQUE (root, path)
) STRICT;
CREATE INDEX location_post ON location (post);
CREATE INDEX location_root ON location (root);

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

-- Files that could not become posts.
CREATE TABLE ingest_failure (
    id           INTEGER PRIMARY KEY AUTOINCREMENT,
    root         INTEGER NOT NULL REFERENCES root (id),
    path         BLOB    NOT NULL,
    byte_size    INTEGER NOT NULL,
    mtime_ns     INTEGER NOT NULL,
    sha256       BLOB,
    reason       TEXT    NOT NULL,
    message      TEXT    NOT NULL,
    created_ms   INTEGER NOT NULL,
    updated_ms   INTEGER NOT NULL,
    -- Set while a person wants it tried again: when it is next told to the watcher.
    retry_due_ms INTEGER,
    UNIQUE (root, path)
) STRICT;
CREATE INDEX ingest_failure_retry ON ingest_failure (root, retry_due_ms)
    WHERE retry_due_ms IS NOT NULL;

CREATE TABLE tag (
    id       INTEGER PRIMARY KEY AUTOINCREMENT,
    name     TEXT    NOT NULL UNIQUE,
    category INTEGER NOT NULL
) STRICT;

CREATE TABLE model (
    id            INTEGER PRIMARY KEY AUTOINCREMENT,
    kind          INTEGER NOT NULL,
    name          TEXT    NOT NULL,
    revision      BLOB    NOT NULL UNIQUE CHECK (length(revision) = 32),
    -- Confidence in 1/65535 for each category, in the order of their codes; two bytes each.
    thresholds    BLOB    NOT NULL,
    active        INTEGER NOT NULL,
    -- Of several active models of a kind, the one whose rating counts.
    preferred     INTEGER NOT NULL,
    -- A person stopped leasing of its tasks.
    paused        INTEGER NOT NULL,
    -- The backfill goes down from the newest post of its activation; 0 when it is through.
    backfill_next INTEGER NOT NULL,
    -- Posts that have a result of it; kept by the triggers below.
    done          INTEGER NOT NULL DEFAULT 0,
    created_ms    INTEGER NOT NULL
) STRICT;

-- Apart from `model`, because it is up to 800 kB and seldom read.
CREATE TABLE model_labels (
    model  INTEGER PRIMARY KEY REFERENCES model (id),
    labels BLOB    NOT NULL
) STRICT;

CREATE TABLE node (
    id           INTEGER PRIMARY KEY AUTOINCREMENT,
    name         TEXT    NOT NULL UNIQUE,
    incarnation  INTEGER NOT NULL,
    kind         INTEGER NOT NULL,
    device_class INTEGER NOT NULL,
    device_proof TEXT    NOT NULL,
    address      TEXT    NOT NULL,
    version      TEXT    NOT NULL,
    last_seen_ms INTEGER NOT NULL,
    -- What the lease protocol keeps of it: former incarnations (8 bytes each), models (4 each).
    retired      BLOB    NOT NULL DEFAULT x'',
    models       BLOB    NOT NULL DEFAULT x'',
    stopped      INTEGER NOT NULL DEFAULT 0,
    paused       INTEGER NOT NULL DEFAULT 0,
    -- Forgotten nodes keep their row, because predictions name them.
    forgotten    INTEGER NOT NULL DEFAULT 0
) STRICT;

-- One unit of inference. A row exists only while queued, leased, parked or failed; that a
-- prediction stands is the proof that it was done.
CREATE TABLE task (
    id            INTEGER PRIMARY KEY AUTOINCREMENT,
    post          INTEGER NOT NULL REFERENCES post (id),
    model         INTEGER NOT NULL REFERENCES model (id),
    state         INTEGER NOT NULL,
    -- 0: of a new post; 1: of a backfill.
    priority      INTEGER NOT NULL,
    attempts      INTEGER NOT NULL DEFAULT 0,
    crashes       INTEGER NOT NULL DEFAULT 0,
    alone         INTEGER NOT NULL DEFAULT 0,
    running       INTEGER NOT NULL DEFAULT 0,
    -- Who holds it; of a queued task, who fell silent while running it; of a failed one, who
    -- failed it.
    node          INTEGER REFERENCES node (id),
    incarnation   INTEGER,
    token_epoch   INTEGER,
    token_counter INTEGER,
    -- Of a parked task: watchers it waits for, 4 bytes each.
    holders       BLOB,
    reason        TEXT,
    message       TEXT,
    traceparent   TEXT,
    created_ms    INTEGER NOT NULL,
    updated_ms    INTEGER NOT NULL,
    UNIQUE (post, model)
) STRICT;
CREATE INDEX task_queue ON task (model, state, priority, id);
CREATE INDEX task_state ON task (state, id);
CREATE INDEX task_ran ON task (id) WHERE state = 0 AND node IS NOT NULL;

CREATE TABLE task_count (
    model    INTEGER NOT NULL REFERENCES model (id),
    state    INTEGER NOT NULL,
    priority INTEGER NOT NULL,
    n        INTEGER NOT NULL,
    PRIMARY KEY (model, state, priority)
) STRICT, WITHOUT ROWID;

CREATE TRIGGER task_added AFTER INSERT ON task BEGIN
    INSERT INTO task_count (model, state, priority, n) VALUES (NEW.model, NEW.state, NEW.priority, 1)
    ON CONFLICT DO UPDATE SET n = n + 1;
END;
CREATE TRIGGER task_moved AFTER UPDATE OF state ON task WHEN OLD.state <> NEW.state BEGIN
    UPDATE task_count SET n = n - 1
    WHERE model = OLD.model AND state = OLD.state AND priority = OLD.priority;
    INSERT INTO task_count (model, state, priority, n) VALUES (NEW.model, NEW.state, NEW.priority, 1)
    ON CONFLICT DO UPDATE SET n = n + 1;
END;
CREATE TRIGGER task_removed AFTER DELETE ON task BEGIN
    UPDATE task_count SET n = n - 1
    WHERE model = OLD.model AND state = OLD.state AND priority = OLD.priority;
END;

CREATE TABLE prediction (
    post            INTEGER NOT NULL REFERENCES post (id),
    model           INTEGER NOT NULL REFERENCES model (id),
    labels          BLOB    NOT NULL,
    ratings         BLOB    NOT NULL,
    render_revision INTEGER NOT NULL,
    device_class    INTEGER NOT NULL,
    node            INTEGER NOT NULL REFERENCES node (id),
    -- The lease under which it was delivered, so that a repeated delivery is recognised.
    token_epoch     INTEGER NOT NULL,
    token_counter   INTEGER NOT NULL,
    created_ms      INTEGER NOT NULL,
    PRIMARY KEY (post, model)
) STRICT, WITHOUT ROWID;
CREATE INDEX prediction_token ON prediction (token_counter);

CREATE TRIGGER prediction_added AFTER INSERT ON prediction BEGIN
    UPDATE model SET done = done + 1 WHERE id = NEW.model;
END;
CREATE TRIGGER prediction_removed AFTER DELETE ON prediction BEGIN
    UPDATE model SET done = done - 1 WHERE id = OLD.model;
END;
