//! Where a step's time goes: for each launch the layer, the pattern, the engine, the time, the bytes, and how near it is to
//! what the GPU can do at best.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

use super::bind::BoundPlan;
use super::report::{LaunchGroup, LaunchTime, PlanReport, PlanTimes};
use super::{Ceilings, Gpu};
use crate::error::Result;
use crate::plan::Decision;

/// Where the time of a plan goes. It is printed as tables, and serialised for programs.
///
/// The floor of a launch is what it takes at least: its bytes at the rate of a copy, or its operations at the rate of a
/// large matrix product, whichever takes longer; both rates are measured on this GPU. A share can be above 1 where operands
/// are found in the cache.
#[derive(Clone, Debug, Serialize)]
pub struct Explanation {
    /// What the GPU can do at best.
    pub ceilings: Ceilings,
    /// The launches, in order.
    pub launches: Vec<ExplainedLaunch>,
    /// The sums over each kind of work, the longest first.
    pub groups: Vec<GroupTotal>,
    /// The sum of the launches' times within the step, in microseconds.
    pub sum_microseconds: f32,
    /// All launches as a step replays them, in microseconds.
    pub step_microseconds: f32,
    /// What marking a moment between two launches costs, in microseconds; it is not in the launches' times.
    pub mark_microseconds: f32,
    /// Bytes of what lives within a step.
    pub arena_bytes: usize,
    /// Bytes of scratch space that launches use one after the other.
    pub workspace_bytes: usize,
    /// What the planner chose where it had a choice, and why.
    pub decisions: Vec<Decision>,
}

/// A launch and its share of the floor.
#[derive(Clone, Debug, Serialize)]
pub struct ExplainedLaunch {
    /// The launch and its times.
    #[serde(flatten)]
    pub time: LaunchTime,
    /// The floor over its time within the step.
    pub share_of_floor: f64,
}

/// The sums over one kind of work.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct GroupTotal {
    /// The kind.
    pub group: LaunchGroup,
    /// How many launches there are.
    pub launches: usize,
    /// Their time within the step.
    pub microseconds: f32,
    /// What they move.
    pub bytes: f64,
    /// Their multiplications and additions.
    pub operations: f64,
    /// The sum of their floors over the sum of their times.
    pub share_of_floor: f64,
}

impl Gpu {
    /// Explains the plan with the most launches: times it, and measures the ceilings that its times are compared with.
    /// States have their values back afterwards. `None` when nothing has run yet.
    ///
    /// # Errors
    /// What a launch may fail with.
    pub fn explain(&self) -> Result<Option<Explanation>> {
        let plans = self.plans();
        let bound = plans.values().flat_map(|planned| &planned.bound);
        bound.max_by_key(|bound| bound.launch_count()).map(|bound| self.explain_plan(bound)).transpose()
    }

    pub(super) fn explain_plan(&self, bound: &BoundPlan) -> Result<Explanation> {
        let ceilings = self.ceilings(bound.precision())?;
        Ok(Explanation::new(bound.report(), self.time(bound)?, ceilings))
    }
}

impl Explanation {
    fn new(report: PlanReport, times: PlanTimes, ceilings: Ceilings) -> Explanation {
        let floor = |operations: f64, bytes: f64| ceilings.seconds(operations, bytes) * 1e6;
        let share = |floor: f64, time: f32| if time > 0.0 { floor / f64::from(time) } else { 0.0 };
        let mut groups: BTreeMap<LaunchGroup, (GroupTotal, f64)> = BTreeMap::new();
        let sum_microseconds = times.sum_microseconds();
        let mut launches = Vec::with_capacity(times.launches.len());
        for time in times.launches {
            let (bytes, operations) = (time.launch.bytes as f64, time.launch.operations);
            let least = floor(operations, bytes);
            let group = time.launch.group;
            let none = GroupTotal {
                group,
                launches: 0,
                microseconds: 0.0,
                bytes: 0.0,
                operations: 0.0,
                share_of_floor: 0.0,
            };
            let (total, floors) = groups.entry(group).or_insert((none, 0.0));
            total.launches += 1;
            total.microseconds += time.microseconds;
            total.bytes += bytes;
            total.operations += operations;
            *floors += least;
            total.share_of_floor = share(*floors, total.microseconds);
            launches.push(ExplainedLaunch { share_of_floor: share(least, time.microseconds), time });
        }
        let mut groups: Vec<GroupTotal> = groups.into_values().map(|(total, _)| total).collect();
        groups.sort_by(|a, b| b.microseconds.total_cmp(&a.microseconds));
        Explanation {
            ceilings,
            launches,
            groups,
            sum_microseconds,
            step_microseconds: times.step_microseconds,
            mark_microseconds: times.mark_microseconds,
            arena_bytes: report.arena_bytes,
            workspace_bytes: report.workspace_bytes,
            decisions: report.decisions,
        }
    }
}

/// Cuts a text to a width, its beginning kept.
fn cut(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    let kept: String = text.chars().take(width - 2).collect();
    format!("{kept}..")
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "ceilings: {}", self.ceilings)?;
        writeln!(
            f,
            "\n{:24} {:38} {:>9} {:>9} {:>9} {:>8} {:>6}  kernel or engine",
            "layer", "pattern", "us", "alone us", "MB", "GFLOP", "floor"
        )?;
        for ExplainedLaunch { time, share_of_floor } in &self.launches {
            let LaunchTime { launch, microseconds, alone_microseconds } = time;
            let layer = match &*launch.layers {
                [] => "-".to_owned(),
                [layer] => layer.clone(),
                [layer, others @ ..] => format!("{layer} +{}", others.len()),
            };
            writeln!(
                f,
                "{:24} {:38} {microseconds:9.2} {alone_microseconds:9.2} {:9.2} {:8.2} {:5.0}%  {}",
                cut(&layer, 24),
                cut(&launch.pattern, 38),
                launch.bytes as f64 / 1e6,
                launch.operations / 1e9,
                100.0 * share_of_floor,
                launch.how,
            )?;
        }
        writeln!(
            f,
            "\n{:32} {:>8} {:>10} {:>10} {:>10} {:>6}",
            "kind", "launches", "us", "MB", "GFLOP", "floor"
        )?;
        for total in &self.groups {
            writeln!(
                f,
                "{:32} {:8} {:10.1} {:10.1} {:10.1} {:5.0}%",
                total.group.name(),
                total.launches,
                total.microseconds,
                total.bytes / 1e6,
                total.operations / 1e9,
                100.0 * total.share_of_floor,
            )?;
        }
        let bytes: f64 = self.groups.iter().map(|total| total.bytes).sum();
        let operations: f64 = self.groups.iter().map(|total| total.operations).sum();
        let difference =
            100.0 * (self.sum_microseconds / self.step_microseconds.max(f32::MIN_POSITIVE) - 1.0);
        writeln!(
            f,
            "\n{} launches, {:.1} us summed within the step, {:.1} us replayed (difference {difference:+.1} %; a mark costs \
             {:.2} us, taken off)",
            self.launches.len(),
            self.sum_microseconds,
            self.step_microseconds,
            self.mark_microseconds,
        )?;
        let seconds = f64::from(self.step_microseconds.max(f32::MIN_POSITIVE)) * 1e-6;
        writeln!(
            f,
            "{:.1} MB moved ({:.0} % of the copy's rate), {:.1} GFLOP ({:.0} % of the product's rate)",
            bytes / 1e6,
            100.0 * bytes / seconds / self.ceilings.bytes,
            operations / 1e9,
            100.0 * operations / seconds / self.ceilings.operations,
        )?;
        let (arena, workspace) = (self.arena_bytes as f64 / 1e6, self.workspace_bytes as f64 / 1e6);
        writeln!(f, "arena {arena:.1} MB, workspace {workspace:.1} MB")?;
        if !self.decisions.is_empty() {
            writeln!(
                f,
                "\n{:48} {:12} {:6} {:>9} {:>9}  why",
                "choice", "rule", "taken", "fused us", "apart us"
            )?;
        }
        for decision in &self.decisions {
            let time = |time: Option<crate::types::Real>| {
                time.map_or("-".to_owned(), |time| format!("{:.1}", time.0))
            };
            writeln!(
                f,
                "{:48} {:12} {:6} {:>9} {:>9}  {}",
                cut(&decision.label, 48),
                decision.pattern,
                if decision.fused { "yes" } else { "no" },
                time(decision.fused_microseconds),
                time(decision.apart_microseconds),
                decision.reason,
            )?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::report::LaunchReport;
    use super::*;

    fn launch(group: LaunchGroup, bytes: usize, operations: f64, microseconds: f32) -> LaunchTime {
        let launch = LaunchReport {
            layers: vec!["layer1.0.conv1".into()],
            pattern: "convolution".into(),
            group,
            label: String::new(),
            how: "engine".into(),
            bytes,
            operations,
        };
        LaunchTime { launch, microseconds, alone_microseconds: microseconds }
    }

    #[test]
    fn shares_are_of_the_larger_floor_and_kinds_are_summed() {
        let ceilings = Ceilings { operations: 1e15, bytes: 4e12 };
        let times = PlanTimes {
            launches: vec![
                // 10 us of operations, 1 us of bytes; 5 us of bytes; 15 us of bytes.
                launch(LaunchGroup::ConvolutionForward, 4_000_000, 1e10, 20.0),
                launch(LaunchGroup::Map, 20_000_000, 0.0, 10.0),
                launch(LaunchGroup::Map, 60_000_000, 0.0, 20.0),
            ],
            step_microseconds: 40.0,
            mark_microseconds: 1.0,
        };
        let report = PlanReport {
            launches: Vec::new(),
            decisions: Vec::new(),
            arena_bytes: 1,
            workspace_bytes: 2,
            replayed: true,
            last_run: 1,
        };
        let explained = Explanation::new(report, times, ceilings);
        let shares: Vec<f64> = explained.launches.iter().map(|launch| launch.share_of_floor).collect();
        assert_eq!(shares, [0.5, 0.5, 0.75]);
        let groups: Vec<_> = explained
            .groups
            .iter()
            .map(|total| (total.group, total.launches, total.share_of_floor))
            .collect();
        assert_eq!(groups, [(LaunchGroup::Map, 2, 20.0 / 30.0), (LaunchGroup::ConvolutionForward, 1, 0.5)]);
        assert_eq!(explained.sum_microseconds, 50.0);
        let text = explained.to_string();
        for part in ["layer1.0.conv1", "50.0 us summed", "40.0 us replayed (difference +25.0 %", "maps"] {
            assert!(text.contains(part), "{part} in\n{text}");
        }
    }
}
