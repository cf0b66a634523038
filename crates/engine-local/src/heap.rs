//! The heap of this process; it has nothing to do with dynos, but unsafe code is this room's alone.

/// Has the C library give memory that lies unused back to the kernel. Takes some milliseconds when
/// there is much of it, in which other threads may wait for memory of theirs. Source:
/// `malloc_trim(3)`.
#[expect(unsafe_code, reason = "there is no safe form")]
pub fn give_back_memory() {
    #[cfg(target_env = "gnu")]
    // SAFETY: it takes no pointers, and locks what it looks at.
    unsafe {
        libc::malloc_trim(0);
    }
}
