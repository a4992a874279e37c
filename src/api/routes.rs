//! Every route there is, on one page.
//!
//! Method, path, audience and sentence of an action stand in [`portcullis_access::matrix`]; what is taken and answered, in the
//! handler's signature. A row adds the codes that the handler may answer beside those of every route of its shape.

use super::problem::Code;
use super::route::{Route, route};
#[rustfmt::skip] // one a line, so that two who add one do not meet
use super::{
    apps,
    audit,
    breakglass,
    catalog,
    clusters,
    evaluate,
    exceptions,
    install,
    members,
    meta,
    platform,
    policies,
    policy_revisions,
    policysets,
    projects,
    sandboxes,
    scans,
    snapshot,
    tenants,
    tokens,
};
use portcullis_access::Action as A;

/// The table.
pub fn table() -> Vec<Route> {
    [server(), tenancy(), workloads(), policy_routes()].into_iter().flatten().collect()
}

/// The server itself, who is asking, and what was done.
#[rustfmt::skip] // a route, a line
fn server() -> Vec<Route> {
    vec![
        route(A::Version, meta::version, &[]),
        route(A::Features, meta::features, &[]),
        route(A::OpenApi, meta::openapi, &[]),
        route(A::Docs, meta::docs, &[]),
        route(A::Jwks, meta::jwks, &[]),
        route(A::Me, meta::me, &[]),

        route(A::TokensList,   tokens::list,   &[]),
        route(A::TokensMint,   tokens::mint,   &[Code::TenantNotFound, Code::TenantSuspended, Code::UnprocessableEntity]).secret(),
        route(A::TokensRevoke, tokens::revoke, &[Code::NotFound]),

        route(A::SettingsList,    platform::list_settings,   &[]),
        route(A::SettingsGet,     platform::get_setting,    &[Code::NotFound]),
        route(A::SettingsReplace, platform::replace_setting, &[Code::NotFound, Code::Conflict, Code::UnprocessableEntity]),

        route(A::AuditList, audit::list, &[Code::TenantNotFound]),

        route(A::Snapshot, snapshot::get, &[Code::ClusterNotFound]).waits(),
    ]
}

/// Who is on the platform, and where.
#[rustfmt::skip] // a route, a line
fn tenancy() -> Vec<Route> {
    vec![
        route(A::ClustersList,   clusters::list,   &[]),
        route(A::ClustersCreate, clusters::create, &[Code::MasterKeyMissing, Code::UnprocessableEntity]),
        route(A::ClustersGet,    clusters::get,    &[]),
        route(A::ClustersUpdate, clusters::update, &[]),
        route(A::ClustersDelete, clusters::delete, &[Code::HasDependents]),

        route(A::TenantsList,            tenants::list,             &[]),
        route(A::TenantsCreate,          tenants::create,           &[Code::RegistryNotAllowed, Code::UnprocessableEntity]),
        route(A::TenantsGet,             tenants::get,              &[]),
        route(A::TenantsUpdate,          tenants::update,           &[Code::RegistryNotAllowed, Code::UnprocessableEntity, Code::TenantSuspended]),
        route(A::TenantsDelete,          tenants::delete,           &[Code::HasDependents]),
        route(A::TenantsOwners,          tenants::owners,           &[Code::TenantSuspended]),
        route(A::TenantsQuotas,          tenants::quotas,           &[]),
        route(A::TenantsLimits,          tenants::limits,           &[]),
        route(A::TenantsNetworkPolicies, tenants::network_policies, &[]),
        route(A::TenantsSuspend,         tenants::suspend,          &[]),
        route(A::TenantsResume,          tenants::resume,           &[]),
        route(A::TenantsSummary,         tenants::summary,          &[]),
        route(A::TenantsPlan,            tenants::plan,             &[Code::UnprocessableEntity]),

        route(A::MembersList,   members::list,   &[]),
        route(A::MembersPut,    members::put,    &[Code::UnprocessableEntity, Code::TenantSuspended]),
        route(A::MembersDelete, members::delete, &[Code::NotFound]),

        route(A::PlansList, platform::list_plans, &[]),
        route(A::PlansGet,  platform::get_plan, &[Code::NotFound]),

        route(A::ProjectsList,   projects::list,   &[]),
        route(A::ProjectsCreate, projects::create, &[Code::TenantSuspended]),
        route(A::ProjectsGet,    projects::get,    &[]),
        route(A::ProjectsUpdate, projects::update, &[Code::UnprocessableEntity, Code::TenantSuspended]),
        route(A::ProjectsDelete, projects::delete, &[Code::HasDependents]),
        route(A::ProjectsAccess, projects::access, &[Code::UnprocessableEntity, Code::TenantSuspended]),
    ]
}

/// What runs there, and where it comes from.
#[rustfmt::skip] // a route, a line
fn workloads() -> Vec<Route> {
    vec![
        route(A::AppsList,      apps::list,      &[]),
        route(A::AppsCreate,    apps::create,    &[Code::TenantSuspended, Code::NameTooLong, Code::RegistryNotAllowed, Code::QuotaExceeded]),
        route(A::AppsGet,       apps::get,       &[Code::AppNotFound]),
        route(A::AppsReplace,   apps::replace,   &[Code::AppNotFound, Code::TenantSuspended, Code::UnprocessableEntity, Code::RegistryNotAllowed]),
        route(A::AppsDelete,    apps::delete,    &[Code::AppNotFound]),
        route(A::AppsRevisions, apps::revisions::list,&[Code::AppNotFound]),
        route(A::AppsDiff,      apps::revisions::diff,  &[Code::AppNotFound]),
        route(A::AppsRollback,  apps::revisions::rollback, &[Code::AppNotFound, Code::TenantSuspended, Code::RegistryNotAllowed]),

        route(A::SandboxesList,   sandboxes::list,   &[]),
        route(A::SandboxesCreate, sandboxes::create, &[Code::TenantSuspended, Code::NameTooLong, Code::QuotaExceeded]),
        route(A::SandboxesGet,    sandboxes::get,    &[Code::SandboxNotFound]),
        route(A::SandboxesDelete, sandboxes::delete, &[Code::SandboxNotFound]),

        route(A::CatalogList,        catalog::list,     &[Code::TenantNotFound]),
        route(A::CatalogCreate,      catalog::create,   &[Code::TenantNotFound, Code::TenantSuspended, Code::RegistryNotAllowed]),
        route(A::CatalogGet,         catalog::get,      &[Code::TenantNotFound, Code::CatalogItemNotFound]),
        route(A::CatalogReplace,     catalog::replace,  &[Code::TenantNotFound, Code::CatalogItemNotFound, Code::TenantSuspended]),
        route(A::CatalogDelete,      catalog::delete,   &[Code::TenantNotFound, Code::CatalogItemNotFound, Code::HasDependents]),
        route(A::CatalogVersions,    catalog::versions, &[Code::TenantNotFound, Code::CatalogItemNotFound]),
        route(A::CatalogVersionsAdd, catalog::add,      &[Code::TenantNotFound, Code::CatalogItemNotFound, Code::TenantSuspended, Code::RegistryNotAllowed]),
        route(A::CatalogInstall,     install::install,  &[Code::CatalogItemNotFound, Code::TenantSuspended, Code::SandboxTargetForbidden, Code::NameTooLong, Code::RegistryNotAllowed, Code::QuotaExceeded]),
    ]
}

/// What is allowed.
#[rustfmt::skip] // a route, a line
fn policy_routes() -> Vec<Route> {
    vec![
        route(A::PolicySetsList,    policysets::list,    &[]),
        route(A::PolicySetsCreate,  policysets::create,  &[Code::PolicyInvalid, Code::TenantSuspended]),
        route(A::PolicySetsGet,     policysets::get,     &[Code::PolicyNotFound]),
        route(A::PolicySetsReplace, policysets::replace, &[Code::PolicyNotFound, Code::PolicyInvalid, Code::TenantSuspended, Code::Conflict]),
        route(A::PolicySetsDelete,  policysets::delete,  &[Code::PolicyNotFound]),
        route(A::PolicySetsCatalog, policysets::catalog, &[]),

        route(A::PoliciesList,      policies::list,      &[Code::TenantNotFound]),
        route(A::PoliciesGet,       policies::get,       &[Code::TenantNotFound, Code::PolicyNotFound]),
        route(A::PoliciesEvaluate,  evaluate::evaluate,  &[Code::TenantNotFound]),
        route(A::RevisionsUpload,   policy_revisions::upload,        &[Code::PolicyInvalid]),
        route(A::RevisionsList,     policy_revisions::list,          &[]),
        route(A::RevisionsGet,      policy_revisions::get,           &[Code::PolicyNotFound]),
        route(A::RevisionsDiff,     policy_revisions::diff,          &[Code::PolicyNotFound]),
        route(A::RevisionsRollback, policy_revisions::rollback,      &[Code::PolicyNotFound, Code::PolicyInvalid]),

        route(A::ExceptionsList,    exceptions::list,    &[]),
        route(A::ExceptionsCreate,  exceptions::create,  &[Code::TenantNotFound, Code::TenantSuspended]),
        route(A::ExceptionsGet,     exceptions::get,     &[Code::ExceptionNotFound]),
        route(A::ExceptionsDelete,  exceptions::delete,  &[Code::ExceptionNotFound]),
        route(A::ExceptionsApprove, exceptions::approve, &[Code::ExceptionNotFound]),
        route(A::BreakglassList,    breakglass::list,    &[]),
        route(A::BreakglassOpen,    breakglass::open,    &[]),
        route(A::BreakglassClose,   breakglass::close,   &[Code::BreakglassNotFound]),
        route(A::ScansList,         scans::list,         &[]),
        route(A::ScansCreate,       scans::create,       &[]),
        route(A::ScansGet,          scans::get,          &[Code::ScanNotFound]),
    ]
}

#[cfg(test)]
mod tests;
