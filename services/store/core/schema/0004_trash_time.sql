-- The trash goes by the store's running time, for a wall clock may be wrong; and waiting for
-- everything to be done does not wait for what is in the trash.

-- Running time of the store (`ran_ms` in `meta`) when it was put into the trash. What is there
-- already starts anew.
ALTER TABLE post ADD COLUMN trashed_ran_ms INTEGER;
UPDATE post SET trashed_ran_ms = 0 WHERE trashed_ms IS NOT NULL;
DROP INDEX post_trashed;
CREATE INDEX post_trashed ON post (trashed_ran_ms) WHERE trashed_ran_ms IS NOT NULL;

-- Of `done`, how many are about posts in the trash; kept by the triggers below.
ALTER TABLE model ADD COLUMN done_trashed INTEGER NOT NULL DEFAULT 0;
UPDATE model SET done_trashed = (
    SELECT count(*) FROM post WHERE trashed_ran_ms IS NOT NULL
    AND (EXISTS (SELECT 1 FROM prediction AS p WHERE p.post = post.id AND p.model = model.id)
         OR EXISTS (SELECT 1 FROM embedding WHERE key = (model.id << 32) + post.id)));

CREATE TRIGGER post_trash_moved AFTER UPDATE OF trashed_ran_ms ON post
WHEN (OLD.trashed_ran_ms IS NULL) <> (NEW.trashed_ran_ms IS NULL) BEGIN
    UPDATE model SET done_trashed = done_trashed + iif(NEW.trashed_ran_ms IS NULL, -1, 1)
    WHERE EXISTS (SELECT 1 FROM prediction AS p WHERE p.post = NEW.id AND p.model = model.id)
       OR EXISTS (SELECT 1 FROM embedding WHERE key = (model.id << 32) + NEW.id);
END;
CREATE TRIGGER prediction_added_trashed AFTER INSERT ON prediction
WHEN (SELECT trashed_ran_ms FROM post WHERE id = NEW.post) IS NOT NULL BEGIN
    UPDATE model SET done_trashed = done_trashed + 1 WHERE id = NEW.model;
END;
CREATE TRIGGER prediction_removed_trashed AFTER DELETE ON prediction
WHEN (SELECT trashed_ran_ms FROM post WHERE id = OLD.post) IS NOT NULL BEGIN
    UPDATE model SET done_trashed = done_trashed - 1 WHERE id = OLD.model;
END;
CREATE TRIGGER embedding_added_trashed AFTER INSERT ON embedding
WHEN (SELECT trashed_ran_ms FROM post WHERE id = NEW.key & 4294967295) IS NOT NULL BEGIN
    UPDATE model SET done_trashed = done_trashed + 1 WHERE id = NEW.key >> 32;
END;
CREATE TRIGGER embedding_removed_trashed AFTER DELETE ON embedding
WHEN (SELECT trashed_ran_ms FROM post WHERE id = OLD.key & 4294967295) IS NOT NULL BEGIN
    UPDATE model SET done_trashed = done_trashed - 1 WHERE id = OLD.key >> 32;
END;

-- Before the post, not after it: the triggers above ask whether it was in the trash.
DROP TRIGGER post_embedded_removed;
CREATE TRIGGER post_embedded_removed BEFORE DELETE ON post BEGIN
    DELETE FROM embedding
    WHERE key IN (SELECT (model.id << 32) + OLD.id FROM model WHERE dimensions > 0);
END;
