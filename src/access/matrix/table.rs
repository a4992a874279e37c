//! The table itself: a line for the name, a line for the route, a column a role.
//!
//! `yes` within what the role reaches, `–` 403, `open` without a token, any other word a [`Limit`]. The columns are
//! admin, tenantOwner, projectDev, readOnly, service.

use super::{Limit, May, Method, Rule};

/// A cell: words of the table → [`May`].
macro_rules! may {
    (no) => {
        May::No
    };
    (yes) => {
        May::Yes
    };
    (open) => {
        May::Open
    };
    ($limit:ident) => {
        May::Limited(Limit::$limit)
    };
}

macro_rules! table {
    ($(
        #[doc = $what:literal]
        $action:ident $name:literal $method:ident $path:literal $(or $alias:literal)?
        [$admin:ident $owner:ident $dev:ident $reader:ident $service:ident]
    )*) => {
        /// Actions of the API, one per route.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Action {
            $(#[doc = $what] $action,)*
        }

        impl Action {
            /// Its name: `tenant.create`. Where it changes something, the audit log has the same.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$action => $name,)* }
            }
        }

        /// The rule of an action; there is one for each, or this does not compile.
        pub(super) const fn rule(action: Action) -> &'static Rule {
            match action { $(Action::$action => const { &Rule {
                action: Action::$action,
                method: Method::$method,
                path: $path,
                alias: alias!($($alias)?),
                what: $what.trim_ascii(),
                who: [may!($admin), may!($owner), may!($dev), may!($reader), may!($service)],
            } },)* }
        }

        /// Every rule, in the order of the documentation.
        pub const RULES: &[&Rule] = &[$(rule(Action::$action),)*];
    };
}

macro_rules! alias {
    () => {
        None
    };
    ($alias:literal) => {
        Some($alias)
    };
}

table! {
    /// Version of the program and of the policies in force
    Version "version.get" Get "/api/v1/version" [open open open open open]
    /// What this server can do
    Features "features.get" Get "/api/v1/features" [open open open open open]
    /// The OpenAPI document
    OpenApi "openapi.get" Get "/openapi.json" [open open open open open]
    /// The reference page
    Docs "docs.get" Get "/docs" [open open open open open]
    /// The public keys of tokens
    Jwks "jwks.get" Get "/api/v1/jwks" [open open open open open]
    /// Who the caller is
    Me "me.get" Get "/api/v1/me" [yes yes yes yes no]

    /// Lists tokens that have not expired
    TokensList "token.list" Get "/api/v1/tokens" [yes OwnTenant OwnTokens OwnTokens no]
    /// Mints a token
    TokensMint "token.mint" Post "/api/v1/tokens" [yes Mint no no no]
    /// Revokes a token
    TokensRevoke "token.revoke" Delete "/api/v1/tokens/{jti}" [yes OwnTenant OwnTokens OwnTokens no]

    /// Lists clusters
    ClustersList "cluster.list" Get "/api/v1/clusters" [yes OwnClusters OwnClusters OwnClusters no]
    /// Registers a cluster
    ClustersCreate "cluster.create" Post "/api/v1/clusters" [yes no no no no]
    /// Shows a cluster
    ClustersGet "cluster.get" Get "/api/v1/clusters/{c}" [yes OwnClusters OwnClusters OwnClusters no]
    /// Changes a cluster
    ClustersUpdate "cluster.update" Patch "/api/v1/clusters/{c}" [yes no no no no]
    /// Removes a cluster that holds no tenants
    ClustersDelete "cluster.delete" Delete "/api/v1/clusters/{c}" [yes no no no no]

    /// Lists tenants of a cluster
    TenantsList "tenant.list" Get "/api/v1/clusters/{c}/tenants" [yes OwnTenant OwnTenant OwnTenant no]
    /// Creates a tenant
    TenantsCreate "tenant.create" Post "/api/v1/clusters/{c}/tenants" [yes no no no no]
    /// Shows a tenant
    TenantsGet "tenant.get" Get "/api/v1/clusters/{c}/tenants/{t}" [yes yes yes yes no]
    /// Changes a tenant
    TenantsUpdate "tenant.update" Patch "/api/v1/clusters/{c}/tenants/{t}" [yes NotRegistries no no no]
    /// Deletes a tenant, with `?cascade=true` and all that is in it
    TenantsDelete "tenant.delete" Delete "/api/v1/clusters/{c}/tenants/{t}" [yes no no no no]
    /// Replaces the owners
    TenantsOwners "tenant.update.owners" Put "/api/v1/clusters/{c}/tenants/{t}/owners" [yes yes no no no]
    /// Replaces the quotas
    TenantsQuotas "tenant.update.quotas" Put "/api/v1/clusters/{c}/tenants/{t}/quotas" [yes no no no no]
    /// Replaces the limits
    TenantsLimits "tenant.update.limits" Put "/api/v1/clusters/{c}/tenants/{t}/limits" [yes no no no no]
    /// Replaces the network policies
    TenantsNetworkPolicies "tenant.update.networkPolicies" Put "/api/v1/clusters/{c}/tenants/{t}/network-policies" [yes no no no no]
    /// Suspends a tenant: its writes are denied
    TenantsSuspend "tenant.suspend" Post "/api/v1/clusters/{c}/tenants/{t}:suspend" [yes no no no no]
    /// Resumes a suspended tenant
    TenantsResume "tenant.resume" Post "/api/v1/clusters/{c}/tenants/{t}:resume" [yes no no no no]
    /// Namespaces, quotas and plan of a tenant
    TenantsSummary "tenant.summary" Get "/api/v1/clusters/{c}/tenants/{t}/summary" [yes yes yes yes no]
    /// Puts a tenant on a plan
    TenantsPlan "tenant.update.plan" Put "/api/v1/tenants/{t}/plan" [yes no no no no]

    /// Lists members
    MembersList "member.list" Get "/api/v1/clusters/{c}/tenants/{t}/members" [yes yes yes yes no]
    /// Adds a member, or changes its role
    MembersPut "member.put" Put "/api/v1/clusters/{c}/tenants/{t}/members/{subject}" [yes UpToOwnRole no no no]
    /// Removes a member
    MembersDelete "member.delete" Delete "/api/v1/clusters/{c}/tenants/{t}/members/{subject}" [yes UpToOwnRole no no no]

    /// Lists plans
    PlansList "plan.list" Get "/api/v1/plans" [yes yes yes yes no]
    /// Shows a plan
    PlansGet "plan.get" Get "/api/v1/plans/{name}" [yes yes yes yes no]

    /// Lists projects
    ProjectsList "project.list" Get "/api/v1/clusters/{c}/tenants/{t}/projects" [yes yes OwnProjects OwnProjects no]
    /// Creates a project
    ProjectsCreate "project.create" Post "/api/v1/clusters/{c}/tenants/{t}/projects" [yes yes no no no]
    /// Shows a project
    ProjectsGet "project.get" Get "/api/v1/clusters/{c}/tenants/{t}/projects/{p}" [yes yes OwnProjects OwnProjects no]
    /// Changes a project
    ProjectsUpdate "project.update" Patch "/api/v1/clusters/{c}/tenants/{t}/projects/{p}" [yes yes no no no]
    /// Deletes an empty project
    ProjectsDelete "project.delete" Delete "/api/v1/clusters/{c}/tenants/{t}/projects/{p}" [yes yes no no no]
    /// Replaces who has access to a project
    ProjectsAccess "project.update.access" Put "/api/v1/clusters/{c}/tenants/{t}/projects/{p}/access" [yes UpToOwnRole no no no]

    /// Lists apps
    AppsList "app.list" Get "/api/v1/clusters/{c}/tenants/{t}/projects/{p}/apps" [yes yes OwnProjects OwnProjects no]
    /// Creates an app and its namespace
    AppsCreate "app.create" Post "/api/v1/clusters/{c}/tenants/{t}/projects/{p}/apps" [yes yes OwnProjects no no]
    /// Shows an app
    AppsGet "app.get" Get "/api/v1/clusters/{c}/tenants/{t}/projects/{p}/apps/{a}" [yes yes OwnProjects OwnProjects no]
    /// Replaces an app's specification
    AppsReplace "app.update" Put "/api/v1/clusters/{c}/tenants/{t}/projects/{p}/apps/{a}" [yes yes OwnProjects no no]
    /// Deletes an app
    AppsDelete "app.delete" Delete "/api/v1/clusters/{c}/tenants/{t}/projects/{p}/apps/{a}" [yes yes OwnProjects no no]
    /// Lists an app's revisions
    AppsRevisions "app.revisions" Get "/api/v1/clusters/{c}/tenants/{t}/projects/{p}/apps/{a}/revisions" [yes yes OwnProjects OwnProjects no]
    /// Compares two revisions
    AppsDiff "app.diff" Get "/api/v1/clusters/{c}/tenants/{t}/projects/{p}/apps/{a}/diff/{x}/{y}" [yes yes OwnProjects OwnProjects no]
    /// Restores an older revision
    AppsRollback "app.rollback" Post "/api/v1/clusters/{c}/tenants/{t}/projects/{p}/apps/{a}:rollback" [yes yes OwnProjects no no]

    /// Lists sandboxes
    SandboxesList "sandbox.list" Get "/api/v1/clusters/{c}/tenants/{t}/projects/{p}/sandboxes" [yes yes OwnProjects OwnProjects no]
    /// Creates a sandbox
    SandboxesCreate "sandbox.create" Post "/api/v1/clusters/{c}/tenants/{t}/projects/{p}/sandboxes" or "/api/v1/clusters/{c}/tenants/{t}/projects/{p}/sandbox" [yes yes SandboxSetting no no]
    /// Shows a sandbox
    SandboxesGet "sandbox.get" Get "/api/v1/clusters/{c}/tenants/{t}/projects/{p}/sandboxes/{s}" [yes yes OwnProjects OwnProjects no]
    /// Deletes a sandbox
    SandboxesDelete "sandbox.delete" Delete "/api/v1/clusters/{c}/tenants/{t}/projects/{p}/sandboxes/{s}" [yes yes OwnProjects no no]

    /// Lists the catalog
    CatalogList "catalog.list" Get "/api/v1/catalog" [yes OwnTenant OwnTenant OwnTenant no]
    /// Publishes an item
    CatalogCreate "catalog.create" Post "/api/v1/catalog" [yes TenantItems no no no]
    /// Shows an item; a tenant's own shadows the global one
    CatalogGet "catalog.get" Get "/api/v1/catalog/{slug}" [yes OwnTenant OwnTenant OwnTenant no]
    /// Replaces the description of an item
    CatalogReplace "catalog.update" Put "/api/v1/catalog/{slug}" [yes TenantItems no no no]
    /// Removes an item from the catalog, with `?force=true` one that apps refer to
    CatalogDelete "catalog.delete" Delete "/api/v1/catalog/{slug}" [yes TenantItems no no no]
    /// Lists versions of an item
    CatalogVersions "catalog.versions" Get "/api/v1/catalog/{slug}/versions" [yes OwnTenant OwnTenant OwnTenant no]
    /// Adds a version
    CatalogVersionsAdd "catalog.version.create" Post "/api/v1/catalog/{slug}/versions" [yes TenantItems no no no]
    /// Installs or upgrades an app from the catalog
    CatalogInstall "app.install" Post "/api/v1/clusters/{c}/tenants/{t}/projects/{p}/catalog/install" [yes yes OwnProjects no no]

    /// Lists policy sets
    PolicySetsList "policyset.list" Get "/api/v1/clusters/{c}/tenants/{t}/policysets" [yes yes yes yes no]
    /// Creates a policy set
    PolicySetsCreate "policyset.create" Post "/api/v1/clusters/{c}/tenants/{t}/policysets" [yes Tighten no no no]
    /// Shows a policy set, by id or name
    PolicySetsGet "policyset.get" Get "/api/v1/clusters/{c}/tenants/{t}/policysets/{id}" [yes yes yes yes no]
    /// Replaces a policy set
    PolicySetsReplace "policyset.update" Put "/api/v1/clusters/{c}/tenants/{t}/policysets/{id}" [yes Tighten no no no]
    /// Deletes a policy set
    PolicySetsDelete "policyset.delete" Delete "/api/v1/clusters/{c}/tenants/{t}/policysets/{id}" [yes OwnSets no no no]
    /// Lists the built-in policy sets
    PolicySetsCatalog "policyset.catalog" Get "/api/v1/clusters/{c}/policysets/catalog" [yes yes yes yes no]

    /// Lists the policies in force
    PoliciesList "policy.list" Get "/api/v1/policies" [yes OwnTenant OwnTenant OwnTenant no]
    /// Shows a policy in force
    PoliciesGet "policy.get" Get "/api/v1/policies/{id}" [yes OwnTenant OwnTenant OwnTenant no]
    /// Uploads a policy revision; it is compiled and tested first
    RevisionsUpload "policy.upload" Post "/api/v1/policies/revisions" [yes no no no no]
    /// Lists revisions of the policies
    RevisionsList "policy.revisions" Get "/api/v1/policies/revisions" [yes no no no no]
    /// Shows a revision of the policies
    RevisionsGet "policy.revision" Get "/api/v1/policies/revisions/{n}" [yes no no no yes]
    /// Compares two revisions of the policies
    RevisionsDiff "policy.diff" Get "/api/v1/policies/revisions/{n}/diff/{m}" [yes no no no no]
    /// Activates an older revision of the policies
    RevisionsRollback "policy.rollback" Post "/api/v1/policies/revisions/{n}:rollback" [yes no no no no]
    /// Evaluates a request without effect
    PoliciesEvaluate "policy.evaluate" Post "/api/v1/policies/evaluate" [yes OwnTenant OwnProjects no no]

    /// Lists exceptions
    ExceptionsList "exception.list" Get "/api/v1/exceptions" [yes OwnTenant no no no]
    /// Creates an exception
    ExceptionsCreate "exception.create" Post "/api/v1/exceptions" [yes Request no no no]
    /// Shows an exception
    ExceptionsGet "exception.get" Get "/api/v1/exceptions/{id}" [yes OwnTenant no no no]
    /// Deletes an exception
    ExceptionsDelete "exception.delete" Delete "/api/v1/exceptions/{id}" [yes OwnRequest no no no]
    /// Approves a request
    ExceptionsApprove "exception.approve" Post "/api/v1/exceptions/{id}:approve" [yes no no no no]

    /// Lists break-glass documents
    BreakglassList "breakglass.list" Get "/api/v1/breakglass" [yes no no no no]
    /// Opens a signed break-glass document
    BreakglassOpen "breakglass.use" Post "/api/v1/breakglass" [yes no no no no]
    /// Closes a break-glass document
    BreakglassClose "breakglass.close" Post "/api/v1/breakglass/{id}:close" [yes no no no no]

    /// Lists scans
    ScansList "scan.list" Get "/api/v1/scans" [yes OwnTenant no no no]
    /// Uploads a scan
    ScansCreate "scan.create" Post "/api/v1/scans" [yes no no no no]
    /// Shows a scan
    ScansGet "scan.get" Get "/api/v1/scans/{id}" [yes OwnTenant no no no]

    /// Lists settings
    SettingsList "settings.list" Get "/api/v1/settings" [yes no no no no]
    /// Shows a setting
    SettingsGet "settings.get" Get "/api/v1/settings/{key}" [yes no no no no]
    /// Replaces a setting
    SettingsReplace "settings.update" Put "/api/v1/settings/{key}" [yes no no no no]

    /// Reads the audit log
    AuditList "audit.list" Get "/api/v1/audit" [yes OwnTenant no no no]
    /// The snapshot for gates
    Snapshot "snapshot.get" Get "/api/v1/snapshot" [yes no no no yes]
}
