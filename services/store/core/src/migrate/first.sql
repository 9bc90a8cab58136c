-- A library of the first schema, for the test of what leads on from it: one post at two places, a
-- prediction, a failed task, a tombstone, and numbers that were given out and are gone.
INSERT INTO meta VALUES ('epoch', 99);
INSERT INTO watcher VALUES (1, 'den', 1, '', x'', '', 0);
INSERT INTO root (id, watcher, path, kind, state, notice) VALUES (1, 1, x'2F61', 0, 1, '');
INSERT INTO tag VALUES (3, 'blue', 0);
INSERT INTO post VALUES (7, x'0101010101010101010101010101010101010101010101010101010101010101', zeroblob(16), 'image/png', 10, 4, 4, 1, 0, 0,
    zeroblob(32), '', 1, 9, zeroblob(32), 4, 4, 1000, 40, 0, x'03');
INSERT INTO tombstone VALUES (12, 6);
INSERT INTO location VALUES (2, 1, x'61', 7, 1, 10, 5, 6, 1, 2);
INSERT INTO location VALUES (5, 1, x'62', 7, 2, 10, 5, 6, 1, 3);
INSERT INTO location VALUES (9, 1, x'63', 7, 1, 10, 5, 6, 1, 4);
DELETE FROM location WHERE id = 9;
INSERT INTO model VALUES (1, 1, 'palette', zeroblob(32), zeroblob(12), 1, 1, 0, 0, 0, 0);
INSERT INTO node (id, name, incarnation, kind, device_class, device_proof, address, version,
    last_seen_ms) VALUES (1, 'one', 1, 1, 1, '', '', '', 0);
INSERT INTO prediction VALUES (7, 1, x'', x'', 1, 1, 1, 1, 1, 0);
