#!/usr/bin/env python3
"""Learns in which order the functions of the release binary should lie, and writes it beside this file:

    deploy/layout/learn.py              (wants valgrind, curl and nm)
    deploy/layout/learn.py --check      says how much of the order still fits the binary that is there

The kernel maps a program's text in windows of 64 KiB, so that one function that runs makes fifteen pages resident that
nobody asked for. A gate is started under callgrind, which notes every function that runs; what serves a review comes
first, then what a reload, a scrape and a start touch. The linker lays the text out in that order (build.rs), and what
runs is dense. Names carry hashes of the compiler and of Cargo.lock: learn again after a change of either, before a
release. A name that is gone is passed over: the layout is worse by it, and nothing else.
"""

import json
import os
import pathlib
import platform
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
ORDER = HERE / "x86_64-unknown-linux-gnu.order"
BINARY = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "release" / "portcullis"

SANDBOX = "tn-acme-shop-sbx-001"


class Watched:
    """A server under callgrind."""

    def __init__(self, work, name, *flags):
        self.work, self.parts, self.name = work, 0, name
        self.ready = work / f"ready.{name}"
        # What is kept by default is kept in the user's folder: not in that of whoever learns.
        env = {key: value for key, value in os.environ.items() if key != "XDG_DATA_HOME"} | {"HOME": str(work)}
        # A server without it begins once more (src/main.rs), which callgrind does not follow.
        env["MIMALLOC_PURGE_DELAY"] = "0"
        watch = ["valgrind", "--tool=callgrind", "--demangle=no", f"--callgrind-out-file={work}/ran.{name}"]
        serve = [BINARY, "serve", "--listen=127.0.0.1:0", "--admin=127.0.0.1:0", f"--ready-file={self.ready}"]
        tls = [f"--tls-cert={work}/certs/tls.pem", f"--tls-key={work}/certs/tls-key.pem"]
        with open(work / f"{name}.log", "w") as log:
            self.process = subprocess.Popen(watch + serve + tls + list(flags), env=env, stdout=log, stderr=log)
        while not (self.ready.exists() and self.ready.read_text()):
            if self.process.poll() is not None:
                sys.exit((work / f"{name}.log").read_text())
            time.sleep(0.2)
        self.addresses = json.loads(self.ready.read_text())

    def noted(self):
        """Ends a part: the functions that ran since the last one."""
        time.sleep(2)
        subprocess.run(["callgrind_control", "-d", str(self.process.pid)], check=True, stdout=subprocess.DEVNULL)
        time.sleep(2)
        self.parts += 1
        return self.work / f"ran.{self.name}.{self.parts}"

    def end(self):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait()
        return self.work / f"ran.{self.name}"


def image(name):
    return {"containers": [{"name": "web", "image": name, "env": [{"name": "A", "value": "b"}]}]}


def reviews():
    """A Pod that is allowed, one that is denied, and a changed Deployment, as kube-apiserver tells of them."""
    good, bad = "docker.io/library/nginx:1.27", "evil.io/miner:1"
    yield "Pod", "", "pods", "CREATE", image(good), None
    yield "Pod", "", "pods", "CREATE", image(bad), None
    template = [{"replicas": at, "template": {"metadata": {"labels": {"app": "web"}}, "spec": image(good)}} for at in (1, 2)]
    yield "Deployment", "apps", "deployments", "UPDATE", template[1], template[0]


def body(number, kind, group, resource, operation, spec, old):
    version = f"{group}/v1".lstrip("/")
    whole = lambda spec: spec and {
        "apiVersion": version, "kind": kind, "metadata": {"name": "web", "namespace": SANDBOX}, "spec": spec}
    request = {
        "uid": f"018f2b7c-0000-7000-9000-{number:012x}",
        "kind": {"group": group, "version": "v1", "kind": kind},
        "resource": {"group": group, "version": "v1", "resource": resource},
        "name": "web", "namespace": SANDBOX, "operation": operation,
        "userInfo": {"username": "alice@acme.io", "groups": ["acme-devs", "projectcapsule.dev", "system:authenticated"]},
        "object": whole(spec), "oldObject": whole(old), "dryRun": False, "options": None,
    }
    return json.dumps({"kind": "AdmissionReview", "apiVersion": "admission.k8s.io/v1", "request": request})


def curl(*args, check=True, **more):
    subprocess.run(["curl", "--silent", "--fail", "--output", os.devnull, *args], check=check, **more)


def ask(server):
    number = 0
    for protocol in ("--http1.1", "--http2"):
        for review in reviews():
            for path in ("validate", "mutate"):
                number += 1
                curl(protocol, "--cacert", f"{server.work}/certs/ca.pem", "-H", "Content-Type: application/json",
                     "--data-binary", "@-", f"https://{server.addresses['webhook']}/{path}",
                     input=body(number, *review), text=True)


def named(part, names):
    """The functions of a part in the order in which callgrind names them; an earlier part may have told what a number means."""
    for line in part.read_text().splitlines():
        if found := re.match(r"c?fn=\((\d+)\)(?: (.+))?", line):
            if found[2]:
                # A recursion's level is no part of the name.
                names[found[1]] = re.sub(r"'\d+$", "", found[2])
            yield names[found[1]]


def learn(work):
    subprocess.run([BINARY, "certs", "--dir", work / "certs"], check=True, stdout=subprocess.DEVNULL)
    shutil.copy(ROOT / "tests/cases/world.yaml", work / "world.yaml")
    shutil.copytree(ROOT / "policies", work / "policies")
    gate = Watched(work, "gate", "--role=gate", f"--policies={work}/policies", f"--tenancy={work}/world.yaml")
    start = gate.noted()
    ask(gate)
    asked = gate.noted()
    curl(f"http://{gate.addresses['admin']}/readyz")
    law = min(path for path in (work / "policies").rglob("*.rego") if not path.name.endswith("_test.rego"))
    for path in (work / "world.yaml", law):
        path.write_text(path.read_text() + "\n# a change\n")
        time.sleep(5)
    rest = gate.noted()
    # What collects process_* looks for a vDSO, which valgrind hides, and the process ends: so the last that is asked.
    curl(f"http://{gate.addresses['admin']}/metrics", check=False)
    scrape = gate.end()
    everything = Watched(work, "all", "--role=all")
    both = everything.noted()
    everything.end()
    names = {}
    start, asked, rest, scrape = (list(named(part, names)) for part in (start, asked, rest, scrape))
    return dict.fromkeys(asked + scrape + rest + start + list(named(both, {})))


def without_number(name):
    """The number that link-time optimisation gives is another one in each folder."""
    return re.sub(r"\.llvm\.\d+$", ".llvm.*", name)


def defined():
    listed = subprocess.run(["nm", "--defined-only", BINARY], check=True, capture_output=True, text=True).stdout
    return {line.split(" ", 2)[2] for line in listed.splitlines()}


def check():
    """Says it and no more: an old order costs memory, and nobody who only changes a dependency should need valgrind."""
    if (platform.system(), platform.machine()) != ("Linux", "x86_64"):
        return
    ours, order = {without_number(name) for name in defined()}, ORDER.read_text().split()
    fits = 100 * sum(name in ours for name in order) // len(order)
    print(f"layout: {fits} % of the order is there" + ("" if fits >= 90 else "; `make layout` learns it anew"))


def main():
    if "--check" in sys.argv[1:]:
        return check()
    subprocess.run(["cargo", "build", "--locked", "--release", "--bin", "portcullis"], check=True, cwd=ROOT)
    ours = defined()
    with tempfile.TemporaryDirectory() as work:
        ran = [name for name in learn(pathlib.Path(work)) if name in ours]
    order = dict.fromkeys(without_number(name) for name in ran)
    ORDER.write_text("".join(f"{name}\n" for name in order))
    print(f"{len(order)} functions in {ORDER}")


if __name__ == "__main__":
    main()
