"""Adds to a seeded ledger what `portcullis seed` does not make, and prints the names of what there is, as a part of
schemathesis.toml: most paths lead to something then, and the requests behind them are more than 404."""

import base64
import json
import os
import urllib.request
from datetime import datetime, timedelta, timezone

URL = os.environ["PORTCULLIS_API_URL"]
TOKEN = os.environ["PORTCULLIS_TOKEN"]
TENANT = "/api/v1/clusters/default/tenants/acme"


def ask(method, path, body=None):
    """What the API answers; anything but 2xx ends the program."""
    data = None if body is None else json.dumps(body).encode()
    headers = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"}
    request = urllib.request.Request(URL + path, data, headers, method=method)
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.loads(answer.read() or b"null")


def later(hours):
    return (datetime.now(timezone.utc) + timedelta(hours=hours)).strftime("%Y-%m-%dT%H:%M:%SZ")


ask("PUT", f"{TENANT}/members/ada", {"role": "projectDev"})
ask("POST", f"{TENANT}/policysets", {"name": "calm", "rules": []})
app = f"{TENANT}/projects/shop/apps/frontend"
ask("PUT", app, {"spec": {"source": {"containerImage": {"image": "docker.io/library/nginx", "tag": "1.30"}}}})
exempt = {"policy": "registry-allowlist", "objects": [{"namespace": "tn-acme-shop-app-frontend", "resource": "pods"}]}
exception = ask("POST", "/api/v1/exceptions", {**exempt, "reason": "a test", "expires": later(24)})
found = {"policy": "registry-allowlist", "object": "tn-acme-shop-app-frontend/pods/x", "message": "no"}
scan = ask("POST", "/api/v1/scans", {"startedAt": later(-1), "policyRevision": "0" * 64, "findings": [found]})
document = {
    "id": "0198c5f2-7a4e-7c31-b1f5-4a3a7c1d2e9f",
    "users": ["ada"],
    "namespaces": ["tn-acme-shop-app-frontend"],
    "policies": ["registry-allowlist"],
    "reason": "a test",
    "notBefore": later(-1),
    "expires": later(4),
}
ask("POST", "/api/v1/breakglass", {"document": document, "signature": base64.b64encode(bytes(64)).decode()})
ask("POST", "/api/v1/policies/revisions", {"files": {}, "note": "nothing of our own"})

# What stands more than once is asked for more often; the rest is what another tenant has.
NAMES = {
    "c": ["default"],
    "t": ["acme", "acme", "acme", "globex"],
    "p": ["shop", "shop", "shop", "web"],
    "a": ["frontend", "frontend", "frontend", "site"],
    "s": ["sbx-001"],
    "slug": ["web", "cache"],
    "name": ["gold", "baseline"],
    "subject": ["ada", "ledger#ada"],
    "key": ["registries", "identities", "prefix", "labelPrefix", "connect", "workloadWrites"],
    "n": [1, 2],
    "m": [1, 2],
    "x": [1, 2],
    "y": [1, 2],
}
# `{id}` is another thing on each of these.
IDS = {
    "policysets": ["calm"],
    "policies": ["registry-allowlist", "sandbox-target"],
    "exceptions": [exception["id"]],
    "breakglass": [document["id"]],
    "scans": [scan["id"]],
}


def bound(name, dictionary):
    return f'"path.{name}" = {{ dictionary = "{dictionary}", probability = 0.9 }}'


for name, values in (NAMES | IDS).items():
    print(f"\n[dictionaries.{name}]\nvalues = {json.dumps(values)}")
print("\n[parameters]")
for name in NAMES:
    print(bound(name, name))
for name in IDS:
    print(f'\n[[operations]]\ninclude-path-regex = "/{name}/{{id}}"')
    print(f"[operations.parameters]\n{bound('id', name)}")
