//! The one integration binary. Each module is a feature, tried the way its users meet it.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::print_stderr,
    reason = "a test that cannot go on has failed, and says where"
)]

mod access; // who may do what, and whom we believe
mod api; // the ledger's API: problems, bodies, paging, replays, limits, every role at every route
mod bad_input; // what is no review, and what is one and should not be
mod broken_laws; // laws that fail, at the start and while they run
mod cli; // the command line: help, exit codes, messages
mod controlplane; // a real kube-apiserver and its controllers in front of the gate, through kubectl
mod decisions; // what is told of decisions: log, metrics, the end of the process
mod demo; // `portcullis demo`, as the README says
mod feed; // the ledger's changes at gates in other processes, and what they do when it is away
mod golden; // every case of tests/cases and of the library, through `decide` and through the running binary over TLS
mod laws; // both engines, full and projected input, added policies: one verdict
mod leave; // exceptions and break-glass, through the ledger and by a file
mod ledger; // the ledger, on SQLite and on a real PostgreSQL
mod manifests; // registration: what is printed, and what its conditions let through
mod opa; // Rego as OPA has it: its conformance suite, and random policies
mod proof; // three replicas, a balancer, PostgreSQL and kube-apiserver, while things go wrong
mod properties; // what holds for every input
mod reload; // policies, tenancy and certificates changed under a running gate
mod schema; // the documented schema of the snapshot
mod server; // the door: TLS, limits, timeouts, drain
mod support; // a gate as a process, a client that trusts it
mod tidy; // imports point down, files are short, everything is documented
