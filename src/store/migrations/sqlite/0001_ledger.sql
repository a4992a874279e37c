-- Every table of the ledger. Ids are UUIDs and times unix milliseconds, both made by the program; documents and lists are
-- JSON text; flags are 0 and 1. The same tables and columns stand in ../postgres, which a test compares.
--
-- A row in the wrong tenant is impossible: what belongs to a project, an app or a cluster of a tenant refers to it
-- together with the tenant.

CREATE TABLE clusters (
    id TEXT PRIMARY KEY,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    version BIGINT NOT NULL DEFAULT 1,
    name TEXT NOT NULL,
    display_name TEXT NOT NULL DEFAULT '',
    labels TEXT NOT NULL DEFAULT '{}',
    kubeconfig_enc BLOB,
    dek_enc BLOB,
    capsule_proxy_url TEXT,
    capsule_proxy_ca TEXT,
    CONSTRAINT clusters_name UNIQUE (name),
    CONSTRAINT clusters_kubeconfig CHECK ((kubeconfig_enc IS NULL) = (dek_enc IS NULL))
);

CREATE TABLE plans (
    id TEXT PRIMARY KEY,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    version BIGINT NOT NULL DEFAULT 1,
    name TEXT NOT NULL,
    description TEXT NOT NULL DEFAULT '',
    quotas TEXT NOT NULL DEFAULT '{}',
    limits TEXT NOT NULL DEFAULT '{}',
    policysets TEXT NOT NULL DEFAULT '[]',
    CONSTRAINT plans_name UNIQUE (name)
);

CREATE TABLE tenants (
    id TEXT PRIMARY KEY,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    version BIGINT NOT NULL DEFAULT 1,
    slug TEXT NOT NULL,
    display_name TEXT NOT NULL DEFAULT '',
    owners TEXT NOT NULL DEFAULT '[]',
    labels TEXT NOT NULL DEFAULT '{}',
    annotations TEXT NOT NULL DEFAULT '{}',
    plan_id TEXT REFERENCES plans (id),
    quotas TEXT NOT NULL DEFAULT '{}',
    limits TEXT NOT NULL DEFAULT '{}',
    network_policies TEXT NOT NULL DEFAULT '[]',
    registries TEXT,
    narrowed_registries TEXT,
    dev_group TEXT NOT NULL,
    status TEXT NOT NULL DEFAULT 'active',
    deleted_at BIGINT,
    CONSTRAINT tenants_slug_grammar CHECK (
        length(slug) BETWEEN 1 AND 20
        AND ltrim(slug, 'abcdefghijklmnopqrstuvwxyz0123456789') = ''
        AND ltrim(substr(slug, 1, 1), 'abcdefghijklmnopqrstuvwxyz') = ''
        AND slug NOT IN ('app', 'sbx')
    ),
    CONSTRAINT tenants_status CHECK (status IN ('active', 'suspended', 'deleting', 'deleted')),
    CONSTRAINT tenants_deleted CHECK ((status = 'deleted') = (deleted_at IS NOT NULL)),
    CONSTRAINT tenants_narrowed CHECK (narrowed_registries IS NULL OR registries IS NOT NULL)
);
CREATE UNIQUE INDEX tenants_slug ON tenants (slug) WHERE deleted_at IS NULL;

CREATE TABLE tenant_clusters (
    tenant_id TEXT NOT NULL REFERENCES tenants (id) ON DELETE CASCADE,
    cluster_id TEXT NOT NULL REFERENCES clusters (id),
    is_primary BIGINT NOT NULL DEFAULT 0,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (tenant_id, cluster_id),
    CONSTRAINT tenant_clusters_flag CHECK (is_primary IN (0, 1))
);
CREATE UNIQUE INDEX tenant_clusters_primary ON tenant_clusters (tenant_id) WHERE is_primary = 1;
CREATE INDEX tenant_clusters_cluster ON tenant_clusters (cluster_id);

CREATE TABLE projects (
    id TEXT PRIMARY KEY,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    version BIGINT NOT NULL DEFAULT 1,
    tenant_id TEXT NOT NULL REFERENCES tenants (id),
    slug TEXT NOT NULL,
    display_name TEXT NOT NULL DEFAULT '',
    labels TEXT NOT NULL DEFAULT '{}',
    CONSTRAINT projects_slug UNIQUE (tenant_id, slug),
    CONSTRAINT projects_own UNIQUE (tenant_id, id),
    CONSTRAINT projects_slug_grammar CHECK (
        length(slug) BETWEEN 1 AND 20
        AND ltrim(slug, 'abcdefghijklmnopqrstuvwxyz0123456789-') = ''
        AND slug NOT LIKE '-%' AND slug NOT LIKE '%-'
        AND ('-' || slug || '-') NOT LIKE '%-app-%'
        AND ('-' || slug || '-') NOT LIKE '%-sbx-%'
    )
);

CREATE TABLE catalog_items (
    id TEXT PRIMARY KEY,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    version BIGINT NOT NULL DEFAULT 1,
    slug TEXT NOT NULL,
    name TEXT NOT NULL,
    description TEXT NOT NULL DEFAULT '',
    icon TEXT,
    category TEXT,
    scope TEXT NOT NULL,
    tenant_id TEXT REFERENCES tenants (id),
    latest_version TEXT,
    CONSTRAINT catalog_items_scope CHECK (
        scope IN ('global', 'tenant') AND (scope = 'tenant') = (tenant_id IS NOT NULL)
    )
);
CREATE UNIQUE INDEX catalog_items_slug_own ON catalog_items (tenant_id, slug) WHERE tenant_id IS NOT NULL;
CREATE UNIQUE INDEX catalog_items_slug_global ON catalog_items (slug) WHERE tenant_id IS NULL;

CREATE TABLE catalog_item_versions (
    id TEXT PRIMARY KEY,
    created_at BIGINT NOT NULL,
    item_id TEXT NOT NULL REFERENCES catalog_items (id) ON DELETE CASCADE,
    tenant_id TEXT REFERENCES tenants (id),
    version TEXT NOT NULL,
    source TEXT NOT NULL,
    CONSTRAINT catalog_item_versions_version UNIQUE (item_id, version)
);

CREATE TABLE apps (
    id TEXT PRIMARY KEY,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    version BIGINT NOT NULL DEFAULT 1,
    tenant_id TEXT NOT NULL,
    project_id TEXT NOT NULL,
    cluster_id TEXT NOT NULL,
    slug TEXT NOT NULL,
    description TEXT NOT NULL DEFAULT '',
    spec TEXT NOT NULL,
    source_kind TEXT NOT NULL,
    catalog_item_id TEXT REFERENCES catalog_items (id) ON DELETE SET NULL,
    catalog_version TEXT,
    catalog_overrides TEXT,
    current_revision BIGINT NOT NULL DEFAULT 1,
    state TEXT NOT NULL DEFAULT 'committed',
    operation_id TEXT,
    CONSTRAINT apps_slug UNIQUE (project_id, slug),
    CONSTRAINT apps_own UNIQUE (tenant_id, id),
    CONSTRAINT apps_of_project UNIQUE (tenant_id, project_id, id),
    CONSTRAINT apps_project FOREIGN KEY (tenant_id, project_id) REFERENCES projects (tenant_id, id),
    CONSTRAINT apps_cluster FOREIGN KEY (tenant_id, cluster_id) REFERENCES tenant_clusters (tenant_id, cluster_id),
    -- Exactly one namespace: at most one is `namespaces_app`, at least one is this, asked at commit.
    CONSTRAINT apps_namespace FOREIGN KEY (id) REFERENCES namespaces (app_id) DEFERRABLE INITIALLY DEFERRED,
    CONSTRAINT apps_slug_grammar CHECK (
        length(slug) BETWEEN 1 AND 20
        AND ltrim(slug, 'abcdefghijklmnopqrstuvwxyz0123456789-') = ''
        AND slug NOT LIKE '-%' AND slug NOT LIKE '%-'
    ),
    CONSTRAINT apps_source_kind CHECK (
        source_kind IN ('helmHttp', 'helmOci', 'gitRepo', 'containerImage', 'kubeManifest', 'velaTemplate')
    ),
    CONSTRAINT apps_state CHECK (state IN ('pending', 'committed', 'failed'))
);
CREATE INDEX apps_catalog_item ON apps (catalog_item_id) WHERE catalog_item_id IS NOT NULL;

CREATE TABLE app_revisions (
    id TEXT PRIMARY KEY,
    created_at BIGINT NOT NULL,
    tenant_id TEXT NOT NULL,
    app_id TEXT NOT NULL,
    revision BIGINT NOT NULL,
    spec TEXT NOT NULL,
    source TEXT NOT NULL,
    catalog_item_id TEXT,
    catalog_version TEXT,
    overrides TEXT,
    actor TEXT NOT NULL,
    CONSTRAINT app_revisions_revision UNIQUE (app_id, revision),
    CONSTRAINT app_revisions_app FOREIGN KEY (tenant_id, app_id) REFERENCES apps (tenant_id, id) ON DELETE CASCADE
);

CREATE TABLE sandboxes (
    id TEXT PRIMARY KEY,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    version BIGINT NOT NULL DEFAULT 1,
    tenant_id TEXT NOT NULL,
    project_id TEXT NOT NULL,
    cluster_id TEXT NOT NULL,
    ordinal BIGINT NOT NULL,
    display_name TEXT NOT NULL DEFAULT '',
    created_by TEXT NOT NULL DEFAULT '',
    expires_at BIGINT,
    state TEXT NOT NULL DEFAULT 'active',
    CONSTRAINT sandboxes_ordinal UNIQUE (project_id, ordinal),
    CONSTRAINT sandboxes_of_project UNIQUE (tenant_id, project_id, id),
    CONSTRAINT sandboxes_ordinal_range CHECK (ordinal BETWEEN 1 AND 999),
    CONSTRAINT sandboxes_state CHECK (state IN ('active', 'deleting')),
    CONSTRAINT sandboxes_project FOREIGN KEY (tenant_id, project_id) REFERENCES projects (tenant_id, id),
    CONSTRAINT sandboxes_cluster FOREIGN KEY (tenant_id, cluster_id) REFERENCES tenant_clusters (tenant_id, cluster_id)
);
CREATE INDEX sandboxes_expires ON sandboxes (expires_at) WHERE expires_at IS NOT NULL;

CREATE TABLE namespaces (
    id TEXT PRIMARY KEY,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    version BIGINT NOT NULL DEFAULT 1,
    tenant_id TEXT NOT NULL,
    project_id TEXT NOT NULL,
    cluster_id TEXT NOT NULL,
    name TEXT NOT NULL,
    kind TEXT NOT NULL,
    app_id TEXT,
    sandbox_id TEXT,
    observed_uid TEXT,
    CONSTRAINT namespaces_name UNIQUE (cluster_id, name),
    CONSTRAINT namespaces_app UNIQUE (app_id),
    CONSTRAINT namespaces_sandbox UNIQUE (sandbox_id),
    CONSTRAINT namespaces_name_length CHECK (length(name) BETWEEN 1 AND 63),
    CONSTRAINT namespaces_owner CHECK (
        (kind = 'app' AND app_id IS NOT NULL AND sandbox_id IS NULL)
        OR (kind = 'sandbox' AND sandbox_id IS NOT NULL AND app_id IS NULL)
    ),
    CONSTRAINT namespaces_of_app FOREIGN KEY (tenant_id, project_id, app_id)
        REFERENCES apps (tenant_id, project_id, id) ON DELETE CASCADE,
    CONSTRAINT namespaces_of_sandbox FOREIGN KEY (tenant_id, project_id, sandbox_id)
        REFERENCES sandboxes (tenant_id, project_id, id) ON DELETE CASCADE,
    CONSTRAINT namespaces_cluster FOREIGN KEY (tenant_id, cluster_id) REFERENCES tenant_clusters (tenant_id, cluster_id)
);
CREATE INDEX namespaces_project ON namespaces (project_id);

CREATE TABLE policysets (
    id TEXT PRIMARY KEY,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    version BIGINT NOT NULL DEFAULT 1,
    tenant_id TEXT NOT NULL REFERENCES tenants (id),
    name TEXT NOT NULL,
    description TEXT NOT NULL DEFAULT '',
    mode TEXT,
    rules TEXT NOT NULL DEFAULT '[]',
    attached_to TEXT NOT NULL DEFAULT '[]',
    origin TEXT NOT NULL DEFAULT 'tenant',
    CONSTRAINT policysets_origin CHECK (origin IN ('platform', 'tenant')),
    CONSTRAINT policysets_mode CHECK (mode IS NULL OR mode IN ('enforce', 'warn', 'audit', 'off')),
    CONSTRAINT policysets_name UNIQUE (tenant_id, name)
);

CREATE TABLE memberships (
    id TEXT PRIMARY KEY,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    version BIGINT NOT NULL DEFAULT 1,
    tenant_id TEXT NOT NULL REFERENCES tenants (id),
    subject TEXT NOT NULL,
    role TEXT NOT NULL,
    project_ids TEXT,
    CONSTRAINT memberships_subject UNIQUE (tenant_id, subject),
    CONSTRAINT memberships_role CHECK (role IN ('tenantOwner', 'projectDev', 'readOnly'))
);
CREATE INDEX memberships_by_subject ON memberships (subject);

CREATE TABLE revoked_tokens (
    jti TEXT PRIMARY KEY,
    created_at BIGINT NOT NULL,
    tenant_id TEXT,
    exp BIGINT NOT NULL
);
CREATE INDEX revoked_tokens_exp ON revoked_tokens (exp);

CREATE TABLE idempotency_keys (
    key TEXT NOT NULL,
    subject TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    tenant_id TEXT,
    route TEXT NOT NULL,
    request_hash TEXT NOT NULL,
    status BIGINT,
    response TEXT,
    expires_at BIGINT NOT NULL,
    PRIMARY KEY (key, subject)
);
CREATE INDEX idempotency_keys_expires ON idempotency_keys (expires_at);

CREATE TABLE policy_revisions (
    revision BIGINT PRIMARY KEY,
    created_at BIGINT NOT NULL,
    sha256 TEXT NOT NULL,
    source TEXT NOT NULL,
    loaded_by TEXT NOT NULL,
    note TEXT NOT NULL DEFAULT ''
);

CREATE TABLE exceptions (
    id TEXT PRIMARY KEY,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    version BIGINT NOT NULL DEFAULT 1,
    tenant_id TEXT REFERENCES tenants (id),
    policy TEXT NOT NULL,
    subjects TEXT NOT NULL DEFAULT '[]',
    objects TEXT NOT NULL DEFAULT '[]',
    reason TEXT NOT NULL,
    state TEXT NOT NULL DEFAULT 'requested',
    requested_by TEXT NOT NULL,
    approved_by TEXT,
    expires_at BIGINT NOT NULL,
    CONSTRAINT exceptions_state CHECK (state IN ('requested', 'active', 'expired')),
    CONSTRAINT exceptions_approved CHECK (state <> 'active' OR approved_by IS NOT NULL)
);

CREATE TABLE breakglass (
    id TEXT PRIMARY KEY,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    version BIGINT NOT NULL DEFAULT 1,
    document TEXT NOT NULL,
    signature TEXT NOT NULL,
    opened_by TEXT NOT NULL,
    expires_at BIGINT NOT NULL,
    closed_at BIGINT
);

CREATE TABLE scans (
    id TEXT PRIMARY KEY,
    created_at BIGINT NOT NULL,
    started_at BIGINT NOT NULL,
    law_revision TEXT NOT NULL,
    counts TEXT NOT NULL DEFAULT '{}'
);

CREATE TABLE scan_findings (
    id TEXT PRIMARY KEY,
    created_at BIGINT NOT NULL,
    scan_id TEXT NOT NULL REFERENCES scans (id) ON DELETE CASCADE,
    tenant_id TEXT,
    policy TEXT NOT NULL,
    object TEXT NOT NULL,
    message TEXT NOT NULL
);
CREATE INDEX scan_findings_scan ON scan_findings (scan_id);

CREATE TABLE settings (
    id TEXT PRIMARY KEY,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    version BIGINT NOT NULL DEFAULT 1,
    scope TEXT NOT NULL,
    tenant_id TEXT REFERENCES tenants (id),
    key TEXT NOT NULL,
    value TEXT NOT NULL,
    revision BIGINT NOT NULL DEFAULT 0,
    CONSTRAINT settings_scope CHECK (
        scope IN ('global', 'tenant') AND (scope = 'tenant') = (tenant_id IS NOT NULL)
    )
);
CREATE UNIQUE INDEX settings_key_own ON settings (tenant_id, key) WHERE tenant_id IS NOT NULL;
CREATE UNIQUE INDEX settings_key_global ON settings (key) WHERE tenant_id IS NULL;

CREATE TABLE settings_history (
    id TEXT PRIMARY KEY,
    tenant_id TEXT,
    key TEXT NOT NULL,
    old TEXT,
    new TEXT,
    actor TEXT NOT NULL,
    at BIGINT NOT NULL
);

-- One row. It is changed last in a writing transaction, so revisions have the order of commits.
CREATE TABLE ledger (
    id BIGINT PRIMARY KEY,
    ledger TEXT NOT NULL,
    revision BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    CONSTRAINT ledger_one CHECK (id = 1)
);

-- What each revision changed in the snapshot, for gates that are a few revisions behind.
CREATE TABLE changes (
    revision BIGINT PRIMARY KEY,
    patch TEXT NOT NULL,
    parts TEXT NOT NULL,
    at BIGINT NOT NULL
);

-- The hash chains: one a tenant, and `system`. `first_at` and `attempts` are those of aggregated attempts.
CREATE TABLE audit_log (
    chain TEXT NOT NULL,
    seq BIGINT NOT NULL,
    at BIGINT NOT NULL,
    request_id TEXT NOT NULL,
    actor TEXT NOT NULL,
    minted_by TEXT,
    actor_roles TEXT NOT NULL,
    tenant_id TEXT,
    action TEXT NOT NULL,
    resource_type TEXT NOT NULL,
    resource_id TEXT,
    resource_name TEXT,
    result TEXT NOT NULL,
    attempts BIGINT NOT NULL DEFAULT 1,
    first_at BIGINT,
    before TEXT,
    after TEXT,
    reason TEXT,
    prev_hash TEXT NOT NULL,
    hash TEXT NOT NULL,
    PRIMARY KEY (chain, seq, at),
    CONSTRAINT audit_log_result CHECK (result IN ('ok', 'denied', 'error'))
);
CREATE INDEX audit_log_at ON audit_log (at, chain, seq);

CREATE TABLE audit_heads (
    chain TEXT PRIMARY KEY,
    seq BIGINT NOT NULL,
    hash TEXT NOT NULL
);

-- Where a chain begins whose older rows were taken out by their owner.
CREATE TABLE audit_anchors (
    chain TEXT NOT NULL,
    seq BIGINT NOT NULL,
    hash TEXT NOT NULL,
    at BIGINT NOT NULL,
    note TEXT NOT NULL,
    PRIMARY KEY (chain, seq)
);

INSERT INTO plans (id, created_at, updated_at, name, description, quotas, limits) VALUES
    ('01920000-0000-7000-8000-000000000001', 1735689600000, 1735689600000, 'baseline', 'Small teams and first steps.',
     '{"requests.cpu":"4","requests.memory":"8Gi","limits.cpu":"8","limits.memory":"16Gi","pods":"50","persistentvolumeclaims":"10"}',
     '{"cpu":"2","memory":"4Gi"}'),
    ('01920000-0000-7000-8000-000000000002', 1735689600000, 1735689600000, 'gold', 'Teams with production traffic.',
     '{"requests.cpu":"32","requests.memory":"128Gi","limits.cpu":"64","limits.memory":"256Gi","pods":"500","persistentvolumeclaims":"100"}',
     '{"cpu":"16","memory":"64Gi"}');
