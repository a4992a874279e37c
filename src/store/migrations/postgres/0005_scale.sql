-- A ledger of 100,000 namespaces costs what an empty one does: a namespace is found by its name alone, tenants of a cluster
-- are paged in the order of ids, and what refers to a row is found when that row goes.
CREATE INDEX namespaces_by_name ON namespaces (name);
CREATE INDEX namespaces_tenant ON namespaces (tenant_id, cluster_id);
DROP INDEX tenant_clusters_cluster;
CREATE INDEX tenant_clusters_cluster ON tenant_clusters (cluster_id, tenant_id);
CREATE INDEX tenants_plan ON tenants (plan_id) WHERE plan_id IS NOT NULL;
CREATE INDEX exceptions_tenant ON exceptions (tenant_id);
CREATE INDEX catalog_items_tenant ON catalog_items (tenant_id, id);
