//! The arguments of a launch, in the form the driver reads them.

use std::ffi::c_void;

/// Kernel arguments in the order of the kernel's parameters: built once, launched any number of times.
///
/// Each value lives in a cell of eight bytes, beside an array of pointers to the cells, which is what the driver takes;
/// a launch allocates nothing and copies the values, so they may change right after it.
#[derive(Debug, Default)]
pub struct KernelArgs {
    cells: Vec<u64>,
    pointers: Vec<*mut c_void>,
}

// SAFETY: the pointers lead into the value's own heap block, which moves with it.
unsafe impl Send for KernelArgs {}
// SAFETY: as above; nothing changes through `&self`.
unsafe impl Sync for KernelArgs {}

impl Clone for KernelArgs {
    fn clone(&self) -> KernelArgs {
        let mut clone = KernelArgs { cells: self.cells.clone(), pointers: Vec::new() };
        clone.point();
        clone
    }
}

impl KernelArgs {
    /// No arguments yet.
    pub fn new() -> KernelArgs {
        KernelArgs::default()
    }

    /// Adds a device address, for a pointer parameter.
    pub fn push_ptr(&mut self, address: u64) -> &mut KernelArgs {
        self.push(address.to_ne_bytes())
    }

    /// Adds an `unsigned int`.
    pub fn push_u32(&mut self, value: u32) -> &mut KernelArgs {
        self.push(value.to_ne_bytes())
    }

    /// Adds an `int`.
    pub fn push_i32(&mut self, value: i32) -> &mut KernelArgs {
        self.push(value.to_ne_bytes())
    }

    /// Adds an `unsigned long long`.
    pub fn push_u64(&mut self, value: u64) -> &mut KernelArgs {
        self.push(value.to_ne_bytes())
    }

    /// Adds a `float`.
    pub fn push_f32(&mut self, value: f32) -> &mut KernelArgs {
        self.push(value.to_ne_bytes())
    }

    /// Number of arguments.
    pub fn len(&self) -> usize {
        self.cells.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.cells.is_empty()
    }

    /// The driver reads a parameter's own size from the start of its cell.
    fn push<const N: usize>(&mut self, bytes: [u8; N]) -> &mut KernelArgs {
        let mut cell = [0; 8];
        cell[..N].copy_from_slice(&bytes);
        self.cells.push(u64::from_ne_bytes(cell));
        self.point();
        self
    }

    /// Points at the cells anew, as they move when their vector grows.
    fn point(&mut self) {
        let base = self.cells.as_mut_ptr();
        self.pointers.clear();
        self.pointers.extend((0..self.cells.len()).map(|i| base.wrapping_add(i).cast::<c_void>()));
    }

    /// The driver's view; it only reads through these pointers.
    pub(crate) fn pointers(&self) -> *mut *mut c_void {
        self.pointers.as_ptr().cast_mut()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads argument `index` as the driver does.
    fn read<T: Copy>(args: &KernelArgs, index: usize) -> T {
        // SAFETY: `index` is below the number of arguments, and T is what the test pushed there.
        unsafe { (*args.pointers().add(index)).cast::<T>().read() }
    }

    #[test]
    fn values_are_found_through_the_pointers_after_growth_moves_and_clones() {
        let mut args = KernelArgs::new();
        args.push_ptr(0xdead_beef_0000).push_u32(7).push_i32(-3).push_u64(u64::MAX).push_f32(1.5);
        for i in 0..100 {
            args.push_u32(i);
        }
        let boxed = Box::new(args);
        let clone = (*boxed).clone();
        drop(boxed);
        assert_eq!(clone.len(), 105);
        assert_eq!(read::<u64>(&clone, 0), 0xdead_beef_0000);
        assert_eq!(read::<u32>(&clone, 1), 7);
        assert_eq!(read::<i32>(&clone, 2), -3);
        assert_eq!(read::<u64>(&clone, 3), u64::MAX);
        assert_eq!(read::<f32>(&clone, 4), 1.5);
        assert_eq!(read::<u32>(&clone, 104), 99);
    }
}
