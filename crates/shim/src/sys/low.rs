//! A process that keeps all of its memory close together.
//!
//! The kernel puts a program's stack, and what it lends to it, at the far end of its memory. Tables
//! that lead there are five pages, for each shim, for all of its life. So the nest moves its stack in
//! among the program's own data and gives up all that lies above; shims inherit it so. What lay there
//! must not be touched again: the arguments, the environment, the kernel's quick clock.

use std::ops::Range;

#[cfg(not(all(
    target_arch = "x86_64",
    target_env = "gnu",
    target_feature = "crt-static"
)))]
mod place {
    /// Where there is no such place.
    pub(super) fn settle(life: super::Life) -> ! {
        crate::sys::exit_now(life())
    }

    pub(super) const fn stack() -> std::ops::Range<usize> {
        0..0
    }
}

#[cfg(all(
    target_arch = "x86_64",
    target_env = "gnu",
    target_feature = "crt-static"
))]
#[expect(
    unsafe_code,
    reason = "leaves the memory that everything else was started in"
)]
mod place {
    use std::{arch::asm, cell::UnsafeCell, ops::Range, ptr};

    use libc::{c_char, c_void};

    use super::Life;
    use crate::sys::exit_now;

    /// The size of a page.
    const PAGE: usize = 4096;
    /// The size of the stack; only what is used of it is there.
    const STACK_BYTES: usize = 512 << 10;
    /// The end of a process's memory.
    const MEMORY_END: usize = 0x7fff_ffff_f000;
    /// The heap of a program that is not moved about lies below.
    const HEAP_END: usize = 1 << 40;

    #[repr(C, align(4096))]
    struct Stack(UnsafeCell<[u8; STACK_BYTES]>);

    // SAFETY: used by one thread, once.
    unsafe impl Sync for Stack {}

    static STACK: Stack = Stack(UnsafeCell::new([0; STACK_BYTES]));

    /// An environment of nothing.
    struct Nothing([*const c_char; 1]);

    // SAFETY: never written to.
    unsafe impl Sync for Nothing {}

    static NOTHING: Nothing = Nothing([ptr::null()]);

    unsafe extern "C" {
        #[link_name = "environ"]
        static mut ENVIRONMENT: *const *const c_char;
    }

    pub(super) fn stack() -> Range<usize> {
        let bottom = STACK.0.get().addr();
        bottom + PAGE..bottom + STACK_BYTES
    }

    pub(super) fn settle(life: Life) -> ! {
        // SAFETY: takes a number; the page is ours, and nothing lies there yet.
        let (heap_end, is_guarded) = unsafe {
            (
                libc::sbrk(0).addr(),
                libc::mprotect(STACK.0.get().cast(), PAGE, libc::PROT_NONE) == 0,
            )
        };
        if !is_guarded || heap_end < stack().end || heap_end > HEAP_END {
            exit_now(life());
        }
        // SAFETY: the new stack is ours alone; nothing of the old one is used again.
        unsafe {
            asm!(
                "mov rsp, {stack}",
                "xor ebp, ebp",
                "call {run}",
                "ud2",
                stack = in(reg) STACK.0.get().cast::<u8>().add(STACK_BYTES),
                run = sym run,
                in("rdi") life,
                in("rsi") heap_end,
                options(noreturn),
            )
        }
    }

    extern "C" fn run(life: Life, heap_end: usize) -> ! {
        let begin = heap_end.next_multiple_of(PAGE);
        // SAFETY: this process has one thread, which looks at nothing in there again; the heap lies
        // below and may grow on. The alternate stack for signals lies there, too: none has a handler
        // of ours.
        unsafe {
            ENVIRONMENT = NOTHING.0.as_ptr();
            let no_stack = libc::stack_t {
                ss_sp: ptr::null_mut(),
                ss_flags: libc::SS_DISABLE,
                ss_size: 0,
            };
            libc::sigaltstack(&raw const no_stack, ptr::null_mut());
            libc::munmap(
                ptr::without_provenance_mut::<c_void>(begin),
                MEMORY_END - begin,
            );
        }
        exit_now(life())
    }
}

/// What is done for the rest of the process's life; gives its exit code.
pub(crate) type Life = extern "C" fn() -> i32;

/// Lives on in as little memory as there may be. Nothing of what the caller has on its stack is there
/// any more.
pub(crate) fn settle(life: Life) -> ! {
    place::settle(life)
}

/// The stack that [`settle`] moves to.
pub(super) fn stack() -> Range<usize> {
    place::stack()
}
