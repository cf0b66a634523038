//! Giving memory back that a process has used and will not soon use again.
#![expect(
    unsafe_code,
    reason = "system calls without a wrapper in the standard library"
)]

use libc::c_void;

/// The size of a page, or less.
const PAGE: usize = 4096;
/// How much of the stack is given back; that much is always there.
const STACK_BYTES: usize = 96 << 10;
/// How much of it is left to the calls that are being made.
const KEPT_BYTES: usize = 2 * PAGE;

/// Gives the kernel the heap's free pages and the pages of the stack below the caller's.
pub(crate) fn give_back() {
    #[cfg(target_env = "gnu")]
    // SAFETY: touches what is free alone.
    unsafe {
        libc::malloc_trim(0);
    }
    let here = 0_u8;
    let kept = (&raw const here).addr() - KEPT_BYTES;
    let end = kept - kept % PAGE;
    let low = super::low::stack();
    let begin = if low.contains(&end) {
        low.start
    } else {
        end - STACK_BYTES
    };
    // SAFETY: nothing lives below the stack pointer, from which this is far enough, and the kernel
    // puts nothing else there. Where pages are larger it refuses, which does no harm.
    unsafe {
        libc::madvise(
            std::ptr::without_provenance_mut::<c_void>(begin),
            end - begin,
            libc::MADV_DONTNEED,
        )
    };
}
