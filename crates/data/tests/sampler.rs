//! Orders of samples: what comes in an epoch, how often, and again after a stop.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::collections::HashSet;

use ocelli_data::Error;
use ocelli_data::sampler::{Sampler, State};

fn epoch(sampler: &Sampler, epoch: u64) -> Vec<usize> {
    sampler.epoch(epoch).collect()
}

fn is_permutation(order: &[usize]) -> bool {
    let mut seen = vec![false; order.len()];
    order.iter().all(|&index| seen.get_mut(index).is_some_and(|seen| !std::mem::replace(seen, true)))
}

/// A thousand labels: class 0 has 600 samples, class 1 has 300, class 2 has 97, class 3 has 3, in no order.
fn labels() -> Vec<i32> {
    let label = |place: usize| match place {
        0..600 => 0,
        600..900 => 1,
        900..997 => 2,
        _ => 3,
    };
    Sampler::shuffled(1000, 99).epoch(0).map(label).collect()
}

/// How often each class comes.
fn counts(labels: &[i32], order: &[usize]) -> Vec<usize> {
    let classes = labels.iter().max().map_or(0, |&label| label as usize + 1);
    let mut counts = vec![0; classes];
    order.iter().for_each(|&index| counts[labels[index] as usize] += 1);
    counts
}

#[test]
fn a_sequential_order_is_the_same_each_epoch() {
    let sampler = Sampler::sequential(10);
    assert!(epoch(&sampler, 0).into_iter().eq(0..10));
    assert!(epoch(&sampler, 5).into_iter().eq(0..10));
    assert_eq!((sampler.len(), sampler.is_empty(), sampler.seed()), (10, false, 0));
    assert!(epoch(&Sampler::sequential(0), 0).is_empty());
}

#[test]
fn shuffled_orders_have_every_sample_once() {
    for len in 0..200 {
        for number in 0..3 {
            let order = epoch(&Sampler::shuffled(len, 7), number);
            assert!(order.len() == len && is_permutation(&order), "{len}");
        }
    }
    for len in [4095, 4096, 4097, 50_000, 1_281_167] {
        let order = epoch(&Sampler::shuffled(len, 1), 2);
        assert!(order.len() == len && is_permutation(&order), "{len}");
    }
}

#[test]
fn shuffled_orders_differ_by_epoch_and_seed_and_not_by_run() {
    let sampler = Sampler::shuffled(100, 5);
    let mut orders: Vec<Vec<usize>> = (0..50).map(|number| epoch(&sampler, number)).collect();
    orders.push(epoch(&sampler, 1 << 32));
    orders.push(epoch(&sampler, u64::MAX));
    orders.push(epoch(&Sampler::shuffled(100, 6), 0));
    orders.push(epoch(&Sampler::shuffled(100, 5 | (1 << 32)), 0));
    orders.push((0..100).collect());
    assert_eq!(orders.iter().collect::<HashSet<_>>().len(), orders.len());
    assert_eq!(epoch(&Sampler::shuffled(100, 5), 3), orders[3]);
}

#[test]
fn every_sample_is_first_and_second_equally_often() {
    let sampler = Sampler::shuffled(100, 11);
    for position in [0, 1, 63, 99] {
        let mut counts = [0u32; 100];
        (0..20_000).for_each(|number| counts[sampler.index(number, position).unwrap()] += 1);
        let chi: f64 = counts.iter().map(|&count| (f64::from(count) - 200.0).powi(2) / 200.0).sum();
        // 99 degrees of freedom: the middle 99.8 % lie between these.
        assert!((60.0..148.3).contains(&chi), "{position}: {chi}");
    }
}

#[test]
fn neighbours_do_not_stay_together() {
    let order = epoch(&Sampler::shuffled(10_000, 3), 0);
    let close = order.windows(2).filter(|pair| pair[0].abs_diff(pair[1]) <= 10).count();
    // About 20 of 10,000 by chance.
    assert!(close < 45, "{close}");
    let fixed = order.iter().enumerate().filter(|(place, index)| place == *index).count();
    assert!(fixed < 8, "{fixed}");
}

#[test]
fn known_orders_do_not_change() {
    // Checkpoints count on them.
    assert_eq!(epoch(&Sampler::shuffled(10, 0), 0), SHUFFLED);
    assert_eq!(epoch(&Sampler::class_balanced(&[0, 0, 0, 1, 1, 2], 0), 1), BALANCED);
}

const SHUFFLED: [usize; 10] = [6, 2, 5, 1, 4, 8, 3, 9, 7, 0];
const BALANCED: [usize; 6] = [1, 5, 4, 1, 5, 3];

#[test]
fn shards_partition_an_epoch() {
    for (len, ranks) in [(12, 1), (12, 3), (12, 12), (100, 7), (50_000, 8), (1000, 999)] {
        let whole = Sampler::shuffled(len, 4);
        let shards: Vec<Vec<usize>> = (0..ranks)
            .map(|rank| epoch(&whole.clone().sharded(rank, ranks).unwrap(), 6))
            .inspect(|shard| assert_eq!(shard.len(), len / ranks))
            .collect();
        let distinct: HashSet<usize> = shards.iter().flatten().copied().collect();
        assert_eq!(distinct.len(), len / ranks * ranks);
        // Taken in turns they are the whole epoch, but for what does not fill a turn.
        let order = epoch(&whole, 6);
        let turns = (0..len / ranks).flat_map(|turn| shards.iter().map(move |shard| shard[turn]));
        assert!(turns.eq(order[..len / ranks * ranks].iter().copied()));
    }
}

#[test]
fn what_shards_drop_is_other_samples_each_epoch() {
    let dropped = |number| {
        let of = |rank| epoch(&Sampler::shuffled(103, 4).sharded(rank, 5).unwrap(), number);
        let kept: HashSet<usize> = (0..5).flat_map(of).collect();
        (0..103).filter(|index| !kept.contains(index)).collect::<Vec<_>>()
    };
    assert_eq!(dropped(0).len(), 3);
    assert_ne!(dropped(0), dropped(1));
}

#[test]
fn shards_of_shards_are_shards() {
    let whole = Sampler::shuffled(103, 4);
    let mut seen = HashSet::new();
    for machine in 0..3 {
        for device in 0..4 {
            let shard = whole.clone().sharded(machine, 3).unwrap().sharded(device, 4).unwrap();
            assert_eq!(shard.len(), 8);
            seen.extend(shard.epoch(0));
            assert_eq!(epoch(&shard, 0), epoch(&whole.clone().sharded(device * 3 + machine, 12).unwrap(), 0));
        }
    }
    assert_eq!(seen.len(), 96);
}

#[test]
fn shards_that_cannot_be_are_errors() {
    for (rank, ranks, told) in [(0, 0, "rank 0"), (3, 3, "rank 3"), (0, 11, "11 ranks")] {
        let error = Sampler::sequential(10).sharded(rank, ranks).unwrap_err();
        assert!(matches!(error, Error::Setting { .. }) && error.to_string().contains(told), "{error}");
    }
}

#[test]
fn an_order_resumed_anywhere_is_the_uninterrupted_one() {
    let labels = labels();
    let samplers = [
        Sampler::sequential(100),
        Sampler::shuffled(100, 3),
        Sampler::shuffled(103, 3).sharded(1, 4).unwrap(),
        Sampler::class_balanced(&labels, 3).sharded(2, 3).unwrap(),
    ];
    for sampler in samplers {
        let whole = epoch(&sampler, 9);
        let mut running = sampler.epoch(9);
        for position in 0..=sampler.len() {
            let state = running.state();
            assert_eq!(state, State { seed: sampler.seed(), epoch: 9, position: position as u64 });
            let kept: State = serde_json::from_str(&serde_json::to_string(&state).unwrap()).unwrap();
            let resumed = sampler.resume(kept).unwrap();
            assert_eq!(resumed.len(), whole.len() - position);
            assert!(resumed.eq(whole[position..].iter().copied()));
            assert_eq!(sampler.index(9, position), whole.get(position).copied());
            assert_eq!(running.next(), whole.get(position).copied());
        }
        assert_eq!(running.state().position, sampler.len() as u64);
        assert_eq!(sampler.epoch(9).nth(5), Some(whole[5]));
        let mut far = sampler.epoch(9);
        assert_eq!((far.nth(usize::MAX), far.len()), (None, 0));
    }
}

#[test]
fn a_state_of_another_run_is_an_error() {
    let sampler = Sampler::shuffled(10, 3);
    let state = State { seed: 3, epoch: 0, position: 10 };
    assert_eq!(sampler.resume(state).unwrap().next(), None);
    for (state, told) in [
        (State { seed: 4, ..state }, "seed 4"),
        (State { position: 11, ..state }, "sample 11 of an epoch of 10"),
        (State { position: u64::MAX, ..state }, "epoch of 10"),
    ] {
        let error = sampler.resume(state).unwrap_err();
        assert!(matches!(error, Error::Setting { .. }) && error.to_string().contains(told), "{error}");
    }
}

#[test]
fn classes_come_equally_often() {
    let labels = labels();
    let sampler = Sampler::class_balanced(&labels, 8);
    assert_eq!(sampler.len(), 1000);
    for number in 0..20 {
        assert_eq!(counts(&labels, &epoch(&sampler, number)), [250; 4]);
    }
    // Each round of four has each class, not always in one order.
    let order = epoch(&sampler, 0);
    assert!(order.chunks(4).all(|round| counts(&labels, round) == [1; 4]));
    let orders: HashSet<Vec<i32>> =
        order.chunks(4).map(|round| round.iter().map(|&index| labels[index]).collect()).collect();
    assert_eq!(orders.len(), 24);
}

#[test]
fn what_classes_do_not_divide_goes_to_them_in_turns() {
    let labels: Vec<i32> =
        (0..103).map(|index| i32::from(index >= 50) + i32::from(index >= 100) * 6).collect();
    let sampler = Sampler::class_balanced(&labels.iter().map(|label| label - 5).collect::<Vec<_>>(), 8);
    let mut total = [0; 3];
    for number in 0..30 {
        let order = epoch(&sampler, number);
        let of = |label| order.iter().filter(|&&index| labels[index] == label).count();
        let counts = [of(0), of(1), of(7)];
        assert_eq!(counts.iter().sum::<usize>(), 103);
        assert!(counts.iter().all(|count| (34..=35).contains(count)), "{counts:?}");
        (0..3).for_each(|class| total[class] += counts[class]);
    }
    assert_eq!(total, [1030; 3]);
}

#[test]
fn every_sample_of_a_class_comes_before_any_comes_again() {
    // Eleven labels in three classes: two are left over each epoch.
    for labels in [labels(), vec![0, 0, 0, 0, 0, 1, 1, 1, 2, 2, 1]] {
        let sampler = Sampler::class_balanced(&labels, 2);
        let run: Vec<usize> = (0..30).flat_map(|number| epoch(&sampler, number)).collect();
        for class in 0..=labels.iter().copied().max().unwrap() {
            let members = labels.iter().filter(|&&label| label == class).count();
            let draws: Vec<usize> = run.iter().copied().filter(|&index| labels[index] == class).collect();
            for cycle in draws.chunks_exact(members) {
                assert_eq!(cycle.iter().collect::<HashSet<_>>().len(), members);
            }
            let orders: HashSet<&[usize]> = draws.chunks_exact(members).collect();
            assert!(members == 1 || orders.len() > 1);
        }
    }
}

#[test]
fn classes_of_one_sample_and_no_samples_are_no_trouble() {
    assert!(epoch(&Sampler::class_balanced(&[], 0), 0).is_empty());
    assert_eq!(epoch(&Sampler::class_balanced(&[i32::MIN], 0), u64::MAX), [0]);
    let order = epoch(&Sampler::class_balanced(&[-100, 5, i32::MAX], 0), u64::MAX);
    assert!(is_permutation(&order));
}
