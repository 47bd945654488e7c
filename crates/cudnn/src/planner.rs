//! From a graph to a plan: memory, then disk, then heuristics.

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use ocelli_cudnn_sys::{self as sys, Functions};

use crate::cache::DiskCache;
use crate::descriptor::Descriptor;
use crate::engine::{Candidate, heuristics};
use crate::error::last_error;
use crate::handle::Target;
use crate::lower::LoweredGraph;
use crate::{Error, OperationGraph, Plan, PlanOptions, Result, Version};

/// The fastest plan of a graph.
#[derive(Debug, Clone)]
pub struct Tuned {
    /// The plan.
    pub plan: Arc<Plan>,
    /// The time that was measured, in this process or an earlier one.
    pub milliseconds: f32,
}

/// Times candidates: the milliseconds of each, or `None` for those that are passed over.
pub type Time<'a> = dyn FnMut(&[Plan]) -> Result<Vec<Option<f32>>> + 'a;

/// Makes plans and keeps them, for a device at hand ([`Cudnn`](crate::Cudnn) holds one such) or for a described one.
#[derive(Debug)]
pub struct Planner {
    functions: &'static Functions,
    version: Version,
    target: Target,
    disk: Option<DiskCache>,
    known: Mutex<HashMap<(OperationGraph, PlanOptions), Known>>,
}

/// What is known of a graph under some options.
#[derive(Debug, Default)]
struct Known {
    plan: Option<Arc<Plan>>,
    /// The time with which `plan` won a measurement.
    milliseconds: Option<f32>,
    /// Engines that refused when they ran.
    refused: HashSet<String>,
    /// Candidates made beforehand, for the next measurement.
    candidates: Option<Vec<Plan>>,
}

impl Planner {
    /// A planner for the device that `properties` describes, in the JSON of cuDNN's
    /// `CUDNN_ATTR_DEVICEPROP_JSON_REPRESENTATION`. It needs no GPU and no driver, so that a test on any machine can hold
    /// that a graph has a plan; its plans cannot run. Nothing is kept on disk unless [asked](Self::with_cache).
    ///
    /// # Errors
    /// No cuDNN can be opened, it is [too old](Error::TooOld), or it rejects the description.
    pub fn deviceless(properties: &str) -> Result<Planner> {
        let (functions, version) = library()?;
        let target = Target::described(functions, properties)?;
        Ok(Planner { functions, version, target, disk: None, known: Mutex::default() })
    }

    pub(crate) fn for_target(functions: &'static Functions, version: Version, target: Target) -> Planner {
        Planner { functions, version, target, disk: None, known: Mutex::default() }
    }

    /// The same planner, which keeps plans as files in `directory` too. A directory that cannot be written costs one
    /// warning.
    pub fn with_cache(mut self, directory: impl Into<PathBuf>) -> Planner {
        self.disk = Some(DiskCache::new(directory.into(), self.target.identity(self.version)));
        self
    }

    /// cuDNN's version.
    pub fn version(&self) -> Version {
        self.version
    }

    /// A plan for `graph`: one from memory or disk, else the first engine, in the heuristics' order, that keeps to the
    /// options and finalises.
    ///
    /// # Errors
    /// [`Error::InvalidGraph`], [`Error::NoEngine`], or cuDNN's own.
    pub fn plan(&self, graph: &OperationGraph, options: &PlanOptions) -> Result<Arc<Plan>> {
        let refused = match self.known().get(&key(graph, options)) {
            Some(Known { plan: Some(plan), .. }) => return Ok(plan.clone()),
            Some(Known { refused, .. }) => refused.clone(),
            None => HashSet::new(),
        };
        if let Some((plan, milliseconds)) = self.restore(graph, options, &refused) {
            return Ok(self.remember(graph, options, plan, milliseconds));
        }
        let plan = Search::new(self, graph, options)?.find(|plan| match plan {
            Ok(plan) => !refused.contains(&plan.engine()),
            Err(_) => true,
        });
        match plan {
            Some(plan) => {
                let plan = Arc::new(plan?);
                self.store(graph, options, &plan, None);
                Ok(self.remember(graph, options, plan, None))
            }
            None => Err(Error::NoEngine {
                version: self.version,
                graph: graph.to_string(),
                candidates: refused.len(),
                excluded: 0,
                options: options.to_string(),
                reason: "every engine that finalised refused when it ran".into(),
            }),
        }
    }

    /// Another plan than `refused`, which failed when it ran (see [`Error::is_refusal`]); it is not offered again by this
    /// planner.
    ///
    /// # Errors
    /// As [`plan`](Self::plan).
    pub fn plan_after(
        &self,
        graph: &OperationGraph,
        options: &PlanOptions,
        refused: &Plan,
    ) -> Result<Arc<Plan>> {
        {
            let mut known = self.known();
            let known = known.entry(key(graph, options)).or_default();
            known.refused.insert(refused.engine());
            if known.plan.as_ref().is_some_and(|plan| plan.engine() == refused.engine()) {
                known.plan = None;
                known.milliseconds = None;
            }
        }
        self.plan(graph, options)
    }

    /// Every plan that keeps to the options and finalises, in the heuristics' order.
    ///
    /// # Errors
    /// As [`plan`](Self::plan).
    pub fn candidates(&self, graph: &OperationGraph, options: &PlanOptions) -> Result<Vec<Plan>> {
        Search::new(self, graph, options)?.collect()
    }

    /// The fastest plan by measurement: `time` is given the first `limit` candidates in the heuristics' order. The winner
    /// is remembered in memory and on disk with its time; a second call measures nothing.
    ///
    /// # Errors
    /// As [`plan`](Self::plan); [`Error::NoEngine`] when all are passed over; an error of `time`'s.
    pub fn autotune(
        &self,
        graph: &OperationGraph,
        options: &PlanOptions,
        limit: usize,
        time: &mut Time<'_>,
    ) -> Result<Tuned> {
        if let Some(Known { plan: Some(plan), milliseconds: Some(milliseconds), .. }) =
            self.known().get(&key(graph, options))
        {
            return Ok(Tuned { plan: plan.clone(), milliseconds: *milliseconds });
        }
        if let Some((plan, Some(milliseconds))) = self.restore(graph, options, &HashSet::new()) {
            let plan = self.remember(graph, options, plan, Some(milliseconds));
            return Ok(Tuned { plan, milliseconds });
        }
        let made = self.known().get_mut(&key(graph, options)).and_then(|known| known.candidates.take());
        let plans = match made {
            Some(plans) => plans,
            None => self.first_candidates(graph, options, limit)?,
        };
        let times = time(&plans)?;
        let candidates = plans.len();
        let timed = plans.into_iter().zip(times).filter_map(|(plan, time)| Some((time?, plan)));
        let Some((milliseconds, plan)) = timed.min_by(|(a, _), (b, _)| a.total_cmp(b)) else {
            return Err(Error::NoEngine {
                version: self.version,
                graph: graph.to_string(),
                candidates,
                excluded: 0,
                options: options.to_string(),
                reason: "no candidate could be timed".into(),
            });
        };
        tracing::debug!(%graph, engine = %plan.engine(), milliseconds, candidates, "autotuned");
        let plan = Arc::new(plan);
        self.store(graph, options, &plan, Some(milliseconds));
        Ok(Tuned { plan: self.remember(graph, options, plan, Some(milliseconds)), milliseconds })
    }

    /// Makes what [`autotune`](Self::autotune) will need for these graphs, on all cores at once: the plan from disk, else
    /// the first `limit` candidates. What fails is left for it to find.
    pub fn prefetch(&self, wanted: &[(OperationGraph, PlanOptions)], limit: usize) {
        let next = AtomicUsize::new(0);
        let work = || {
            while let Some((graph, options)) = wanted.get(next.fetch_add(1, Ordering::Relaxed)) {
                self.prefetch_one(graph, options, limit);
            }
        };
        let cores = thread::available_parallelism().map_or(1, usize::from);
        thread::scope(|scope| {
            for _ in 0..cores.min(wanted.len()) {
                scope.spawn(work);
            }
        });
    }

    fn prefetch_one(&self, graph: &OperationGraph, options: &PlanOptions, limit: usize) {
        let is_ready = |known: &Known| known.milliseconds.is_some() || known.candidates.is_some();
        if self.known().get(&key(graph, options)).is_some_and(is_ready) {
            return;
        }
        if let Some((plan, Some(milliseconds))) = self.restore(graph, options, &HashSet::new()) {
            self.remember(graph, options, plan, Some(milliseconds));
        } else if let Ok(plans) = self.first_candidates(graph, options, limit) {
            self.known().entry(key(graph, options)).or_default().candidates = Some(plans);
        }
    }

    fn first_candidates(
        &self,
        graph: &OperationGraph,
        options: &PlanOptions,
        limit: usize,
    ) -> Result<Vec<Plan>> {
        Search::new(self, graph, options)?.take(limit.max(1)).collect()
    }

    fn known(&self) -> MutexGuard<'_, HashMap<(OperationGraph, PlanOptions), Known>> {
        // What is known is replaced whole: a panic elsewhere leaves nothing half done.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps a plan, unless another thread kept one first that is as good.
    fn remember(
        &self,
        graph: &OperationGraph,
        options: &PlanOptions,
        plan: Arc<Plan>,
        milliseconds: Option<f32>,
    ) -> Arc<Plan> {
        let mut known = self.known();
        let known = known.entry(key(graph, options)).or_default();
        match &known.plan {
            Some(kept) if known.milliseconds.is_some() || milliseconds.is_none() => kept.clone(),
            _ => {
                known.plan = Some(plan.clone());
                known.milliseconds = milliseconds;
                plan
            }
        }
    }

    fn restore(
        &self,
        graph: &OperationGraph,
        options: &PlanOptions,
        refused: &HashSet<String>,
    ) -> Option<(Arc<Plan>, Option<f32>)> {
        let entry = self.disk.as_ref()?.load(graph, options)?;
        if refused.contains(&entry.engine.to_string()) {
            return None;
        }
        match Plan::from_json(&self.target, self.functions, graph, entry.engine, &entry.json) {
            Ok(plan) => Some((Arc::new(plan), entry.milliseconds)),
            Err(error) => {
                tracing::debug!(%graph, %error, "a plan from the cache was rejected and is made anew");
                None
            }
        }
    }

    fn store(&self, graph: &OperationGraph, options: &PlanOptions, plan: &Plan, milliseconds: Option<f32>) {
        if let Some(disk) = &self.disk {
            match plan.to_json() {
                Ok(json) => disk.store(graph, options, plan.engine_settings(), milliseconds, json),
                Err(error) => tracing::debug!(%graph, %error, "a plan cannot be kept on disk"),
            }
        }
    }
}

fn key(graph: &OperationGraph, options: &PlanOptions) -> (OperationGraph, PlanOptions) {
    (graph.clone(), options.clone())
}

/// The functions of a cuDNN that is new enough.
pub(crate) fn library() -> Result<(&'static Functions, Version)> {
    let found = Version::from_number(sys::version()?);
    if found < Version::OLDEST {
        return Err(Error::TooOld { found, oldest: Version::OLDEST });
    }
    Ok((sys::functions()?, found))
}

/// Goes through the plans of a graph, each made when it is asked for. The last item is an error if there was no plan.
struct Search<'a> {
    planner: &'a Planner,
    graph: &'a OperationGraph,
    options: &'a PlanOptions,
    lowered: Arc<LoweredGraph>,
    /// Heuristics not yet asked.
    modes: std::slice::Iter<'static, sys::HeuristicMode>,
    offered: std::vec::IntoIter<Descriptor>,
    seen: HashSet<String>,
    candidates: usize,
    excluded: usize,
    found: usize,
    reason: String,
}

impl<'a> Search<'a> {
    fn new(planner: &'a Planner, graph: &'a OperationGraph, options: &'a PlanOptions) -> Result<Search<'a>> {
        Ok(Search {
            planner,
            graph,
            options,
            lowered: Arc::new(LoweredGraph::new(planner.functions, &planner.target, graph)?),
            modes: [sys::CUDNN_HEUR_MODE_A, sys::CUDNN_HEUR_MODE_FALLBACK].iter(),
            offered: Vec::new().into_iter(),
            seen: HashSet::new(),
            candidates: 0,
            excluded: 0,
            found: 0,
            reason: "the heuristics offer none".into(),
        })
    }

    /// The plan of an engine configuration, unless it was seen before, the options rule it out or cuDNN refuses it.
    fn finalize(&mut self, config: Descriptor) -> Option<Plan> {
        let candidate = match Candidate::new(config) {
            Ok(candidate) => candidate,
            Err(error) => {
                self.reason = error.to_string();
                return None;
            }
        };
        if !self.seen.insert(candidate.engine.to_string()) {
            return None;
        }
        self.candidates += 1;
        if !candidate.engine.is_allowed(self.options) {
            self.excluded += 1;
            return None;
        }
        match Plan::new(&self.planner.target, self.graph, &self.lowered, candidate) {
            Ok(plan) if plan.workspace_bytes() <= self.options.workspace_limit => Some(plan),
            Ok(plan) => {
                self.excluded += 1;
                self.reason =
                    format!("{} needs a workspace of {} bytes", plan.engine(), plan.workspace_bytes());
                None
            }
            Err(error) => {
                self.reason = error.to_string();
                None
            }
        }
    }
}

impl Iterator for Search<'_> {
    type Item = Result<Plan>;

    fn next(&mut self) -> Option<Result<Plan>> {
        loop {
            while let Some(config) = self.offered.next() {
                if let Some(plan) = self.finalize(config) {
                    self.found += 1;
                    return Some(Ok(plan));
                }
            }
            let Some(&mode) = self.modes.next() else {
                if self.found > 0 {
                    return None;
                }
                self.found = 1;
                return Some(Err(Error::NoEngine {
                    version: self.planner.version,
                    graph: self.graph.to_string(),
                    candidates: self.candidates,
                    excluded: self.excluded,
                    options: self.options.to_string(),
                    reason: std::mem::take(&mut self.reason),
                }));
            };
            match heuristics(&self.planner.target, &self.lowered, mode) {
                Ok(offered) => {
                    if offered.is_empty() && self.found == 0 {
                        let reason = last_error(self.planner.functions);
                        if !reason.is_empty() {
                            self.reason = reason;
                        }
                    }
                    self.offered = offered.into_iter();
                }
                Err(error) => self.reason = error.to_string(),
            }
        }
    }
}
