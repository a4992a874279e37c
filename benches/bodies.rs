//! Reviews as kube-apiserver sends them: a Pod with defaults, status and managedFields, of about 6 and 40 KB.

use serde_json::{Value, json};

/// A Pod of one container and its usual trimmings, some 6 KB as a review.
pub fn pod_6k(n: usize) -> Vec<u8> {
    review(n, 1, 22)
}

/// A Pod of eight containers with long environments, some 40 KB as a review.
pub fn pod_40k(n: usize) -> Vec<u8> {
    review(n, 8, 40)
}

fn review(n: usize, containers: usize, env: usize) -> Vec<u8> {
    let name = format!("web-{n:08x}");
    let uid = format!("018f2b7c-0000-7000-9000-{n:012x}");
    let containers: Vec<Value> = (0..containers).map(|index| container(index, env)).collect();
    let fields = managed(containers.len(), env);
    let pod = json!({
        "kind": "Pod", "apiVersion": "v1",
        "metadata": {
            "name": name, "generateName": "web-", "namespace": "tn-acme-shop-sbx-001", "uid": uid,
            "creationTimestamp": "2026-11-21T02:13:00Z",
            "labels": {
                "app.kubernetes.io/name": "web", "app.kubernetes.io/instance": "shop", "pod-template-hash": "7d4f9c8b6",
                "kubenova.io/tenant-id": "018f2b7c-0000-7000-8000-000000000001",
                "kubenova.io/project-id": "018f2b7c-0000-7000-8000-000000000011"
            },
            "annotations": {"prometheus.io/scrape": "true", "prometheus.io/port": "8080", "checksum/config": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"},
            "managedFields": [{"manager": "kubectl-create", "operation": "Update", "apiVersion": "v1", "time": "2026-11-21T02:13:00Z", "fieldsType": "FieldsV1", "fieldsV1": fields}]
        },
        "spec": {
            "volumes": [
                {"name": "config", "configMap": {"name": "web-config", "defaultMode": 420}},
                {"name": "kube-api-access-x7k2p", "projected": {"sources": [{"serviceAccountToken": {"expirationSeconds": 3607, "path": "token"}}, {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}}, {"downwardAPI": {"items": [{"path": "namespace", "fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.namespace"}}]}}], "defaultMode": 420}}
            ],
            "containers": containers, "restartPolicy": "Always", "terminationGracePeriodSeconds": 30, "dnsPolicy": "ClusterFirst",
            "serviceAccountName": "default", "serviceAccount": "default", "securityContext": {"runAsNonRoot": true, "seccompProfile": {"type": "RuntimeDefault"}},
            "schedulerName": "default-scheduler", "priority": 0, "enableServiceLinks": true, "preemptionPolicy": "PreemptLowerPriority",
            "tolerations": [{"key": "node.kubernetes.io/not-ready", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300}, {"key": "node.kubernetes.io/unreachable", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300}]
        },
        "status": {"phase": "Pending", "qosClass": "Burstable"}
    });
    // The order of Go's struct fields: header first, then the objects. serde_json's map would sort them.
    let header = format!(
        r#"{{"kind":"AdmissionReview","apiVersion":"admission.k8s.io/v1","request":{{"uid":"{uid}","kind":{{"group":"","version":"v1","kind":"Pod"}},"resource":{{"group":"","version":"v1","resource":"pods"}},"requestKind":{{"group":"","version":"v1","kind":"Pod"}},"requestResource":{{"group":"","version":"v1","resource":"pods"}},"name":"{name}","namespace":"tn-acme-shop-sbx-001","operation":"CREATE","userInfo":{{"username":"alice@acme.io","groups":["acme-devs","projectcapsule.dev","system:authenticated"]}},"object":"#
    );
    let tail = r#","oldObject":null,"dryRun":false,"options":{"kind":"CreateOptions","apiVersion":"meta.k8s.io/v1","fieldManager":"kubectl-create","fieldValidation":"Strict"}}}"#;
    format!("{header}{pod}{tail}").into_bytes()
}

fn container(index: usize, env: usize) -> Value {
    let env: Vec<Value> = (0..env).map(|n| json!({"name": format!("SETTING_{index}_{n}"), "value": format!("value-{n}-of-container-{index}")})).collect();
    json!({
        "name": format!("web-{index}"), "image": format!("registry.example.com/tenants/acme/web-{index}:2.1.7"), "command": ["/app/web"], "args": ["--listen=:8080", "--config=/etc/web/config.yaml"],
        "ports": [{"name": "http", "containerPort": 8080, "protocol": "TCP"}], "env": env,
        "resources": {"limits": {"cpu": "500m", "memory": "256Mi"}, "requests": {"cpu": "100m", "memory": "128Mi"}},
        "volumeMounts": [{"name": "config", "mountPath": "/etc/web"}, {"name": "kube-api-access-x7k2p", "readOnly": true, "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount"}],
        "livenessProbe": {"httpGet": {"path": "/healthz", "port": "http", "scheme": "HTTP"}, "timeoutSeconds": 1, "periodSeconds": 10, "successThreshold": 1, "failureThreshold": 3},
        "readinessProbe": {"httpGet": {"path": "/ready", "port": "http", "scheme": "HTTP"}, "timeoutSeconds": 1, "periodSeconds": 5, "successThreshold": 1, "failureThreshold": 3},
        "terminationMessagePath": "/dev/termination-log", "terminationMessagePolicy": "File", "imagePullPolicy": "IfNotPresent",
        "securityContext": {"capabilities": {"drop": ["ALL"]}, "runAsUser": 10001, "allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true}
    })
}

fn managed(containers: usize, env: usize) -> Value {
    let env: serde_json::Map<String, Value> = (0..env)
        .map(|n| (format!("k:{{\"name\":\"SETTING_0_{n}\"}}"), json!({".": {}, "f:name": {}, "f:value": {}})))
        .collect();
    let one = json!({".": {}, "f:args": {}, "f:command": {}, "f:env": env, "f:image": {}, "f:imagePullPolicy": {}, "f:livenessProbe": {".": {}, "f:httpGet": {".": {}, "f:path": {}, "f:port": {}}}, "f:name": {}, "f:ports": {}, "f:resources": {".": {}, "f:limits": {}, "f:requests": {}}, "f:securityContext": {}, "f:volumeMounts": {}});
    let containers: serde_json::Map<String, Value> =
        (0..containers).map(|n| (format!("k:{{\"name\":\"web-{n}\"}}"), one.clone())).collect();
    json!({"f:metadata": {"f:annotations": {".": {}, "f:checksum/config": {}}, "f:generateName": {}, "f:labels": {".": {}, "f:app.kubernetes.io/name": {}}}, "f:spec": {"f:containers": containers, "f:dnsPolicy": {}, "f:restartPolicy": {}, "f:volumes": {}}})
}
