//! `cargo bench --bench decide`: where the time of a review goes, in process, stage by stage and policy by policy.
//!
//! The best of several runs of each: what is looked for is the cost of the code, not of the machine. One stage alone,
//! as for `valgrind --tool=callgrind`: `decide --stage projected --body 6k --times 1000`.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::cast_precision_loss,
    reason = "a bench that cannot go on says where, and its figures go to the terminal"
)]

mod bodies;

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use portcullis_admission::{
    Endpoint, PreparedSnapshot, Review, ReviewContext, Verdict, decide, gate, input, projection, response,
    review, validate,
};
use portcullis_policy::select::Projection;
use portcullis_policy::set::Options;
use portcullis_policy::source::read_embedded;
use portcullis_policy::{Budget, Meter, Operation, PolicySet, Query, Value};
use portcullis_tenancy::snapshot::Snapshot;
use serde::de::IgnoredAny;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// One review under a law, with every stage's result, so that each stage can be run alone.
struct Bench {
    law: PolicySet,
    interpreted: PolicySet,
    world: PreparedSnapshot,
    body: Bytes,
    review: Review,
    mutated: Review,
    context: ReviewContext,
    verdict: Verdict,
    input: Value,
    data: Value,
}

impl Bench {
    fn new(body: Vec<u8>) -> Self {
        let text =
            std::fs::read(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/cases/example-tenancy.yaml")).unwrap();
        let world = PreparedSnapshot::new(Arc::new(Snapshot::parse("example-tenancy.yaml", &text).unwrap()));
        let bundle = read_embedded().unwrap();
        let compile = |options| {
            PolicySet::compile(&bundle, options, None).unwrap_or_else(|problems| panic!("{problems}"))
        };
        let law = compile(Options::default());
        let interpreted = compile(Options { interpreter: true, full_input: false });
        let body = Bytes::from(body);
        let review = review::decode(body.clone(), Endpoint::Validate, &|header| {
            projection::projection(&law, &world, header)
        })
        .unwrap();
        let unlabelled = unlabelled(&body);
        let mutated = review::decode(unlabelled, Endpoint::Mutate, &|header| {
            projection::projection(&law, &world, header)
        })
        .unwrap();
        let context =
            ReviewContext::gather(&world, &review, gate::decision_id(), "2026-01-01T00:00:00.000Z".into())
                .unwrap();
        let verdict = decide(&law, &context, &review, Budget::default());
        assert!(
            verdict.allowed(),
            "the bench's Pod is denied: {}",
            String::from_utf8_lossy(&response::encode(&verdict))
        );
        let plan = law.plan(&query(&context));
        let input = input::build(&review, &context, &plan.reads, false).unwrap();
        let data = validate::data(&law, &context, None, &context.cluster(false));
        Self { law, interpreted, world, body, review, mutated, context, verdict, input, data }
    }

    fn stage(&self, name: &str) {
        let decode = |want: &dyn Fn(&review::Header) -> Arc<Projection>| {
            review::decode(self.body.clone(), Endpoint::Validate, want).unwrap()
        };
        let judge = |law| decide(law, &self.context, &self.review, Budget::default());
        let projected = || decode(&|header| projection::projection(&self.law, &self.world, header));
        let gather = |review: &Review| {
            ReviewContext::gather(
                &self.world,
                review,
                gate::decision_id(),
                format!("{:.3}", jiff::Timestamp::now()),
            )
            .unwrap()
        };
        match name {
            "scan" => drop(serde_json::from_slice::<IgnoredAny>(&self.body).unwrap()),
            "full" => drop(decode(&|_| Projection::everything())),
            "projected" => drop(projected()),
            "context" => drop(gather(&self.review)),
            "input" => drop(
                input::build(&self.review, &self.context, &self.law.plan(&query(&self.context)).reads, false)
                    .unwrap(),
            ),
            "data" => drop(validate::data(&self.law, &self.context, None, &self.context.cluster(false))),
            "decide" => drop(judge(&self.law)),
            "interpreted" => drop(judge(&self.interpreted)),
            "mutate" => {
                let verdict = decide(&self.law, &self.context, &self.mutated, Budget::default());
                assert!(!verdict.patch.is_empty());
            }
            "encode" => drop(response::encode(&self.verdict)),
            "review" => {
                let review = projected();
                let context = gather(&review);
                drop(response::encode(&decide(&self.law, &context, &review, Budget::default())));
            }
            other => {
                panic!("`{other}` is no stage; the stages are {}", STAGES.map(|(name, _)| name).join(", "))
            }
        }
    }
}

/// A body without the labels that our own mutation would add.
fn unlabelled(body: &[u8]) -> Bytes {
    let mut review: serde_json::Value = serde_json::from_slice(body).unwrap();
    let labels = review.pointer_mut("/request/object/metadata/labels").unwrap().as_object_mut().unwrap();
    labels.retain(|key, _| !key.starts_with("kubenova.io/"));
    Bytes::from(review.to_string())
}

const STAGES: [(&str, &str); 11] = [
    ("scan", "scan the JSON and keep nothing"),
    ("full", "decode, everything built"),
    ("projected", "decode, what the law reads built"),
    ("context", "context"),
    ("input", "input (part of decide)"),
    ("data", "data (part of decide)"),
    ("decide", "decide"),
    ("interpreted", "decide, on the interpreter"),
    ("mutate", "decide on /mutate, the ownership labels not yet there"),
    ("encode", "encode"),
    ("review", "a review, bytes to bytes"),
];

fn query(context: &ReviewContext) -> Query<'static> {
    Query {
        operation: Operation::Create,
        group: "",
        resource: "pods",
        subresource: "",
        kind: context.kind,
        layout: Some(&[]),
    }
}

/// Microseconds of one call, best of several runs.
fn best(times: usize, call: impl Fn()) -> f64 {
    let run = || {
        let started = Instant::now();
        (0..times).for_each(|_| call());
        started.elapsed().as_secs_f64() * 1e6 / times as f64
    };
    (0..7).map(|_| run()).fold(f64::MAX, f64::min)
}

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    if args.iter().any(|arg| arg == "--list") {
        return;
    }
    let value = |flag: &str| args.iter().position(|arg| arg == flag).and_then(|at| args.get(at + 1));
    let default = if args.iter().any(|arg| arg == "--bench") { 2000 } else { 5 };
    let times = value("--times").map_or(default, |text| text.parse().unwrap());
    let (small, large) = (bodies::pod_6k(1), bodies::pod_40k(1));
    if let Some(stage) = value("--stage") {
        let bench = Bench::new(if value("--body").is_some_and(|body| body == "40k") { large } else { small });
        (0..times).for_each(|_| bench.stage(stage));
        return;
    }
    println!(
        "microseconds in process, best of 7 runs of {times}; bodies of {} and {} bytes\n",
        small.len(),
        large.len()
    );
    let benches = [Bench::new(small), Bench::new(large)];
    println!("| {:<36} | 6 KB | 40 KB |\n|:{}-|-----:|------:|", "", "-".repeat(36));
    for (name, what) in STAGES {
        let [small, large] = benches.each_ref().map(|bench| best(times, || bench.stage(name)));
        println!("| {what:<36} | {small:>4.1} | {large:>5.1} |");
    }
    let [small, large] = &benches;
    let plan = small.law.plan(&query(&small.context));
    for (at, policy) in small.law.planned(&plan).enumerate() {
        for rule in policy.rules.iter().filter(|rule| ["deny", "warn"].contains(rule)) {
            let cost = |bench: &Bench| {
                let policy = bench.law.planned(&plan).nth(at).unwrap();
                best(times, || {
                    drop(
                        policy
                            .findings(rule, &bench.input, &bench.data, &mut Meter::new(Budget::default()))
                            .unwrap(),
                    );
                })
            };
            let name = format!(
                "{} {rule}{}",
                policy.manifest.id,
                if policy.fallback().is_some() { " (interpreter)" } else { "" }
            );
            println!("| {name:<36} | {:>4.1} | {:>5.1} |", cost(small), cost(large));
        }
    }
}
