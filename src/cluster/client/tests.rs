use std::path::Path;

use super::*;

async fn refused(args: ClusterArgs) -> String {
    match args.connect().await {
        Ok(cluster) => panic!("connected to {}", cluster.server),
        Err(error) => error.to_string(),
    }
}

fn args(file: &Path, context: Option<&str>) -> ClusterArgs {
    ClusterArgs { kubeconfig: Some(file.to_path_buf()), context: context.map(str::to_owned) }
}

const TWO: &str = r"
apiVersion: v1
kind: Config
current-context: here
clusters: [{name: c, cluster: {server: 'https://127.0.0.1:1'}}]
users: [{name: u, user: {token: t}}]
contexts:
- {name: here, context: {cluster: c, user: u, namespace: gate}}
- {name: there, context: {cluster: nowhere, user: u}}
";

#[tokio::test]
async fn invalid_kubeconfig_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("config");
    let missing = refused(args(&file, None)).await;
    assert!(missing.contains(&file.display().to_string()) && missing.contains("No such file"), "{missing}");
    std::fs::write(&file, "contexts: {").unwrap();
    let broken = refused(args(&file, None)).await;
    assert!(broken.contains("failed to parse kubeconfig YAML"), "{broken}");
    std::fs::write(&file, TWO).unwrap();
    let context = refused(args(&file, Some("staging"))).await;
    assert!(context.ends_with("context `staging` does not exist; it has `here`, `there`"), "{context}");
    let cluster = refused(args(&file, Some("there"))).await;
    assert!(cluster.contains("failed to load the cluster of context: nowhere"), "{cluster}");
    std::fs::write(&file, TWO.replace("token: t", "client-certificate: missing.pem")).unwrap();
    let certificate = refused(args(&file, None)).await;
    assert!(certificate.contains(&file.display().to_string()), "{certificate}");
}

#[tokio::test]
async fn namespace_comes_from_the_context_and_unreachable_server_is_reported() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("config");
    std::fs::write(&file, TWO).unwrap();
    let cluster = args(&file, None).connect().await.unwrap();
    assert_eq!((cluster.namespace.as_str(), cluster.server.as_str()), ("gate", "https://127.0.0.1:1/"));
    let error = cluster.reach().await.unwrap_err().to_string();
    assert!(error.starts_with("cannot reach the API server") && error.contains("refused"), "{error}");
}
