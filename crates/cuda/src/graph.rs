//! Capture of a stream's work into a graph, and replay of it.

use std::any::Any;
use std::marker::PhantomData;
use std::mem;
use std::ptr;
use std::sync::{Arc, Mutex, PoisonError};

use cudarc::driver::sys;

use crate::context::Context;
use crate::driver::cu;
use crate::error::{Error, Result};
use crate::stream::Stream;

/// A capture under way; dropping it without [`end`](Capture::end) aborts it and leaves the stream as it was.
///
/// The driver wants a capture ended by the thread that began it, so this type stays on its thread.
#[derive(Debug)]
pub struct Capture {
    stream: Stream,
    ended: bool,
    stays_on_its_thread: PhantomData<*mut ()>,
}

impl Capture {
    pub(crate) fn begin(stream: &Stream) -> Result<Capture> {
        stream.context().bind()?;
        let mode = sys::CUstreamCaptureMode::CU_STREAM_CAPTURE_MODE_THREAD_LOCAL;
        // SAFETY: the stream is alive, and never the legacy stream, which cannot be captured.
        unsafe { cu!(cuStreamBeginCapture_v2(stream.handle(), mode)) }?;
        Ok(Capture { stream: stream.clone(), ended: false, stays_on_its_thread: PhantomData })
    }

    /// Ends the capture and returns what was recorded; nothing of it has been executed.
    ///
    /// # Errors
    /// [`Error::Driver`] when a call during the capture made it invalid.
    pub fn end(mut self) -> Result<CapturedGraph> {
        self.finish()
    }

    fn finish(&mut self) -> Result<CapturedGraph> {
        self.ended = true;
        let context = self.stream.context();
        context.bind()?;
        let mut raw = ptr::null_mut();
        // SAFETY: the stream is alive and was put into capture by `begin` on this thread.
        unsafe { cu!(cuStreamEndCapture(self.stream.handle(), &mut raw)) }?;
        Ok(CapturedGraph { raw, context: context.clone() })
    }
}

impl Drop for Capture {
    fn drop(&mut self) {
        if !self.ended {
            // The graph, if there is one, is destroyed; an error says that the capture was invalid, and it has ended.
            drop(self.finish());
        }
    }
}

/// Recorded work, not yet executable.
#[derive(Debug)]
pub struct CapturedGraph {
    raw: sys::CUgraph,
    context: Arc<Context>,
}

// SAFETY: a graph is bound to no thread; the driver forbids only simultaneous use, which `&self` methods do not do.
unsafe impl Send for CapturedGraph {}

impl CapturedGraph {
    /// Number of nodes at the top level: kernels, copies, fills.
    ///
    /// # Errors
    /// [`Error::Driver`] when the driver refuses.
    pub fn node_count(&self) -> Result<usize> {
        Ok(nodes(self.raw)?.len())
    }

    /// Makes the graph executable. `retained` is whatever the recorded work touches: buffers, modules, plans,
    /// workspaces; the driver keeps none of it alive, so the [`ReplayGraph`] does.
    ///
    /// # Errors
    /// [`Error::GraphAllocates`] when memory was allocated or freed in stream order during the capture: the addresses
    /// would belong to the graph and not to the pool. [`Error::Driver`] when the driver refuses the graph.
    pub fn instantiate(self, retained: Vec<Box<dyn Any + Send + Sync>>) -> Result<ReplayGraph> {
        self.context.bind()?;
        let allocations = count_allocations(self.raw)?;
        if allocations > 0 {
            return Err(Error::GraphAllocates { nodes: allocations });
        }
        let node_count = self.node_count()?;
        let mut raw = ptr::null_mut();
        // SAFETY: the graph is alive; the executable is independent of it afterwards.
        unsafe { cu!(cuGraphInstantiateWithFlags(&mut raw, self.raw, 0)) }?;
        let launched_on = Mutex::new(Vec::new());
        Ok(ReplayGraph { raw, node_count, launched_on, retained, context: self.context.clone() })
    }
}

impl Drop for CapturedGraph {
    fn drop(&mut self) {
        if !self.raw.is_null() && self.context.bind().is_ok() {
            // SAFETY: owned, destroyed once.
            let _ = unsafe { cu!(cuGraphDestroy(self.raw)) };
        }
    }
}

fn nodes(graph: sys::CUgraph) -> Result<Vec<sys::CUgraphNode>> {
    let mut count = 0;
    // SAFETY: the graph is alive; with a null array the call returns the number of nodes.
    unsafe { cu!(cuGraphGetNodes(graph, ptr::null_mut(), &mut count)) }?;
    let mut nodes = vec![ptr::null_mut(); count];
    if count > 0 {
        // SAFETY: the array has room for `count` nodes.
        unsafe { cu!(cuGraphGetNodes(graph, nodes.as_mut_ptr(), &mut count)) }?;
    }
    nodes.truncate(count);
    Ok(nodes)
}

/// Number of allocation and free nodes, those of child graphs included.
fn count_allocations(graph: sys::CUgraph) -> Result<usize> {
    const CHILD: u32 = sys::CUgraphNodeType::CU_GRAPH_NODE_TYPE_GRAPH as u32;
    const ALLOC: u32 = sys::CUgraphNodeType::CU_GRAPH_NODE_TYPE_MEM_ALLOC as u32;
    const FREE: u32 = sys::CUgraphNodeType::CU_GRAPH_NODE_TYPE_MEM_FREE as u32;
    let mut found = 0;
    for node in nodes(graph)? {
        // Read as a number: a newer driver may know node types that the binding's enum does not.
        let mut kind = 0_u32;
        // SAFETY: the node belongs to a graph that is alive; the type is a 32-bit enum.
        unsafe { cu!(cuGraphNodeGetType(node, &mut kind)) }?;
        found += match kind {
            ALLOC | FREE => 1,
            CHILD => {
                let mut child = ptr::null_mut();
                // SAFETY: a child-graph node; the child stays owned by the node.
                unsafe { cu!(cuGraphChildGraphNodeGetGraph(node, &mut child)) }?;
                count_allocations(child)?
            }
            _ => 0,
        };
    }
    Ok(found)
}

/// An executable graph with fixed addresses, together with everything it touches.
///
/// Dropping it waits for its last launch on every stream it was launched on, then lets go of what it retained. It may
/// be used from any thread: the driver does not let two threads launch one executable at a time, so a lock does.
#[derive(Debug)]
pub struct ReplayGraph {
    raw: sys::CUgraphExec,
    node_count: usize,
    /// Also the lock under which the executable is used.
    launched_on: Mutex<Vec<Stream>>,
    retained: Vec<Box<dyn Any + Send + Sync>>,
    context: Arc<Context>,
}

// SAFETY: bound to no thread; used only under the lock, destroyed once.
unsafe impl Send for ReplayGraph {}
// SAFETY: as above.
unsafe impl Sync for ReplayGraph {}

impl ReplayGraph {
    /// Submits the whole graph to `stream`, asynchronously.
    ///
    /// # Errors
    /// [`Error::Driver`] when the driver refuses.
    pub fn launch(&self, stream: &Stream) -> Result<()> {
        self.context.bind()?;
        let mut launched_on = self.launched_on.lock().unwrap_or_else(PoisonError::into_inner);
        // SAFETY: both handles are alive, and what the graph touches is retained.
        unsafe { cu!(cuGraphLaunch(self.raw, stream.handle())) }?;
        if !launched_on.contains(stream) {
            launched_on.push(stream.clone());
        }
        Ok(())
    }

    /// Sends the graph to the GPU ahead of its first launch, which then costs no more than any other.
    ///
    /// # Errors
    /// [`Error::Driver`] when the driver refuses.
    pub fn upload(&self, stream: &Stream) -> Result<()> {
        self.context.bind()?;
        let _lock = self.launched_on.lock().unwrap_or_else(PoisonError::into_inner);
        // SAFETY: both handles are alive.
        unsafe { cu!(cuGraphUpload(self.raw, stream.handle())) }
    }

    /// Number of nodes at the top level: what one replay launches.
    pub fn node_count(&self) -> usize {
        self.node_count
    }
}

impl Drop for ReplayGraph {
    fn drop(&mut self) {
        let launched_on = self.launched_on.get_mut().unwrap_or_else(PoisonError::into_inner);
        let finished = launched_on.iter().all(|stream| stream.synchronize().is_ok());
        if self.context.bind().is_ok() {
            // SAFETY: owned, destroyed once; the driver defers it should a launch still be running.
            let _ = unsafe { cu!(cuGraphExecDestroy(self.raw)) };
        }
        if !finished {
            // Whether the GPU still touches it is unknown (a stream in capture, a failed device): better lost than reused.
            mem::forget(mem::take(&mut self.retained));
        }
    }
}
