# Few words, plain ones. Each works as the only command typed on a fresh machine with Rust and a C compiler;
# `make test` wants Go too.
#
#   make            says what there is
#   make demo       see it at work
#   make test       everything that must pass

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

PORTCULLIS := $(or $(CARGO_TARGET_DIR),target)/release/portcullis
# How long each fuzz target runs under `make fuzz`, in seconds; `make test` takes FUZZ_SHORT.
FUZZ_SECONDS ?= 60
FUZZ_SHORT ?= 5

.PHONY: help
help: ## says what there is
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{ printf "  make %-15s %s\n", $$1, $$2 }'

.PHONY: demo
demo: build ## starts the gate on loopback, sends it a dozen writes, shows what it says
	@$(PORTCULLIS) demo

.PHONY: test
test: fmt-check lint build controlplane ## everything: format, lints, unit and integration tests, policies and their cases, the API under schemathesis, a short fuzz
	cargo test --locked
	$(PORTCULLIS) policy check policies
	$(PORTCULLIS) policy test policies --cases tests/cases
	tests/schemathesis/run
	@$(MAKE) --no-print-directory fuzz FUZZ_SECONDS=$(FUZZ_SHORT)
	@echo 'everything passed'

# The tests build it themselves; here, so that its eleven minutes are seen to be what they are.
.PHONY: controlplane
controlplane: ## what the tests run for real: kube-apiserver and its like, KubeVela, Capsule; built with Go once a version
	@tests/controlplane/build >/dev/null
	@tests/controlplane/build deputies >/dev/null

.PHONY: bench
bench: need-build ## measures, and prints two tables: the gate, and the ledger on both databases
	cargo bench --locked --bench serve
	cargo bench --locked --bench ledger

.PHONY: proof
proof: build controlplane ## what holds while things go wrong, 100,000 reviews during each; writes docs/proof.md
	PORTCULLIS_PROOF=docs/proof.md PORTCULLIS_UNDER_TEST=$(abspath $(PORTCULLIS)) cargo test --locked --test it -- proof:: --nocapture --test-threads 1

.PHONY: bench-apiserver
bench-apiserver: need-build controlplane ## measures the gate through a real kube-apiserver, beside no webhook, an empty one, and CEL
	cargo bench --locked --bench apiserver

.PHONY: fuzz
fuzz: need-build ## runs each fuzz target for FUZZ_SECONDS (60)
	tests/fuzz/run $(FUZZ_SECONDS)

.PHONY: lint
lint: need-build need-clippy ## clippy on all targets; a warning is an error
	cargo clippy --locked --all-targets -- -D warnings

.PHONY: fmt
fmt: need-fmt ## formats the sources
	cargo fmt

.PHONY: fmt-check
fmt-check: need-fmt
	cargo fmt --check

.PHONY: build
build: need-build ## the release binary, target/release/portcullis
	cargo build --locked --release

.PHONY: clean
clean: ## removes what was built
	cargo clean

# What a bare machine may lack, said in a sentence.
.PHONY: need-build need-fmt need-clippy
need-build:
	@command -v cargo >/dev/null || { echo 'cargo is missing: install Rust 1.94 or later from https://rustup.rs' >&2; exit 2; }
	@command -v cc >/dev/null || { echo 'cc is missing: install a C compiler (apt install gcc, dnf install gcc, apk add gcc musl-dev); ring and mimalloc are built with it' >&2; exit 2; }
need-fmt:
	@cargo fmt --version >/dev/null 2>&1 || { echo 'rustfmt is missing: rustup component add rustfmt' >&2; exit 2; }
need-clippy:
	@cargo clippy --version >/dev/null 2>&1 || { echo 'clippy is missing: rustup component add clippy' >&2; exit 2; }
