//! What the driver, the GPU and the opened libraries say themselves.

use ocelli_cuda::cublaslt::CublasLt;
use ocelli_cuda::kernel::{KernelSource, compile_cubin, nvrtc_version};
use ocelli_cuda::library::{Library, mapped};
use ocelli_cuda::{Device, Error};
use ocelli_cudnn::Cudnn;
use ocelli_data::with_causes;

use super::{Gpu, Report};

/// What the self-test works with.
pub(super) struct Usable {
    pub(super) device: Device,
    pub(super) cudnn: Cudnn,
    pub(super) cublaslt: CublasLt,
}

/// Tries GPU `ordinal` and the needed libraries on it, and adds to the report what comes of it.
pub(super) fn probe(report: &mut Report, ordinal: usize) -> Option<Usable> {
    report.variables.extend(
        std::env::var_os("CUDA_VISIBLE_DEVICES")
            .map(|value| ("CUDA_VISIBLE_DEVICES", value.to_string_lossy().into_owned())),
    );
    let device = if report.is_picked(Library::Cuda) { gpus(report, ordinal) } else { None };
    let cudnn = cudnn(report, device.as_ref());
    let nvrtc_works = nvrtc(report, device.as_ref());
    let cublaslt = cublaslt(report, device.as_ref());
    for library in &mut report.libraries {
        library.mapped = mapped(library.library);
    }
    Some(Usable { device: device.filter(|_| nvrtc_works)?, cudnn: cudnn?, cublaslt: cublaslt? })
}

/// Lists the GPUs and returns the one that was asked for.
fn gpus(report: &mut Report, wanted: usize) -> Option<Device> {
    let count = match Device::count() {
        Ok(count) => count,
        Err(error) => {
            report.problems.push(explained(&error));
            return None;
        }
    };
    let mut chosen = None;
    for ordinal in 0..count {
        match describe(ordinal) {
            Ok((gpu, device)) => {
                let cuda = device.properties().driver_version;
                report.driver.cuda = Some((cuda / 1000, cuda % 1000 / 10));
                report.gpus.push(gpu);
                if ordinal == wanted {
                    chosen = Some(device);
                }
            }
            Err(error) => {
                let text = format!("GPU {ordinal} cannot be used: {}", explained(&error));
                if ordinal == wanted { &mut report.problems } else { &mut report.warnings }.push(text);
            }
        }
    }
    if wanted >= count {
        report.problems.push(explained(&Error::NoSuchDevice { ordinal: wanted, count }));
    }
    chosen
}

fn describe(ordinal: usize) -> ocelli_cuda::Result<(Gpu, Device)> {
    let device = Device::new(ordinal)?;
    let properties = device.properties();
    let gpu = Gpu {
        ordinal,
        name: properties.name.clone(),
        compute_capability: properties.compute_capability,
        multiprocessors: properties.multiprocessors,
        memory_bytes: properties.memory_bytes,
        free_bytes: device.memory()?.free,
    };
    Ok((gpu, device))
}

/// An error with what to do about it, where the driver's own words do not say.
fn explained(error: &Error) -> String {
    const NO_DEVICE: i32 = 100;
    const NOT_YET_INITIALISED: i32 = 802;
    const DRIVER_MISMATCH: i32 = 803;
    let hint = match error {
        Error::Driver { code: NO_DEVICE, .. } | Error::NoSuchDevice { count: 0, .. } => {
            "; in a container, start it with access to the GPU, and unset CUDA_VISIBLE_DEVICES if it hides the GPU"
        }
        Error::Driver { code: NOT_YET_INITIALISED, .. } => {
            "; on a machine with NVSwitch, start its fabric manager (nvidia-fabricmanager)"
        }
        Error::Driver { code: DRIVER_MISMATCH, .. } => {
            "; libcuda and the kernel module differ in version: restart the machine, or install the driver anew"
        }
        _ => "",
    };
    format!("{}{hint}", with_causes(error))
}

fn cudnn(report: &mut Report, device: Option<&Device>) -> Option<Cudnn> {
    let device = device.filter(|_| report.is_picked(Library::Cudnn))?;
    match Cudnn::new(device) {
        Ok(cudnn) => {
            set_version(report, Library::Cudnn, cudnn.version().to_string());
            Some(cudnn)
        }
        Err(error) => {
            report.problems.push(format!("cuDNN does not start: {}", with_causes(&error)));
            None
        }
    }
}

/// Whether NVRTC compiles for the GPU. One older than the GPU knows no such architecture.
fn nvrtc(report: &mut Report, device: Option<&Device>) -> bool {
    if !report.is_picked(Library::Nvrtc) {
        return false;
    }
    let compiled = nvrtc_version().and_then(|(major, minor)| {
        set_version(report, Library::Nvrtc, format!("{major}.{minor}"));
        let Some(device) = device else { return Ok(()) };
        let source = r#"extern "C" __global__ void nothing() {}"#.to_owned();
        let source = KernelSource { name: "nothing".to_owned(), source, options: Vec::new() };
        compile_cubin(&source, &device.properties().architecture()).map(drop)
    });
    if let Err(error) = &compiled {
        let hint = "`ocelli stack install` fetches one that fits the driver";
        report.problems.push(format!("NVRTC does not compile for this GPU: {}; {hint}", with_causes(error)));
    }
    compiled.is_ok()
}

fn cublaslt(report: &mut Report, device: Option<&Device>) -> Option<CublasLt> {
    if !report.is_picked(Library::CublasLt) {
        return None;
    }
    if let Ok(version) = CublasLt::version() {
        let version = format!("{}.{}.{}", version / 10_000, version % 10_000 / 100, version % 100);
        set_version(report, Library::CublasLt, version);
    }
    match CublasLt::new(device?) {
        Ok(cublaslt) => Some(cublaslt),
        Err(error) => {
            report.problems.push(format!("cuBLASLt does not start: {}", with_causes(&error)));
            None
        }
    }
}

/// Records what a library says of itself, unless names have told more.
fn set_version(report: &mut Report, library: Library, version: String) {
    if let Some(picked) = report.library_mut(library).and_then(|report| report.picked.as_mut()) {
        let detailed = picked.version.as_ref().is_some_and(|known| known.starts_with(&version));
        if !detailed {
            picked.version = Some(version);
        }
    }
}
