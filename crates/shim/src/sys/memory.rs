//! Giving memory back that a process has used and will not soon use again.
#![expect(
    unsafe_code,
    reason = "system calls without a wrapper in the standard library"
)]

use std::io;

use libc::c_void;

/// The size of a page, or less.
const PAGE: usize = 4096;
/// How much of the stack is given back; that much is always there.
const STACK_BYTES: usize = 96 << 10;
/// How much of it is left to the calls that are being made.
const KEPT_BYTES: usize = PAGE;

/// Has the kernel put the heap of the next program right behind its data, or anywhere. Tables that lead
/// elsewhere are a page, for each shim.
pub(crate) fn place_in_order(is_in_order: bool) -> io::Result<()> {
    const ASK: libc::c_ulong = 0xffff_ffff;
    // SAFETY: takes a number.
    let present = super::check_int(unsafe { libc::personality(ASK) })?;
    let others = present & !libc::ADDR_NO_RANDOMIZE;
    let wanted = others
        | if is_in_order {
            libc::ADDR_NO_RANDOMIZE
        } else {
            0
        };
    if wanted == present {
        return Ok(());
    }
    let wanted = libc::c_ulong::from(wanted.cast_unsigned());
    // SAFETY: takes a number.
    super::check_int(unsafe { libc::personality(wanted) }).map(drop)
}

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
