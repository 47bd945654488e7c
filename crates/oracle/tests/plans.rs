//! Plans against the graphs that they were made from.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use std::collections::BTreeSet;

use ocelli_core::Precision;
use ocelli_core::plan::memory::ALIGNMENT;
use ocelli_core::plan::{BufferClass, Plan, PlanOptions, plan};
use ocelli_oracle::{check_plans, interpret_plan, training_step};

const SEEDS: std::ops::Range<u64> = 0..160;

fn check_seeds(precision: Precision, every: usize) {
    let failures: Vec<String> = SEEDS
        .step_by(every)
        .filter_map(|seed| {
            let (graph, bindings) = training_step(seed, precision).unwrap();
            let error = check_plans(&graph, &bindings).err()?;
            Some(format!("seed {seed}: {error}"))
        })
        .collect();
    assert!(failures.is_empty(), "{} fail\n{}", failures.len(), failures.join("\n"));
}

#[test]
fn training_in_f32() {
    check_seeds(Precision::F32, 1);
}

#[test]
fn training_in_f16() {
    check_seeds(Precision::mixed_f16(), 1);
}

#[test]
fn training_in_bf16() {
    check_seeds(Precision::mixed_bf16(), 4);
}

#[test]
fn each_state_is_written_once_and_the_arena_is_no_larger_than_all_buffers() {
    for seed in SEEDS {
        let (graph, _) = training_step(seed, Precision::mixed_f16()).unwrap();
        let options = PlanOptions::default();
        let (shared, apart) = (
            plan(&graph, options).unwrap(),
            plan(&graph, PlanOptions { share_memory: false, ..options }).unwrap(),
        );
        let mut written = BTreeSet::new();
        for &buffer in shared.launches.iter().flat_map(|launch| &launch.writes) {
            assert!(written.insert(buffer), "seed {seed}: buffer {buffer} is written twice");
        }
        let bytes = |plan: &Plan, live: &dyn Fn(usize, usize) -> bool| -> usize {
            let arena = plan.buffers.iter().filter(|spec| matches!(spec.class, BufferClass::Arena(_)));
            let live = arena.filter(|spec| live(spec.first, spec.last));
            live.map(|spec| spec.ty.bytes().next_multiple_of(ALIGNMENT)).sum()
        };
        let peaks =
            (0..shared.launches.len()).map(|at| bytes(&shared, &|first, last| first <= at && at <= last));
        assert!(shared.arena_bytes >= peaks.max().unwrap_or(0), "seed {seed}");
        assert_eq!(apart.arena_bytes, bytes(&apart, &|_, _| true), "seed {seed}");
        assert!(shared.arena_bytes <= apart.arena_bytes, "seed {seed}");
    }
}

/// What the simulated memory is for: faults of a plan must show.
#[test]
fn faults_of_plans_are_seen() {
    let mut later_launches = 0;
    for seed in SEEDS.step_by(8) {
        let (graph, bindings) = training_step(seed, Precision::F32).unwrap();
        let whole = plan(&graph, PlanOptions::default()).unwrap();
        let right = interpret_plan(&whole, &bindings).unwrap();
        let sees = |fault: &dyn Fn(&mut Plan)| {
            let mut faulty = whole.clone();
            fault(&mut faulty);
            interpret_plan(&faulty, &bindings).map_or(true, |found| found != right)
        };
        assert!(sees(&|plan| plan.launches.reverse()), "seed {seed}: the order");
        assert!(sees(&|plan| plan.arena_bytes -= ALIGNMENT), "seed {seed}: the size of the arena");
        assert!(
            sees(&|plan| {
                for spec in &mut plan.buffers {
                    if let BufferClass::Arena(offset) = &mut spec.class {
                        *offset = 0;
                    }
                }
            }),
            "seed {seed}: the offsets"
        );
        for launch in 0..whole.launches.len() {
            let used = whole.launches[launch].writes.iter().any(|write| {
                let read = whole.launches[launch + 1..].iter().any(|later| later.reads.contains(write));
                read || whole.roots.contains(write)
            });
            assert!(
                !used || sees(&|plan| drop(plan.launches.remove(launch))),
                "seed {seed}: launch {launch}"
            );
        }
        // The optimizer writes parameters in place: before the backward pass, it must show.
        let last = whole.launches.len() - 1;
        later_launches += usize::from(sees(&|plan| plan.launches.swap(last, last / 2)));
    }
    assert!(later_launches > 15, "{later_launches}");
}
