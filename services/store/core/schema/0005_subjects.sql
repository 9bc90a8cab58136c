-- A node belongs to whoever registered it, so that no other token can act for it.

-- Name of that subject; empty for nodes from before, which belong to whoever registers them next.
ALTER TABLE node ADD COLUMN subject TEXT NOT NULL DEFAULT '';
