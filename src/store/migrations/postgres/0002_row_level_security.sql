-- Who may see and change what. The program never works as the owner of these tables: each transaction takes one of three
-- roles, and which rows that role sees is written here.
--
--   portcullis_app       one tenant, the one in app.tenant_id; without it nothing
--   portcullis_admin     every tenant
--   portcullis_snapshot  every tenant, reading only
--
-- An unset variable hides everything. After a transaction-local set, later transactions of the same connection read '',
-- not null, hence nullif.

CREATE FUNCTION portcullis_tenant() RETURNS text LANGUAGE sql STABLE PARALLEL SAFE
AS $$ SELECT nullif(current_setting('app.tenant_id', true), '') $$;

-- === every table whose rows belong to a tenant ===

CREATE FUNCTION portcullis_wall(wall_table text, own text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', wall_table);
    EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', wall_table);
    EXECUTE format('CREATE POLICY own ON %I FOR ALL TO portcullis_app USING (%s = portcullis_tenant()) WITH CHECK (%s = portcullis_tenant())', wall_table, own, own);
    EXECUTE format('CREATE POLICY admin ON %I FOR ALL TO portcullis_admin USING (true) WITH CHECK (true)', wall_table);
    EXECUTE format('CREATE POLICY snapshot ON %I FOR SELECT TO portcullis_snapshot USING (true)', wall_table);
    EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON %I TO portcullis_admin', wall_table);
END $$;

SELECT portcullis_wall('tenants', 'id');
SELECT portcullis_wall(name, 'tenant_id') FROM unnest(ARRAY[
    'tenant_clusters', 'projects', 'apps', 'app_revisions', 'sandboxes', 'namespaces', 'policysets', 'memberships',
    'catalog_items', 'catalog_item_versions', 'revoked_tokens', 'idempotency_keys', 'exceptions', 'scan_findings',
    'settings', 'settings_history'
]) AS name;

GRANT SELECT, UPDATE ON tenants TO portcullis_app;
GRANT SELECT ON tenant_clusters, scan_findings, settings TO portcullis_app;
GRANT SELECT, INSERT, UPDATE, DELETE ON projects, apps, sandboxes, namespaces, policysets, memberships, catalog_items,
    idempotency_keys TO portcullis_app;
GRANT SELECT, INSERT, DELETE ON catalog_item_versions, exceptions TO portcullis_app;
GRANT SELECT, INSERT ON app_revisions, revoked_tokens TO portcullis_app;
-- Deleting an app takes its revisions with it; nothing else removes one.
GRANT DELETE ON app_revisions TO portcullis_app;

GRANT SELECT ON tenants, tenant_clusters, projects, apps, sandboxes, namespaces, policysets, exceptions, settings,
    memberships, revoked_tokens TO portcullis_snapshot;

-- What belongs to nobody is everybody's to read, and the administrator's to write.
CREATE POLICY shared ON catalog_items FOR SELECT TO portcullis_app USING (tenant_id IS NULL);
CREATE POLICY shared ON catalog_item_versions FOR SELECT TO portcullis_app USING (tenant_id IS NULL);
CREATE POLICY shared ON settings FOR SELECT TO portcullis_app USING (tenant_id IS NULL);

-- What only an administrator decides about a tenant. A change of a row that leaves these as they are is the tenant's own.
CREATE FUNCTION portcullis_platform_fields() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF current_user = 'portcullis_app' AND
        (NEW.id, NEW.created_at, NEW.slug, NEW.plan_id, NEW.quotas, NEW.limits, NEW.network_policies, NEW.registries,
         NEW.dev_group, NEW.status, NEW.deleted_at)
        IS DISTINCT FROM
        (OLD.id, OLD.created_at, OLD.slug, OLD.plan_id, OLD.quotas, OLD.limits, OLD.network_policies, OLD.registries,
         OLD.dev_group, OLD.status, OLD.deleted_at)
    THEN
        RAISE EXCEPTION 'the platform decides this of a tenant' USING ERRCODE = 'insufficient_privilege';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER platform_fields BEFORE UPDATE ON tenants FOR EACH ROW EXECUTE FUNCTION portcullis_platform_fields();

-- A tenant sees the policy sets that the platform attached to it, and writes its own.
CREATE POLICY own_origin_insert ON policysets AS RESTRICTIVE FOR INSERT TO portcullis_app WITH CHECK (origin = 'tenant');
CREATE POLICY own_origin_update ON policysets AS RESTRICTIVE FOR UPDATE TO portcullis_app
    USING (origin = 'tenant') WITH CHECK (origin = 'tenant');
CREATE POLICY own_origin_delete ON policysets AS RESTRICTIVE FOR DELETE TO portcullis_app USING (origin = 'tenant');

-- A tenant asks for an exception and takes the question back; the answer is the platform's.
CREATE POLICY ask_insert ON exceptions AS RESTRICTIVE FOR INSERT TO portcullis_app
    WITH CHECK (state = 'requested' AND approved_by IS NULL);
CREATE POLICY ask_delete ON exceptions AS RESTRICTIVE FOR DELETE TO portcullis_app USING (state = 'requested');

-- === tables that belong to no tenant ===

GRANT SELECT, INSERT, UPDATE, DELETE ON clusters, plans, scans TO portcullis_admin;
GRANT SELECT, INSERT ON policy_revisions TO portcullis_admin;
GRANT SELECT, INSERT ON breakglass TO portcullis_admin;
GRANT UPDATE (closed_at, updated_at, version) ON breakglass TO portcullis_admin;
GRANT SELECT ON plans, scans TO portcullis_app;
GRANT SELECT ON plans, policy_revisions, breakglass TO portcullis_snapshot;

-- A tenant sees the clusters that it is on, and of those neither credentials nor addresses of its operators.
ALTER TABLE clusters ENABLE ROW LEVEL SECURITY;
ALTER TABLE clusters FORCE ROW LEVEL SECURITY;
CREATE POLICY own ON clusters FOR SELECT TO portcullis_app
    USING (id IN (SELECT cluster_id FROM tenant_clusters WHERE tenant_id = portcullis_tenant()));
CREATE POLICY admin ON clusters FOR ALL TO portcullis_admin USING (true) WITH CHECK (true);
CREATE POLICY snapshot ON clusters FOR SELECT TO portcullis_snapshot USING (true);
GRANT SELECT (id, created_at, updated_at, version, name, display_name, labels, capsule_proxy_url)
    ON clusters TO portcullis_app, portcullis_snapshot;

-- === the ledger ===

GRANT SELECT, UPDATE ON ledger TO portcullis_app, portcullis_admin;
GRANT SELECT ON ledger TO portcullis_snapshot;
GRANT INSERT ON changes TO portcullis_app;
-- A ledger that is renewed after a restore forgets the changes of the one before.
GRANT SELECT, INSERT, DELETE ON changes TO portcullis_admin;
GRANT SELECT ON changes TO portcullis_snapshot;

-- A gate further behind than this takes the whole document. Pruned by the owner, because those who write changes may not
-- read them: they tell of other tenants.
CREATE FUNCTION portcullis_prune_changes() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog AS $$
BEGIN
    EXECUTE format('DELETE FROM %I.changes WHERE revision <= $1', TG_TABLE_SCHEMA) USING NEW.revision - 2000;
    RETURN NULL;
END $$;
CREATE TRIGGER changes_prune AFTER INSERT ON changes FOR EACH ROW EXECUTE FUNCTION portcullis_prune_changes();

-- === the past ===

CREATE FUNCTION portcullis_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% is append-only', TG_TABLE_NAME USING ERRCODE = 'insufficient_privilege';
END $$;

ALTER TABLE audit_log ENABLE ROW LEVEL SECURITY;
ALTER TABLE audit_log FORCE ROW LEVEL SECURITY;
CREATE POLICY own ON audit_log FOR SELECT TO portcullis_app USING (tenant_id = portcullis_tenant());
CREATE POLICY own_append ON audit_log FOR INSERT TO portcullis_app
    WITH CHECK (tenant_id = portcullis_tenant() AND chain = portcullis_tenant());
-- Attempts that were turned away are written by a transaction that is nobody's, and may be nothing else.
CREATE POLICY denied_append ON audit_log FOR INSERT TO portcullis_app
    WITH CHECK (portcullis_tenant() IS NULL AND chain = 'system' AND result = 'denied');
CREATE POLICY admin ON audit_log FOR SELECT TO portcullis_admin USING (true);
CREATE POLICY admin_append ON audit_log FOR INSERT TO portcullis_admin WITH CHECK (true);
REVOKE UPDATE, DELETE, TRUNCATE ON audit_log FROM PUBLIC;
GRANT SELECT, INSERT ON audit_log TO portcullis_app, portcullis_admin;

CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON audit_log FOR EACH ROW EXECUTE FUNCTION portcullis_append_only();
CREATE TRIGGER no_truncate BEFORE TRUNCATE ON audit_log FOR EACH STATEMENT EXECUTE FUNCTION portcullis_append_only();

-- A transaction locks and moves the heads of its own chains only; nobody's is that of `system`.
ALTER TABLE audit_heads ENABLE ROW LEVEL SECURITY;
ALTER TABLE audit_heads FORCE ROW LEVEL SECURITY;
CREATE POLICY own ON audit_heads FOR ALL TO portcullis_app
    USING (chain = coalesce(portcullis_tenant(), 'system')) WITH CHECK (chain = coalesce(portcullis_tenant(), 'system'));
CREATE POLICY admin ON audit_heads FOR ALL TO portcullis_admin USING (true) WITH CHECK (true);
GRANT SELECT, INSERT, UPDATE ON audit_heads TO portcullis_app, portcullis_admin;
GRANT SELECT, INSERT ON audit_anchors TO portcullis_admin;

-- Partitions are reached through audit_log alone; their own walls are for whoever tries otherwise.
CREATE FUNCTION portcullis_wall_partition(part text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', part);
    EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', part);
    EXECUTE format('CREATE TRIGGER no_truncate BEFORE TRUNCATE ON %I FOR EACH STATEMENT EXECUTE FUNCTION portcullis_append_only()', part);
END $$;
SELECT portcullis_wall_partition('audit_log_default');

-- The partition for the month (UTC) of a time, made where it is missing. Rows of that month that stand in the default
-- partition already keep it from being made; then it stays there, and nothing is lost but a simpler detaching.
CREATE FUNCTION portcullis_audit_partition(at bigint) RETURNS text LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
DECLARE
    first timestamp := date_trunc('month', to_timestamp(at / 1000.0) AT TIME ZONE 'UTC');
    part text := 'audit_log_' || to_char(first, 'YYYY_MM');
BEGIN
    IF to_regclass(part) IS NULL THEN
        EXECUTE format('CREATE TABLE %I PARTITION OF audit_log FOR VALUES FROM (%s) TO (%s)', part,
            (extract(epoch FROM first) * 1000)::bigint, (extract(epoch FROM first + interval '1 month') * 1000)::bigint);
        PERFORM portcullis_wall_partition(part);
    END IF;
    RETURN part;
EXCEPTION WHEN check_violation THEN
    RETURN 'audit_log_default';
END $$;
REVOKE EXECUTE ON FUNCTION portcullis_audit_partition(bigint), portcullis_wall(text, text), portcullis_wall_partition(text)
    FROM PUBLIC;
GRANT EXECUTE ON FUNCTION portcullis_audit_partition(bigint) TO portcullis_admin;
SELECT portcullis_audit_partition((extract(epoch FROM now() + ahead) * 1000)::bigint)
    FROM unnest(ARRAY[interval '0', interval '1 month']) AS ahead;

CREATE TRIGGER insert_only BEFORE UPDATE ON app_revisions FOR EACH ROW EXECUTE FUNCTION portcullis_append_only();
CREATE TRIGGER insert_only BEFORE UPDATE ON catalog_item_versions FOR EACH ROW EXECUTE FUNCTION portcullis_append_only();
CREATE TRIGGER insert_only BEFORE UPDATE OR DELETE ON policy_revisions FOR EACH ROW EXECUTE FUNCTION portcullis_append_only();
CREATE TRIGGER insert_only BEFORE UPDATE OF id, created_at, document, signature, opened_by, expires_at OR DELETE
    ON breakglass FOR EACH ROW EXECUTE FUNCTION portcullis_append_only();
