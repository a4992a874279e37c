use std::convert::Infallible;
use std::sync::{Arc, Mutex};

use hyper::http::{Request, Response};
use kube::Client;
use kube::client::Body;
use serde_json::{Value, json};

use super::*;

/// A cluster that gives these answers in order, and the URIs that were requested.
fn scripted(answers: Vec<(u16, Value)>) -> (Cluster, Arc<Mutex<Vec<String>>>) {
    let requests = Arc::new(Mutex::new(Vec::new()));
    let (answers, log) = (Arc::new(Mutex::new(answers.into_iter())), Arc::clone(&requests));
    let service = tower::service_fn(move |request: Request<Body>| {
        log.lock().unwrap().push(request.uri().to_string());
        let (code, body) = answers.lock().unwrap().next().expect("more requests than answers");
        let response = Response::builder().status(code).body(Body::from(body.to_string().into_bytes()));
        async move { Ok::<_, Infallible>(response.unwrap()) }
    });
    let client = Client::new(service, "default");
    (Cluster { client, namespace: "default".to_owned(), server: String::new() }, requests)
}

fn page(names: &[&str], next: &str) -> (u16, Value) {
    let items: Vec<Value> =
        names.iter().map(|name| json!({"metadata": {"namespace": "n", "name": name}})).collect();
    (200, json!({"kind": "PodList", "apiVersion": "v1", "metadata": {"continue": next}, "items": items}))
}

fn gone(next: Option<&str>) -> (u16, Value) {
    let metadata = next.map_or_else(|| json!({}), |next| json!({"continue": next}));
    (
        410,
        json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": 410, "reason": "Expired", "message": "too old", "metadata": metadata}),
    )
}

async fn names(cluster: &Cluster) -> Result<Vec<String>, ListError> {
    let pods = ListableResource {
        group: String::new(),
        api_version: "v1".to_owned(),
        resource: "pods".to_owned(),
        kind: "Pod".to_owned(),
        namespaced: true,
    };
    let mut names = Vec::new();
    let given = cluster
        .list_each(&pods, 2, |item| {
            names.push(item.name.to_owned());
            Ok::<(), Infallible>(())
        })
        .await?;
    assert!(given.is_ok());
    Ok(names)
}

#[tokio::test]
async fn list_is_read_page_by_page() {
    let (cluster, requests) = scripted(vec![page(&["a", "b"], "x y"), page(&["c"], "")]);
    assert_eq!(names(&cluster).await.unwrap(), ["a", "b", "c"]);
    let requests = requests.lock().unwrap().clone();
    assert!(requests[0].contains("/api/v1/pods?") && requests[0].contains("limit=2"), "{requests:?}");
    assert!(requests[1].contains("continue=x+y"), "{requests:?}");
}

#[tokio::test]
async fn expired_continue_token_loses_no_object_and_gives_none_twice() {
    let restart = vec![page(&["a", "b"], "1"), gone(None), page(&["a", "b"], "2"), page(&["c"], "")];
    let (cluster, requests) = scripted(restart);
    assert_eq!(names(&cluster).await.unwrap(), ["a", "b", "c"]);
    assert!(!requests.lock().unwrap()[2].contains("continue"));
    let resumed = vec![page(&["a", "b"], "1"), gone(Some("2")), page(&["c"], "")];
    let (cluster, requests) = scripted(resumed);
    assert_eq!(names(&cluster).await.unwrap(), ["a", "b", "c"]);
    assert!(requests.lock().unwrap()[2].contains("continue=2"));
    let (cluster, _) = scripted(std::iter::repeat_with(|| gone(None)).take(RESTARTS_MAX + 1).collect());
    let error = names(&cluster).await.unwrap_err().to_string();
    assert_eq!(error, "pods: the API server answers 410: too old");
}

#[tokio::test]
async fn forbidden_list_names_the_permission() {
    let refused = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": 403, "reason": "Forbidden", "message": "no"});
    let (cluster, _) = scripted(vec![(403, refused)]);
    let error = names(&cluster).await.unwrap_err();
    assert!(error.forbidden);
    assert_eq!(error.to_string(), "pods: permissions are missing in RBAC; grant: list pods");
}
