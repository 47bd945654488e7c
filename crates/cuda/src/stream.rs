//! Streams, in which the GPU works in order, and events, by which streams and the host wait for each other.

use std::ffi::c_void;
use std::ptr;
use std::sync::Arc;

use cudarc::driver::sys;

use crate::context::Context;
use crate::driver::{check, cu, table};
use crate::error::{Error, Result};
use crate::graph::Capture;
use crate::memory::{DeviceBuffer, PinnedBuffer};

/// A queue of GPU work, executed in order; cloning shares it.
///
/// Never the legacy default stream, so it waits for nothing it was not told to wait for and can be captured. Streams
/// may be used from any thread (the driver locks each), though work that several threads submit to one is in an
/// unspecified order.
#[derive(Clone, Debug)]
pub struct Stream(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    raw: sys::CUstream,
    context: Arc<Context>,
}

// SAFETY: the driver's calls on a stream are thread-safe; the handle is destroyed once, with the last clone.
unsafe impl Send for Inner {}
// SAFETY: as above.
unsafe impl Sync for Inner {}

impl Drop for Inner {
    fn drop(&mut self) {
        if self.context.bind().is_ok() {
            // SAFETY: last owner; the driver destroys the stream once its work is done.
            let _ = unsafe { cu!(cuStreamDestroy_v2(self.raw)) };
        }
    }
}

impl PartialEq for Stream {
    fn eq(&self, other: &Stream) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}
impl Eq for Stream {}

impl Stream {
    pub(crate) fn new(context: &Arc<Context>) -> Result<Stream> {
        context.bind()?;
        let mut raw = ptr::null_mut();
        let flags = sys::CUstream_flags::CU_STREAM_NON_BLOCKING as u32;
        // SAFETY: a context is current.
        unsafe { cu!(cuStreamCreate(&mut raw, flags)) }?;
        Ok(Stream(Arc::new(Inner { raw, context: context.clone() })))
    }

    /// The driver's handle (`CUstream`, the same as `cudaStream_t`), valid while a clone of this stream lives.
    pub fn raw(&self) -> *mut c_void {
        self.0.raw.cast()
    }

    pub(crate) fn handle(&self) -> sys::CUstream {
        self.0.raw
    }

    pub(crate) fn context(&self) -> &Arc<Context> {
        &self.0.context
    }

    /// Waits on the host until all work submitted so far is done.
    ///
    /// # Errors
    /// [`Error::Driver`] with what that work failed with.
    pub fn synchronize(&self) -> Result<()> {
        self.0.context.bind()?;
        // SAFETY: the stream lives as long as `self`.
        unsafe { cu!(cuStreamSynchronize(self.0.raw)) }
    }

    /// Marks this point of the stream, for waiting.
    ///
    /// # Errors
    /// [`Error::Driver`] when the driver refuses.
    pub fn record(&self) -> Result<Event> {
        let event = Event::new(&self.0.context, sys::CUevent_flags::CU_EVENT_DISABLE_TIMING)?;
        event.record_on(self)?;
        Ok(event)
    }

    /// Marks this point of the stream, for waiting and for [`Event::elapsed_ms`].
    ///
    /// # Errors
    /// [`Error::Driver`] when the driver refuses.
    pub fn record_timed(&self) -> Result<Event> {
        let event = Event::new(&self.0.context, sys::CUevent_flags::CU_EVENT_DEFAULT)?;
        event.record_on(self)?;
        Ok(event)
    }

    /// Makes later work of this stream wait for `event`; the host does not wait.
    ///
    /// # Errors
    /// [`Error::Driver`] when the driver refuses.
    pub fn wait(&self, event: &Event) -> Result<()> {
        self.0.context.bind()?;
        // SAFETY: both handles are alive; an event may be destroyed while a wait for it is pending.
        unsafe { cu!(cuStreamWaitEvent(self.0.raw, event.raw, 0)) }
    }

    /// Copies `bytes` from pinned memory to the device, asynchronously.
    ///
    /// # Errors
    /// [`Error::OutOfBounds`] when either range does not fit; [`Error::Driver`].
    pub fn copy_to_device(
        &self,
        dst: &DeviceBuffer,
        dst_offset: usize,
        src: &PinnedBuffer,
        src_offset: usize,
        bytes: usize,
    ) -> Result<()> {
        let to = range(dst, dst_offset, bytes)?;
        let from = src.range(src_offset, bytes)?;
        if bytes == 0 {
            return Ok(());
        }
        self.0.context.bind()?;
        // SAFETY: both ranges were checked; `src` waits for the event of `mark` before it lets go of its memory.
        unsafe { cu!(cuMemcpyHtoDAsync_v2(to, from.cast(), bytes, self.0.raw)) }?;
        src.mark(self)
    }

    /// Copies `bytes` from the device to pinned memory, asynchronously; reading the buffer waits for it.
    ///
    /// # Errors
    /// [`Error::OutOfBounds`] when either range does not fit; [`Error::Driver`].
    pub fn copy_to_pinned(
        &self,
        dst: &PinnedBuffer,
        dst_offset: usize,
        src: &DeviceBuffer,
        src_offset: usize,
        bytes: usize,
    ) -> Result<()> {
        let to = dst.range(dst_offset, bytes)?;
        let from = range(src, src_offset, bytes)?;
        if bytes == 0 {
            return Ok(());
        }
        self.0.context.bind()?;
        // SAFETY: both ranges were checked; `dst` waits for the event of `mark` before it is read or let go.
        unsafe { cu!(cuMemcpyDtoHAsync_v2(to.cast(), from, bytes, self.0.raw)) }?;
        dst.mark(self)
    }

    /// Copies `bytes` within the device, asynchronously; the ranges must not overlap.
    ///
    /// # Errors
    /// [`Error::OutOfBounds`] when either range does not fit; [`Error::Driver`].
    pub fn copy_device(
        &self,
        dst: &DeviceBuffer,
        dst_offset: usize,
        src: &DeviceBuffer,
        src_offset: usize,
        bytes: usize,
    ) -> Result<()> {
        let to = range(dst, dst_offset, bytes)?;
        let from = range(src, src_offset, bytes)?;
        if bytes == 0 {
            return Ok(());
        }
        self.0.context.bind()?;
        // SAFETY: both ranges were checked; freed memory is reused in the order of the compute stream.
        unsafe { cu!(cuMemcpyDtoDAsync_v2(to, from, bytes, self.0.raw)) }
    }

    /// Sets `bytes` bytes to `value`, asynchronously.
    ///
    /// # Errors
    /// [`Error::OutOfBounds`] when the range does not fit; [`Error::Driver`].
    pub fn fill_bytes(&self, dst: &DeviceBuffer, offset: usize, bytes: usize, value: u8) -> Result<()> {
        let to = range(dst, offset, bytes)?;
        if bytes == 0 {
            return Ok(());
        }
        self.0.context.bind()?;
        // SAFETY: the range was checked.
        unsafe { cu!(cuMemsetD8Async(to, value, bytes, self.0.raw)) }
    }

    /// Copies ordinary host memory to the device and waits for it.
    ///
    /// # Errors
    /// [`Error::OutOfBounds`] when the range does not fit; [`Error::Driver`], also while this stream is captured.
    pub fn upload(&self, dst: &DeviceBuffer, offset: usize, src: &[u8]) -> Result<()> {
        let to = range(dst, offset, src.len())?;
        if src.is_empty() {
            return Ok(());
        }
        self.0.context.bind()?;
        // SAFETY: the range was checked, and `src` is borrowed until the copy is done.
        unsafe { cu!(cuMemcpyHtoDAsync_v2(to, src.as_ptr().cast(), src.len(), self.0.raw)) }?;
        self.synchronize()
    }

    /// Copies device memory to ordinary host memory and waits for it.
    ///
    /// # Errors
    /// [`Error::OutOfBounds`] when the range does not fit; [`Error::Driver`], also while this stream is captured.
    pub fn download(&self, src: &DeviceBuffer, offset: usize, dst: &mut [u8]) -> Result<()> {
        let from = range(src, offset, dst.len())?;
        if dst.is_empty() {
            return Ok(());
        }
        self.0.context.bind()?;
        // SAFETY: the range was checked, and `dst` is borrowed until the copy is done.
        unsafe { cu!(cuMemcpyDtoHAsync_v2(dst.as_mut_ptr().cast(), from, dst.len(), self.0.raw)) }?;
        self.synchronize()
    }

    /// Starts to record this stream's work into a graph instead of executing it.
    ///
    /// Calls of this thread that could not be part of a graph fail while the [`Capture`] lives; other threads go on
    /// undisturbed as long as they leave this stream alone.
    ///
    /// # Errors
    /// [`Error::Driver`], for one when this stream is captured already.
    pub fn begin_capture(&self) -> Result<Capture> {
        Capture::begin(self)
    }

    /// Whether this stream's work is being recorded into a graph, by whichever thread.
    ///
    /// # Errors
    /// [`Error::Driver`] when the driver refuses.
    pub fn is_capturing(&self) -> Result<bool> {
        self.0.context.bind()?;
        let mut status = sys::CUstreamCaptureStatus::CU_STREAM_CAPTURE_STATUS_NONE;
        // SAFETY: the stream is alive.
        unsafe { cu!(cuStreamIsCapturing(self.0.raw, &mut status)) }?;
        Ok(status != sys::CUstreamCaptureStatus::CU_STREAM_CAPTURE_STATUS_NONE)
    }
}

/// The device address `offset` bytes into `buffer`, once `bytes` from there are known to fit.
fn range(buffer: &DeviceBuffer, offset: usize, bytes: usize) -> Result<u64> {
    check_range("device buffer", buffer.len(), offset, bytes)?;
    Ok(buffer.ptr() + offset as u64)
}

pub(crate) fn check_range(what: &'static str, len: usize, offset: usize, bytes: usize) -> Result<()> {
    match offset.checked_add(bytes) {
        Some(end) if end <= len => Ok(()),
        _ => Err(Error::OutOfBounds { what, offset, bytes, len }),
    }
}

/// A point in a stream that the host or another stream can wait for.
///
/// May be used from any thread: the driver's event calls are thread-safe.
#[derive(Debug)]
pub struct Event {
    raw: sys::CUevent,
    context: Arc<Context>,
}

// SAFETY: the driver's calls on an event are thread-safe; the handle is destroyed once.
unsafe impl Send for Event {}
// SAFETY: as above.
unsafe impl Sync for Event {}

impl Event {
    pub(crate) fn new(context: &Arc<Context>, flags: sys::CUevent_flags) -> Result<Event> {
        context.bind()?;
        let mut raw = ptr::null_mut();
        // SAFETY: a context is current.
        unsafe { cu!(cuEventCreate(&mut raw, flags as u32)) }?;
        Ok(Event { raw, context: context.clone() })
    }

    /// Moves the event to the present end of `stream`.
    ///
    /// # Errors
    /// [`Error::Driver`] when the driver refuses, for one because `stream` belongs to another GPU.
    pub fn record_on(&self, stream: &Stream) -> Result<()> {
        self.context.bind()?;
        // SAFETY: both handles are alive.
        unsafe { cu!(cuEventRecord(self.raw, stream.handle())) }
    }

    /// Records the event at this point of the graph that `stream` is being captured into: each replay moves it there. An
    /// event of [`Stream::record_timed`] tells when the replay passed.
    ///
    /// # Errors
    /// [`Error::Driver`] when the driver refuses, for one because nothing is being captured.
    pub fn record_in_graph(&self, stream: &Stream) -> Result<()> {
        self.context.bind()?;
        let flags = sys::CUevent_record_flags::CU_EVENT_RECORD_EXTERNAL as u32;
        // SAFETY: both handles are alive.
        unsafe { cu!(cuEventRecordWithFlags(self.raw, stream.handle(), flags)) }
    }

    /// Waits on the host until the GPU has reached the event.
    ///
    /// # Errors
    /// [`Error::Driver`] with what the work before it failed with.
    pub fn synchronize(&self) -> Result<()> {
        self.context.bind()?;
        // SAFETY: the handle is alive.
        unsafe { cu!(cuEventSynchronize(self.raw)) }
    }

    /// Whether the GPU has reached the event.
    ///
    /// # Errors
    /// [`Error::Driver`] with what the work before it failed with.
    pub fn is_done(&self) -> Result<bool> {
        self.context.bind()?;
        const NOT_READY: i32 = sys::CUresult::CUDA_ERROR_NOT_READY as i32;
        // SAFETY: the handle is alive.
        match unsafe { (table()?.cuEventQuery)(self.raw) } {
            NOT_READY => Ok(false),
            status => check("cuEventQuery", status).map(|()| true),
        }
    }

    /// Milliseconds of GPU time from `since` to this event; waits for both.
    ///
    /// # Errors
    /// [`Error::Driver`] unless both were made by [`Stream::record_timed`] on the same GPU.
    pub fn elapsed_ms(&self, since: &Event) -> Result<f32> {
        since.synchronize()?;
        self.synchronize()?;
        let mut milliseconds = 0.0;
        // SAFETY: both handles are alive.
        unsafe { cu!(cuEventElapsedTime(&mut milliseconds, since.raw, self.raw)) }?;
        Ok(milliseconds)
    }
}

impl Drop for Event {
    fn drop(&mut self) {
        if self.context.bind().is_ok() {
            // SAFETY: last owner; the driver keeps the event until waits for it are over.
            let _ = unsafe { cu!(cuEventDestroy_v2(self.raw)) };
        }
    }
}
