-- When the newest row of a chain was: the next one is not before it, so that the log's order is the chain's.
ALTER TABLE audit_heads ADD COLUMN at BIGINT NOT NULL DEFAULT 0;
