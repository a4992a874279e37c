-- Keys that things had in the snapshot of a cluster until they were deleted, with the revision before. Gates of that
-- cluster are told that such a key is gone, gates of others never hear of it; and the name is free again after a time.
CREATE TABLE released_keys (
    tenant_id TEXT NOT NULL,
    cluster_id TEXT NOT NULL,
    kind TEXT NOT NULL,
    name TEXT NOT NULL,
    released_at BIGINT NOT NULL,
    revision BIGINT NOT NULL,
    PRIMARY KEY (kind, name, cluster_id, tenant_id)
);
CREATE INDEX released_keys_at ON released_keys (released_at);

-- The cluster that a gate's token is bound to.
ALTER TABLE minted_tokens ADD COLUMN cluster_id TEXT;

SELECT portcullis_wall('released_keys', 'tenant_id');
GRANT SELECT, INSERT, UPDATE ON released_keys TO portcullis_app;
GRANT SELECT ON released_keys TO portcullis_snapshot;
