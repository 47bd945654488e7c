//! How much memory is in use.

use std::fs;

use ocelli_cuda::Device;
use serde_json::{Value, json};

use super::error::Result;

/// Memory in use, bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Memory {
    /// This process's; `None` where the system does not tell.
    host: Option<Host>,
    /// The GPU's, whoever uses it.
    gpu: u64,
}

/// What of a process is in the host's memory, bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Host {
    resident: u64,
    /// Of it, pages of mapped files. Those of a record file come as its images are read, and take memory from nobody.
    files: u64,
}

impl Memory {
    /// What is in use now.
    pub(super) fn now(device: &Device) -> Result<Memory> {
        let gpu = device.memory()?;
        let status = fs::read_to_string("/proc/self/status").ok();
        Ok(Memory {
            host: status.and_then(|status| Host::of(&status)),
            gpu: gpu.total.saturating_sub(gpu.free) as u64,
        })
    }
}

impl Host {
    /// As Linux tells it. Its `statm` has the same numbers, but in pages, whose size differs between machines.
    ///
    /// Source: proc_pid_status(5), `VmRSS` and `RssFile`.
    fn of(status: &str) -> Option<Host> {
        let bytes = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name))?;
            line.trim().strip_suffix("kB")?.trim_end().parse::<u64>().ok()?.checked_mul(1 << 10)
        };
        Some(Host { resident: bytes("VmRSS:")?, files: bytes("RssFile:")? })
    }
}

/// Memory at the begin and at the end of a measurement.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) begin: Memory,
    pub(super) end: Memory,
}

impl Span {
    /// What the host has, where it tells.
    fn host(&self) -> Option<[Host; 2]> {
        Some([self.begin.host?, self.end.host?])
    }

    /// Whole MiB, at the begin and at the end.
    pub(super) fn text(&self) -> String {
        let span = |[begin, end]: [u64; 2]| format!("{} to {}", begin >> 20, end >> 20);
        let host = self.host().map_or(String::new(), |host| {
            let [resident, files] = [host.map(|host| host.resident), host.map(|host| host.files)].map(span);
            format!("host {resident} (of which mapped files {files}), ")
        });
        format!("memory, MiB: {host}GPU {}", span([self.begin.gpu, self.end.gpu]))
    }

    /// Pairs of bytes, at the begin and at the end; null where the system does not tell.
    pub(super) fn json(&self) -> Value {
        let host = self.host();
        json!({
            "host": host.map(|host| host.map(|host| host.resident)),
            "host_mapped_files": host.map(|host| host.map(|host| host.files)),
            "gpu": [self.begin.gpu, self.end.gpu],
        })
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A host from 100 to 101 MiB, of which files from 3 to 4, and a GPU from 5000 to 5002.
    pub(in crate::bench_loader) fn span() -> Span {
        let memory = |resident: u64, files: u64, gpu: u64| Memory {
            host: Some(Host { resident: resident << 20, files: files << 20 }),
            gpu: gpu << 20,
        };
        Span { begin: memory(100, 3, 5000), end: memory(101, 4, 5002) }
    }

    #[test]
    fn a_process_is_as_large_as_its_status_says() {
        let status = "Name:\tocelli\nVmHWM:\t  9000 kB\nVmRSS:\t    5120 kB\nRssAnon:\t 4000 kB\nRssFile:\t    1024 kB\n";
        assert_eq!(Host::of(status), Some(Host { resident: 5 << 20, files: 1 << 20 }));
        for unknown in [
            "",
            "VmRSS:\t 5120 kB\n",
            "VmRSS:\t 5120\nRssFile:\t 1 kB\n",
            "VmRSS:\t -1 kB\nRssFile:\t 1 kB\n",
            "VmRSS:\t 18446744073709551615 kB\nRssFile:\t 1 kB\n",
        ] {
            assert_eq!(Host::of(unknown), None, "{unknown}");
        }
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn what_is_written_to_is_in_memory() {
        let host = || Host::of(&fs::read_to_string("/proc/self/status").unwrap()).unwrap();
        let own = |host: Host| host.resident - host.files;
        let before = host();
        let written = vec![1u8; 64 << 20];
        let after = host();
        // Other tests may give a little back meanwhile.
        assert!(own(after) > own(before) + (48 << 20), "{before:?}, {after:?}");
        assert!(std::hint::black_box(written).iter().all(|byte| *byte == 1));
    }

    #[test]
    fn memory_is_told_from_the_begin_to_the_end() {
        assert_eq!(
            span().text(),
            "memory, MiB: host 100 to 101 (of which mapped files 3 to 4), GPU 5000 to 5002"
        );
        let expected = json!({
            "host": [100 << 20, 101 << 20],
            "host_mapped_files": [3 << 20, 4 << 20],
            "gpu": [5000u64 << 20, 5002u64 << 20],
        });
        assert_eq!(span().json(), expected);
        // A system that does not tell.
        let Span { mut begin, end } = span();
        begin.host = None;
        let unknown = Span { begin, end };
        assert_eq!(unknown.text(), "memory, MiB: GPU 5000 to 5002");
        assert_eq!(unknown.json()["host"], Value::Null);
        assert_eq!(unknown.json()["host_mapped_files"], Value::Null);
    }
}
