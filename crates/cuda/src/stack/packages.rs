//! Which Python packages make up a stack.

use crate::error::{Error, Result};
use crate::library::cuda_of_driver;

/// One set is tested together; PyTorch 2.11 ships it.
const CUDA_13: [&str; 4] = [
    "nvidia-cudnn-cu13==9.19.0.56",
    "nvidia-cuda-nvrtc==13.0.88",
    "nvidia-cublas==13.1.0.3",
    "nvidia-nvjpeg==13.0.1.86",
];
/// The same cuDNN for older drivers, with the newest CUDA 12 that serves every one of them.
const CUDA_12: [&str; 4] = [
    "nvidia-cudnn-cu12==9.19.0.56",
    "nvidia-cuda-nvrtc-cu12==12.9.86",
    "nvidia-cublas-cu12==12.9.1.4",
    "nvidia-nvjpeg-cu12==12.4.0.76",
];

/// The packages that fit a driver; for CUDA 13 where there is none.
///
/// # Errors
/// [`Error::DriverTooOldForStack`] before 525.
pub fn default_packages(driver: Option<(u32, u32)>) -> Result<Vec<String>> {
    let cuda = match driver {
        None => 13,
        Some(driver) => cuda_of_driver(driver)
            .ok_or_else(|| Error::DriverTooOldForStack { driver: format!("{}.{}", driver.0, driver.1) })?,
    };
    let packages = if cuda == 12 { CUDA_12 } else { CUDA_13 };
    Ok(packages.map(str::to_owned).to_vec())
}

/// Refuses what pip would read as an option, a path or an address.
pub(super) fn check(requirement: &str) -> Result<()> {
    let (name, version) = requirement.split_once("==").unwrap_or((requirement, "0"));
    let plain = |text: &str| {
        text.starts_with(|first: char| first.is_ascii_alphanumeric())
            && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.+".contains(&byte))
    };
    if plain(name) && plain(version) {
        return Ok(());
    }
    Err(Error::InvalidRequirement { requirement: requirement.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_packages_follow_the_driver() {
        let all = |packages: Vec<String>, cuda| packages.iter().all(|package| package.contains(cuda));
        assert_eq!(default_packages(None).unwrap(), CUDA_13);
        assert_eq!(default_packages(Some((580, 65))).unwrap(), CUDA_13);
        for driver in [(525, 60), (550, 54), (579, 99)] {
            assert!(all(default_packages(Some(driver)).unwrap(), "-cu12=="), "{driver:?}");
        }
        let error = default_packages(Some((470, 42))).unwrap_err();
        assert!(error.to_string().contains("470.42") && error.to_string().contains("525"), "{error}");
    }

    #[test]
    fn only_names_and_versions_are_passed_to_pip() {
        for good in CUDA_13.iter().chain(&CUDA_12).chain(&["nvidia-nccl-cu13", "a==1.0+local"]) {
            check(good).unwrap();
        }
        for bad in [
            "",
            "==1",
            "a==",
            "--index-url=http://x",
            "-e.",
            "a @ file:///x",
            "../a",
            "/tmp/x.whl",
            "a>=1",
            "a==1 --pre",
            "a==-1",
        ] {
            check(bad).unwrap_err();
        }
    }
}
