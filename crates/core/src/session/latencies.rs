//! How long a session takes to answer.

use std::fmt;

/// How long runs of a session took.
#[derive(Clone, Debug)]
pub struct Latencies {
    /// Inputs a run.
    pub batch: usize,
    /// From the input in the caller's memory to the output in the caller's reach, on the host's clock.
    pub end_to_end: Times,
    /// On the GPU, from the first byte of the input's copy to the last of the output's; nothing where there is no GPU.
    pub gpu: Option<Times>,
    /// On the GPU, the launches alone, inputs and outputs staying there; nothing where there is no GPU.
    pub launches: Option<Times>,
}

/// What a number of times, in microseconds, come to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Times {
    /// How many there are.
    pub count: usize,
    /// Their mean.
    pub mean: f64,
    /// The smallest.
    pub least: f64,
    /// Half of them are not longer.
    pub p50: f64,
    /// 95 % of them are not longer.
    pub p95: f64,
    /// 99 % of them are not longer.
    pub p99: f64,
    /// The largest.
    pub most: f64,
}

impl Times {
    /// What these times come to; `None` when there are none. A percentile is the smallest time that so many do not exceed.
    pub fn of(mut microseconds: Vec<f64>) -> Option<Times> {
        microseconds.sort_by(f64::total_cmp);
        let (&least, &most) = (microseconds.first()?, microseconds.last()?);
        let count = microseconds.len();
        let percentile = |percent: usize| microseconds[(count * percent).div_ceil(100).max(1) - 1];
        Some(Times {
            count,
            mean: microseconds.iter().sum::<f64>() / count as f64,
            least,
            p50: percentile(50),
            p95: percentile(95),
            p99: percentile(99),
            most,
        })
    }
}

impl fmt::Display for Times {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Times { mean, p50, p95, p99, .. } = self;
        write!(f, "p50 {p50:.1} us, p95 {p95:.1} us, p99 {p99:.1} us, mean {mean:.1} us")
    }
}

impl fmt::Display for Latencies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "batch {}, {} runs; end to end: {}", self.batch, self.end_to_end.count, self.end_to_end)?;
        if let Some(gpu) = self.gpu {
            write!(f, "; on the GPU: {gpu}")?;
        }
        if let Some(launches) = self.launches {
            write!(f, "; launches alone: {launches}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_times_that_so_many_do_not_exceed() {
        let times = Times::of((1..=200).rev().map(f64::from).collect()).unwrap();
        assert_eq!((times.p50, times.p95, times.p99), (100.0, 190.0, 198.0));
        assert_eq!((times.least, times.most, times.mean, times.count), (1.0, 200.0, 100.5, 200));
        let one = Times::of(vec![7.0]).unwrap();
        assert_eq!((one.p50, one.p95, one.p99), (7.0, 7.0, 7.0));
        assert_eq!(Times::of(Vec::new()), None);
    }
}
