-- The digest of all changes up to a revision: each is that of the digest before it and of its own patch. Two histories of
-- one ledger, which a restored copy begins, have different ones from where they part.
ALTER TABLE ledger ADD COLUMN digest TEXT NOT NULL DEFAULT '';
ALTER TABLE changes ADD COLUMN digest TEXT NOT NULL DEFAULT '';
