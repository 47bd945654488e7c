//! What the training examples print.

use anyhow::{Context, Result};
use indicatif::{ProgressBar, ProgressStyle};
use ocelli::{Device, Gpu, LaunchTime, cuda, cudnn};
use serde_json::{Value, json};

pub(crate) fn progress_bar(steps: usize, epoch: usize, epochs: usize) -> ProgressBar {
    let bar = ProgressBar::new(steps as u64).with_style(style("{prefix} [{bar:30}] {pos}/{len} {msg}"));
    bar.set_prefix(format!("epoch {}/{epochs}", epoch + 1));
    bar
}

pub(crate) fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template)
        .unwrap_or_else(|_| ProgressStyle::default_bar())
        .progress_chars("=> ")
}

/// The launches of a step, their times and the memory that they use.
pub(crate) fn print_profile(device: &Device) -> Result<()> {
    let gpu = gpu(device)?;
    let (Some(plan), Some(times)) =
        (gpu.report().into_iter().max_by_key(|plan| plan.launches.len()), gpu.profile()?)
    else {
        return Ok(());
    };
    println!("\none training step: {} launches, {:.1} us", plan.launches.len(), times.step_microseconds);
    println!("arena {} bytes, workspace {} bytes", plan.arena_bytes, plan.workspace_bytes);
    for LaunchTime { launch, microseconds, .. } in times.launches {
        println!("{microseconds:8.2} us  {:60} {}", launch.label, launch.how);
    }
    println!("{:?}", gpu.counters());
    Ok(())
}

/// Prints a line of JSON: these results, the GPU and the versions.
pub(crate) fn print_json(device: &Device, mut results: Value) -> Result<()> {
    let gpu = gpu(device)?;
    let properties = gpu.cuda().properties();
    let version: cudnn::Version = gpu.cudnn()?.version();
    let (major, minor) = cuda::kernel::nvrtc_version()?;
    results["peak_memory_bytes"] = json!(gpu.memory()?.peak);
    results["gpu"] = json!(properties.name);
    results["versions"] = json!({
        "ocelli": env!("CARGO_PKG_VERSION"),
        "driver": properties.driver_version.to_string(),
        "cudnn": version.to_string(),
        "nvrtc": format!("{major}.{minor}"),
    });
    println!("{results}");
    Ok(())
}

fn gpu(device: &Device) -> Result<&Gpu> {
    device.gpu().context("the device is no GPU")
}
