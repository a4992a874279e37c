-- The past is append-only: no statement changes or removes an audit row, an app's revision, or a version of the catalog
-- once it stands there. SQLite has neither roles nor row-level security; docs/ledger.md says what that leaves open.

CREATE TRIGGER audit_log_no_update BEFORE UPDATE ON audit_log
BEGIN SELECT RAISE(ABORT, 'audit_log is append-only'); END;
CREATE TRIGGER audit_log_no_delete BEFORE DELETE ON audit_log
BEGIN SELECT RAISE(ABORT, 'audit_log is append-only'); END;
-- `INSERT OR REPLACE` removes without asking the trigger above.
CREATE TRIGGER audit_log_no_replace BEFORE INSERT ON audit_log
WHEN EXISTS (SELECT 1 FROM audit_log WHERE chain = NEW.chain AND seq = NEW.seq)
BEGIN SELECT RAISE(ABORT, 'audit_log is append-only'); END;

CREATE TRIGGER app_revisions_no_update BEFORE UPDATE ON app_revisions
BEGIN SELECT RAISE(ABORT, 'app_revisions is insert-only'); END;

CREATE TRIGGER catalog_item_versions_no_update BEFORE UPDATE ON catalog_item_versions
BEGIN SELECT RAISE(ABORT, 'versions of a catalog item are immutable'); END;

CREATE TRIGGER breakglass_no_update BEFORE UPDATE OF id, created_at, document, signature, opened_by, expires_at ON breakglass
BEGIN SELECT RAISE(ABORT, 'breakglass is insert-only but for closed_at'); END;
CREATE TRIGGER breakglass_no_delete BEFORE DELETE ON breakglass
BEGIN SELECT RAISE(ABORT, 'breakglass is insert-only but for closed_at'); END;

CREATE TRIGGER policy_revisions_no_update BEFORE UPDATE ON policy_revisions
BEGIN SELECT RAISE(ABORT, 'policy_revisions is insert-only'); END;
CREATE TRIGGER policy_revisions_no_delete BEFORE DELETE ON policy_revisions
BEGIN SELECT RAISE(ABORT, 'policy_revisions is insert-only'); END;

-- A gate further behind than this takes the whole document.
CREATE TRIGGER changes_prune AFTER INSERT ON changes
BEGIN DELETE FROM changes WHERE revision <= NEW.revision - 2000; END;
