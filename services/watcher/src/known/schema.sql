-- What this watcher has seen. Derived: any other version, or damage, and the file is thrown away
-- and rebuilt from the store's locations and a scan. Raise SCHEMA in known.rs with every change.
CREATE TABLE root (
    id INTEGER PRIMARY KEY,
    path BLOB NOT NULL UNIQUE,
    store_name TEXT NOT NULL DEFAULT '',
    dev INTEGER NOT NULL DEFAULT 0,
    ino INTEGER NOT NULL DEFAULT 0,
    -- Whether it was named at the last start.
    watched INTEGER NOT NULL DEFAULT 0
) STRICT;

CREATE TABLE dir (
    id INTEGER PRIMARY KEY,
    root INTEGER NOT NULL REFERENCES root(id),
    path BLOB NOT NULL,
    -- Number of the last scan that listed it.
    scan INTEGER NOT NULL DEFAULT 0,
    -- Whether the scan under way has yet to list it.
    todo INTEGER NOT NULL DEFAULT 0,
    UNIQUE (root, path)
) STRICT;
CREATE INDEX dir_todo ON dir (root, id) WHERE todo = 1;

-- One distinct content, and the checksums of what was rendered from it.
CREATE TABLE content (
    id INTEGER PRIMARY KEY,
    sha256 BLOB NOT NULL UNIQUE,
    media_type TEXT NOT NULL DEFAULT '',
    revision INTEGER NOT NULL DEFAULT 0,
    sample_bytes INTEGER NOT NULL DEFAULT 0,
    sample_sha256 BLOB NOT NULL DEFAULT x'',
    preview_bytes INTEGER NOT NULL DEFAULT 0,
    preview_sha256 BLOB NOT NULL DEFAULT x''
) STRICT;
CREATE INDEX content_sample ON content (id) WHERE sample_bytes > 0;

CREATE TABLE file (
    dir INTEGER NOT NULL REFERENCES dir(id),
    name BLOB NOT NULL,
    state INTEGER NOT NULL,
    dev INTEGER NOT NULL,
    ino INTEGER NOT NULL,
    size INTEGER NOT NULL,
    mtime_ns INTEGER NOT NULL,
    ctime_ns INTEGER NOT NULL,
    content INTEGER REFERENCES content(id),
    PRIMARY KEY (dir, name)
) STRICT, WITHOUT ROWID;
CREATE INDEX file_inode ON file (ino);
CREATE INDEX file_content ON file (content) WHERE content IS NOT NULL;
-- What lies on a disk. Without INDEXED BY, SQLite takes a device for as rare as an inode.
CREATE INDEX file_disk ON file (dev, dir, name);
-- Names that a file has left, as the store knows. An inode may have thousands of names.
CREATE INDEX file_missing ON file (ino) WHERE state = 4;
-- Files that are gone and of which the store has not been told.
CREATE INDEX file_absent ON file (dir) WHERE state = 3;
