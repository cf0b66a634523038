//! Process 1 in next to no memory.
//!
//! There is one for each dyno, for all of its life, and it does nothing but wait. So it gives up
//! its heap, its stack and the C library's own memory of the thread, and keeps the program file's
//! mappings alone. Nothing here may use the C library, allocate or panic once that is done: system
//! calls are made by hand.
#![expect(
    unsafe_code,
    reason = "leaves the memory that everything else relies on"
)]

use std::{arch::asm, cell::UnsafeCell, os::fd::RawFd};

use libc::c_uint;

/// What the kernel's `rseq(2)` takes to stop writing into this thread's memory.
const RSEQ_UNREGISTER: i64 = 1;
/// The signature the C library registers with.
const RSEQ_SIGNATURE: i64 = 0x5305_3053;
/// The length it registers, whatever of that it uses.
const RSEQ_BYTES: i64 = 32;
/// The end of a process's memory.
const MEMORY_END: usize = 0x7fff_ffff_f000;
/// The size of a page.
const PAGE: usize = 4096;
/// Every signal but the two that belong to the C library.
static SIGNALS: u64 = !(0b11 << 31);
/// As system calls take and give them.
const SIGCHLD: i64 = libc::SIGCHLD as i64;
const INTERRUPTED: i64 = -(libc::EINTR as i64);
/// The status of a first process that could not do its work.
const FAILED: i32 = 127;

/// What is left to run on; it needs a few hundred bytes.
#[repr(C, align(4096))]
struct Stack(UnsafeCell<[u8; PAGE]>);

// SAFETY: used by one thread, once.
unsafe impl Sync for Stack {}

static STACK: Stack = Stack(UnsafeCell::new([0; PAGE]));

unsafe extern "C" {
    // Where the program file's data begins that may be written to, behind what is only written to
    // while a program is loaded.
    #[link_name = "__data_start"]
    static DATA_BEGIN: u8;
    // The end of the program file's mappings, as every linker tells it.
    #[link_name = "_end"]
    static PROGRAM_END: u8;
    // Where the C library registered this thread's `rseq` area, from the thread pointer, and
    // whether it did.
    #[link_name = "__rseq_offset"]
    static RSEQ_OFFSET: isize;
    #[link_name = "__rseq_size"]
    static RSEQ_SIZE: c_uint;
}

/// Reaps processes and passes signals on until `program` has ended, whose status goes to `status`.
/// Every signal must be blocked. Returns only if nothing could be given up.
pub(crate) fn reap_alone(program: i32, status: RawFd) {
    if !leave_rseq() {
        return;
    }
    // SAFETY: the new stack is ours alone and large enough; nothing of the old one is used again.
    unsafe {
        asm!(
            "mov rsp, {stack}",
            "xor ebp, ebp",
            "call {reap}",
            "ud2",
            stack = in(reg) STACK.0.get().cast::<u8>().add(PAGE),
            reap = sym reap,
            in("edi") program,
            in("esi") status,
            options(noreturn),
        )
    }
}

/// Has the kernel forget the memory that it writes the processor's number to. Returns whether it
/// has.
fn leave_rseq() -> bool {
    let thread: isize;
    // SAFETY: the first word of a thread's memory is its own address; the C library has long set
    // the other two.
    let (offset, is_registered) = unsafe {
        asm!("mov {}, fs:0", out(reg) thread, options(nostack, readonly, preserves_flags));
        (RSEQ_OFFSET, RSEQ_SIZE != 0)
    };
    let area = thread.wrapping_add(offset) as i64;
    let arguments = [area, RSEQ_BYTES, RSEQ_UNREGISTER, RSEQ_SIGNATURE];
    // SAFETY: the kernel refuses what is not registered.
    !is_registered || unsafe { call(libc::SYS_rseq, arguments) } == 0
}

/// Gives up everything else and stays.
extern "C" fn reap(program: i32, status: RawFd) -> ! {
    let end = (&raw const PROGRAM_END).addr().next_multiple_of(PAGE);
    let rest = (MEMORY_END - end).cast_signed() as i64;
    // SAFETY: nothing in there is used from here on. What stays mapped does no harm.
    unsafe { call(libc::SYS_munmap, [end.cast_signed() as i64, rest, 0, 0]) };
    // Of the data nothing is used any more but the stack in the middle of it; even that of a nest,
    // which is there, too.
    let begin = (&raw const DATA_BEGIN).addr() / PAGE * PAGE;
    let stack = STACK.0.get().addr();
    give_up(begin, stack);
    give_up(stack + PAGE, end);
    loop {
        match next_signal() {
            SIGCHLD => reap_all(program, status),
            // Heroku's dynos get SIGTERM in every process, not only in the first.
            signal @ 1.. => {
                // SAFETY: takes numbers. There may be nobody left to get it.
                unsafe { call(libc::SYS_kill, [-1, signal, 0, 0]) };
            }
            INTERRUPTED => {}
            _ => exit(FAILED),
        }
    }
}

/// Has data be as if it had just been loaded, and take no memory.
fn give_up(begin: usize, end: usize) {
    let (address, bytes) = (begin.cast_signed(), end.wrapping_sub(begin).cast_signed());
    let arguments = [address as i64, bytes as i64, libc::MADV_DONTNEED.into(), 0];
    // SAFETY: nothing in there is used any more.
    unsafe { call(libc::SYS_madvise, arguments) };
}

fn next_signal() -> i64 {
    let set = (&raw const SIGNALS).expose_provenance().cast_signed() as i64;
    // SAFETY: the set is as long as is said.
    unsafe { call(libc::SYS_rt_sigtimedwait, [set, 0, 0, 8]) }
}

fn reap_all(program: i32, pipe: RawFd) {
    loop {
        let mut status = 0_i32;
        let place = (&raw mut status).expose_provenance().cast_signed() as i64;
        // SAFETY: the status is valid for writes.
        let ended = unsafe { call(libc::SYS_wait4, [-1, place, libc::WNOHANG.into(), 0]) };
        if ended <= 0 {
            return;
        }
        if ended == i64::from(program) {
            // SAFETY: the status is as long as is said. Without it the shim takes this for a kill.
            unsafe { call(libc::SYS_write, [pipe.into(), place, 4, 0]) };
            exit(super::exit_code(status).unwrap_or(FAILED));
        }
    }
}

fn exit(status: i32) -> ! {
    loop {
        // SAFETY: always allowed.
        unsafe { call(libc::SYS_exit_group, [status.into(), 0, 0, 0]) };
    }
}

/// A system call without the C library; what it returns, or its error number below zero.
///
/// # Safety
/// As the system call is safe.
unsafe fn call(number: i64, [a, b, c, d]: [i64; 4]) -> i64 {
    let result;
    // SAFETY: this is how the kernel is called; the rest is up to the caller.
    unsafe {
        asm!(
            "syscall",
            inlateout("rax") number => result,
            in("rdi") a,
            in("rsi") b,
            in("rdx") c,
            in("r10") d,
            lateout("rcx") _,
            lateout("r11") _,
            options(nostack),
        );
    }
    result
}
