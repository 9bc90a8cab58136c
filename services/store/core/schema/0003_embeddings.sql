-- Vectors by which pictures are compared.

-- Numbers in a vector of an embedding model; 0 for others.
ALTER TABLE model ADD COLUMN dimensions INTEGER NOT NULL DEFAULT 0;

-- One key, model * 2^32 + post, keeps the vectors of a model together in the order of posts: to
-- read all of them is one run through the table, and a vector of 512 numbers needs no page of its
-- own.
CREATE TABLE embedding (
    key             INTEGER PRIMARY KEY,
    render_revision INTEGER NOT NULL,
    device_class    INTEGER NOT NULL,
    node            INTEGER NOT NULL REFERENCES node (id),
    -- The lease under which it was delivered, so that a repeated delivery is recognised.
    token_epoch     INTEGER NOT NULL,
    token_counter   INTEGER NOT NULL,
    created_ms      INTEGER NOT NULL,
    -- IEEE 754 binary16, little-endian, of length 1.
    vector          BLOB    NOT NULL CHECK (length(vector) > 0)
) STRICT;
CREATE INDEX embedding_token ON embedding (token_counter);

CREATE TRIGGER embedding_added AFTER INSERT ON embedding BEGIN
    UPDATE model SET done = done + 1 WHERE id = NEW.key >> 32;
END;
CREATE TRIGGER embedding_removed AFTER DELETE ON embedding BEGIN
    UPDATE model SET done = done - 1 WHERE id = OLD.key >> 32;
END;

-- In place of a foreign key, which cannot name half of a number.
CREATE TRIGGER post_embedded_removed AFTER DELETE ON post BEGIN
    DELETE FROM embedding
    WHERE key IN (SELECT (model.id << 32) + OLD.id FROM model WHERE dimensions > 0);
END;
