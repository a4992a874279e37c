//! Which of the permissions that we need are missing, all of them at once.

use k8s_openapi::api::authorization::v1::{
    ResourceAttributes, SelfSubjectAccessReview, SelfSubjectAccessReviewSpec,
};
use kube::Api;
use kube::api::PostParams;

use super::client::Cluster;
use super::error::{ClusterError, Need};

impl Cluster {
    /// Asks for each permission whether we have it.
    ///
    /// # Errors
    /// [`ClusterError::Forbidden`] with every one that is missing; or the API server cannot be asked.
    pub async fn may(&self, needs: &[Need]) -> Result<(), ClusterError> {
        let api: Api<SelfSubjectAccessReview> = Api::all(self.client.clone());
        let mut missing = Vec::new();
        for need in needs {
            let review = SelfSubjectAccessReview { spec: spec(need), ..Default::default() };
            let asked = Need::new("create", "authorization.k8s.io", "selfsubjectaccessreviews");
            let answer = api.create(&PostParams::default(), &review).await;
            let answer = answer.map_err(|error| asked.failed(&error))?;
            if !answer.status.is_some_and(|status| status.allowed) {
                missing.push(need.clone());
            }
        }
        if missing.is_empty() { Ok(()) } else { Err(ClusterError::Forbidden(missing)) }
    }
}

fn spec(need: &Need) -> SelfSubjectAccessReviewSpec {
    let attributes = ResourceAttributes {
        verb: Some(need.verb.to_owned()),
        group: Some(need.group.to_owned()),
        resource: Some(need.resource.to_owned()),
        namespace: need.namespace.clone(),
        name: need.name.clone(),
        ..Default::default()
    };
    SelfSubjectAccessReviewSpec { resource_attributes: Some(attributes), ..Default::default() }
}
