use ocelli_cuda::{DeviceBuffer, Event, Stream};

use crate::Result;

/// Work that a stream may not have passed yet, and the memory that it reads and writes.
#[derive(Debug, Default)]
pub(crate) struct InFlight {
    event: Option<Event>,
    buffers: Vec<DeviceBuffer>,
}

impl InFlight {
    /// Waits on the host until the stream has passed the work, and lets go of the memory.
    pub(crate) fn wait(&mut self) -> Result<()> {
        // After a failure the device runs nothing more, so that the memory may go all the same.
        let waited = self.event.take().map_or(Ok(()), |event| event.synchronize());
        self.buffers.clear();
        Ok(waited?)
    }

    /// Keeps `buffers` until `stream` has passed the work that it has been given up to here. What was kept before has been
    /// waited for.
    pub(crate) fn hold(
        &mut self,
        stream: &Stream,
        buffers: impl IntoIterator<Item = DeviceBuffer>,
    ) -> Result<()> {
        self.buffers.extend(buffers);
        match stream.record() {
            Ok(event) => {
                self.event = Some(event);
                Ok(())
            }
            Err(error) => {
                // Without an event there is only the end of everything to wait for. What that fails with is no news.
                let _ = stream.synchronize();
                self.buffers.clear();
                Err(error.into())
            }
        }
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        if let Err(error) = self.wait() {
            tracing::error!(%error, "a decode failed after it was enqueued; what it wrote is undefined");
        }
    }
}
