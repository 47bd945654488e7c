//! How many work queues the streams of a process share.
//!
//! Streams that share one wait for each other's work, although nothing orders them. The driver gives a process eight for
//! each GPU, unless the environment says otherwise when it is initialised; nvJPEG alone has fourteen streams on an H200, of
//! which some then stand still while a network's step runs in their queue.

use std::ffi::OsStr;
use std::sync::OnceLock;
use std::{env, fs};

/// What tells the driver how many queues to make.
const VARIABLE: &str = "CUDA_DEVICE_MAX_CONNECTIONS";
/// How many work queues a process can have on a GPU.
pub const MOST_CONNECTIONS: u32 = 32;
/// How many there are by default.
const DEFAULT: u32 = 8;

/// How many there were to be when the driver was initialised.
static CONNECTIONS: OnceLock<u32> = OnceLock::new();

/// How many work queues this process's streams share on each GPU, as far as the environment says: at most
/// [`MOST_CONNECTIONS`].
///
/// Where the driver is first used ([`Device::new`](crate::Device::new), [`Device::count`](crate::Device::count)),
/// `CUDA_DEVICE_MAX_CONNECTIONS` is set to the most, unless it is set already, and unless the process has other threads by
/// then, which might read the environment at the same time. A program with threads opens the device before it starts them, or
/// is started with the variable set. Programs that this one starts inherit it.
pub fn connections() -> u32 {
    CONNECTIONS.get().copied().unwrap_or_else(|| asked_for(env::var_os(VARIABLE).as_deref()))
}

/// Asks for as many as there may be, where nobody asked for some, before the driver is initialised.
pub(crate) fn ask_for_most() {
    CONNECTIONS.get_or_init(|| {
        if env::var_os(VARIABLE).is_none() && is_only_thread() {
            // SAFETY: no other thread is there that might read the environment, and none can be started meanwhile but by
            // this one.
            unsafe { env::set_var(VARIABLE, MOST_CONNECTIONS.to_string()) };
        }
        asked_for(env::var_os(VARIABLE).as_deref())
    });
}

/// How many a value of the variable asks for; what is no such number is taken for none.
fn asked_for(value: Option<&OsStr>) -> u32 {
    let value = value.and_then(OsStr::to_str).and_then(|text| text.trim().parse().ok());
    value.filter(|count| (1..=MOST_CONNECTIONS).contains(count)).unwrap_or(DEFAULT)
}

/// Whether the process has no thread but this one; false where the system does not say.
fn is_only_thread() -> bool {
    fs::read_dir("/proc/self/task").is_ok_and(|threads| threads.count() == 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_environment_asks_for_a_number() {
        let asked = |text: &str| asked_for(Some(text.as_ref()));
        assert_eq!((asked("1"), asked("17"), asked("32")), (1, 17, 32));
        assert_eq!((asked(""), asked("many"), asked("0"), asked("33")), (8, 8, 8, 8));
        assert_eq!(asked_for(None), 8);
    }

    #[test]
    fn a_thread_is_told_from_others() {
        // The thread that runs the tests waits for the one that runs this, or both are one.
        std::thread::scope(|scope| {
            scope.spawn(|| assert!(!is_only_thread()));
        });
    }
}
