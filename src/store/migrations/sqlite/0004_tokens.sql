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

INSERT INTO minted_tokens (jti, created_at, tenant_id, subject, roles, projects, minted_by, exp)
    SELECT resource_id, at, tenant_id, after ->> '$.subject', after -> '$.roles', after -> '$.projects', actor,
        after ->> '$.exp'
    FROM audit_log WHERE action = 'token.mint' AND resource_id IS NOT NULL AND after ->> '$.exp' IS NOT NULL
    ON CONFLICT (jti) DO NOTHING;
UPDATE minted_tokens SET projects = NULL WHERE projects = 'null';

-- One for each filter of the audit log.
CREATE INDEX audit_log_tenant ON audit_log (tenant_id, at);
CREATE INDEX audit_log_action ON audit_log (action, at);
