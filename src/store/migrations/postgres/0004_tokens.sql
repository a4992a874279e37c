-- Tokens that were minted here, without the tokens: so that they can be listed, and revoked without a look through the log.
CREATE TABLE minted_tokens (
    jti TEXT PRIMARY KEY,
    created_at BIGINT NOT NULL,
    tenant_id TEXT,
    subject TEXT NOT NULL,
    roles TEXT NOT NULL,
    projects TEXT,
    minted_by TEXT NOT NULL,
    exp BIGINT NOT NULL
);
CREATE INDEX minted_tokens_exp ON minted_tokens (exp);
CREATE INDEX minted_tokens_own ON minted_tokens (tenant_id, jti);
CREATE INDEX minted_tokens_subject ON minted_tokens (subject, jti);
SELECT portcullis_wall('minted_tokens', 'tenant_id');
GRANT SELECT, INSERT ON minted_tokens TO portcullis_app;

-- Row-level security holds for the owner too, which would find no row.
SET LOCAL ROLE portcullis_admin;
INSERT INTO minted_tokens (jti, created_at, tenant_id, subject, roles, projects, minted_by, exp)
    SELECT resource_id, at, tenant_id, after::jsonb ->> 'subject', (after::jsonb -> 'roles')::text,
        nullif((after::jsonb -> 'projects')::text, 'null'), actor, (after::jsonb ->> 'exp')::bigint
    FROM audit_log WHERE action = 'token.mint' AND resource_id IS NOT NULL AND after::jsonb ->> 'exp' IS NOT NULL
    ON CONFLICT (jti) DO NOTHING;
SET LOCAL ROLE portcullis_owner;

-- One for each filter of the audit log.
CREATE INDEX audit_log_tenant ON audit_log (tenant_id, at);
CREATE INDEX audit_log_action ON audit_log (action, at);
