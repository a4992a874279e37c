//! Where a request is: a project of a tenant on a cluster, each checked to belong to the one before it.

use super::problem::Problem;
use portcullis_store::Tx;
use portcullis_store::projects::{self, Project};
use portcullis_store::tenants::{self, Tenant};

/// The variables of the path, by id or slug.
pub type Names = (String, String, String);

/// A project and its tenant, as the ledger has them.
#[derive(Debug, Clone)]
pub struct Place {
    /// The tenant.
    pub tenant: Tenant,
    /// The project.
    pub project: Project,
}

impl Place {
    /// For whoever reads.
    ///
    /// # Errors
    /// 404 of the first that is not there.
    pub async fn read(tx: &mut Tx, c: &str, t: &str, p: &str) -> Result<Self, Problem> {
        let tenant = tenants::get(tx, c, t).await?;
        let project = projects::get(tx, &tenant.id, p).await?;
        Ok(Self { tenant, project })
    }

    /// For whoever changes something in it: the tenant is locked until the commit.
    ///
    /// # Errors
    /// As [`Self::read`], and 403 where the tenant is suspended.
    pub async fn change(tx: &mut Tx, c: &str, t: &str, p: &str) -> Result<Self, Problem> {
        let tenant = tenants::change(tx, c, t).await?;
        let project = projects::get(tx, &tenant.id, p).await?;
        Ok(Self { tenant, project })
    }

    /// Both, as the ledger's functions take them.
    pub const fn both(&self) -> (&Tenant, &Project) {
        (&self.tenant, &self.project)
    }

    /// The path of something in it.
    pub fn path(&self, below: &str) -> String {
        let Self { tenant, project } = self;
        format!(
            "/api/v1/clusters/{}/tenants/{}/projects/{}/{below}",
            tenant.cluster_id, tenant.name, project.name
        )
    }
}
