//! Every system call there is, by number, each in a process of its own: which of them the kernel
//! or the filter refuses without looking at what is asked.
//!
//! Arguments are all ones: no descriptor, no pointer and no size that any call would take, so one
//! that is let through fails with something else than a refusal, or does what harms nobody but the
//! process that made it.
#![expect(unsafe_code, reason = "raw system calls are the point")]

use std::{fmt::Write, io, ops::RangeInclusive};

use crate::{outcome::Outcome, tell};

/// Past the last number that means anything today.
const NUMBERS: RangeInclusive<i64> = 0..=520;
/// Numbers of the 64-bit kernel's 32-bit-pointer calls.
#[cfg(target_arch = "x86_64")]
const X32: RangeInclusive<i64> = 0x4000_0000..=0x4000_0000 + 560;
/// Numbers of 32-bit programs.
#[cfg(target_arch = "x86_64")]
const NUMBERS_32: RangeInclusive<i64> = 0..=470;
/// How long a call may wait for something, seconds, before its process is ended.
const PATIENCE: libc::c_uint = 1;

/// How a call went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answer {
    /// The kernel looked at what was asked.
    LetThrough,
    /// `EPERM`.
    Refused,
    /// `ENOSYS`.
    Absent,
}

impl Answer {
    fn of_errno(errno: i32) -> Self {
        match errno {
            libc::EPERM => Self::Refused,
            libc::ENOSYS => Self::Absent,
            _ => Self::LetThrough,
        }
    }

    fn of_status(status: i32) -> Self {
        match libc::WIFEXITED(status).then(|| libc::WEXITSTATUS(status)) {
            Some(1) => Self::Refused,
            Some(2) => Self::Absent,
            // Also when it was the end of the process, as `exit` and `pause` are.
            _ => Self::LetThrough,
        }
    }
}

pub(crate) fn tell_all() {
    tell_calls("calls", NUMBERS, answer_of);
    #[cfg(target_arch = "x86_64")]
    tell_calls("x32 calls", X32, answer_of);
    #[cfg(target_arch = "x86_64")]
    tell_calls("32-bit calls", NUMBERS_32, answer_of_32_bit);
}

/// Tells the numbers of each answer.
fn tell_calls(name: &str, numbers: RangeInclusive<i64>, call: unsafe fn(i64) -> Answer) {
    let answers: Vec<(i64, Answer)> = numbers
        .map(|number| {
            // SAFETY: the child is of no use for anything else.
            (number, in_a_child(|| unsafe { call(number) }))
        })
        .collect();
    for (word, wanted) in [
        ("let through", Answer::LetThrough),
        ("refused", Answer::Refused),
        ("absent", Answer::Absent),
    ] {
        let of_it = answers.iter().filter(|(_, answer)| *answer == wanted);
        let numbers: Vec<i64> = of_it.map(|(number, _)| *number).collect();
        tell(&format!("{name} {word}"), &Outcome::Told(ranges(&numbers)));
    }
}

/// The answer that a child finds out, or meets its end by.
fn in_a_child(find_out: impl Fn() -> Answer) -> Answer {
    // SAFETY: this program has one thread now; the child makes system calls and exits.
    unsafe {
        let child = libc::fork();
        if child == 0 {
            libc::alarm(PATIENCE);
            let code = match find_out() {
                Answer::LetThrough => 0,
                Answer::Refused => 1,
                Answer::Absent => 2,
            };
            libc::_exit(code);
        }
        assert!(child > 0, "{}", io::Error::last_os_error());
        let mut status = 0;
        libc::waitpid(child, &raw mut status, 0);
        Answer::of_status(status)
    }
}

/// What a call answers to arguments that mean nothing.
///
/// # Safety
/// Only in a process that may end or be of no use afterwards.
unsafe fn answer_of(number: i64) -> Answer {
    let [first, others] = match number {
        // A fork, as all ones would ask for namespaces; and an operation there is, on no address.
        libc::SYS_clone | libc::SYS_futex => [0, 0],
        // A family there is; the type is none.
        libc::SYS_socket => [1, -1],
        _ => [-1, -1],
    };
    // SAFETY: nothing that is passed is a pointer to anything.
    let result = unsafe { libc::syscall(number, first, others, others, others, others, others) };
    if result == -1 {
        Answer::of_errno(io::Error::last_os_error().raw_os_error().unwrap_or(0))
    } else {
        Answer::LetThrough
    }
}

/// The same, entering the kernel as a 32-bit program does. Being killed for it is a refusal.
///
/// # Safety
/// Only in a process that may end or be of no use afterwards.
#[cfg(target_arch = "x86_64")]
unsafe fn answer_of_32_bit(number: i64) -> Answer {
    extern "C" fn refused(_: libc::c_int) {
        // SAFETY: the only thing to do, and allowed in a signal's handler.
        unsafe { libc::_exit(1) }
    }
    // SAFETY: a handler that ends the process; then a call without pointers, whose registers are
    // declared. `rbx` is the compiler's own, so it stays as it is.
    unsafe {
        let handler: extern "C" fn(libc::c_int) = refused;
        libc::signal(libc::SIGSEGV, handler as libc::sighandler_t);
        let mut answer = number;
        std::arch::asm!(
            "int 0x80",
            inlateout("rax") answer,
            in("rcx") -1_i64, in("rdx") -1_i64, in("rsi") -1_i64, in("rdi") -1_i64,
            out("r8") _, out("r9") _, out("r10") _, out("r11") _,
        );
        Answer::of_errno(i32::try_from(-answer).unwrap_or(0))
    }
}

/// `1-3 7` of 1, 2, 3 and 7; `none` of nothing.
fn ranges(numbers: &[i64]) -> String {
    let mut text = String::new();
    for part in numbers.chunk_by(|one, next| one + 1 == *next) {
        let (Some(first), Some(last)) = (part.first(), part.last()) else {
            continue;
        };
        let written = if first == last {
            write!(text, " {first}")
        } else {
            write!(text, " {first}-{last}")
        };
        written.expect("a string can be written to");
    }
    if text.is_empty() {
        text.push_str(" none");
    }
    text.split_off(1)
}
