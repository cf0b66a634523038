//! What every system call, by number, must come to: the calls that are closed to dynos are listed
//! here a second time, by what they would open, so that the filter's own list is not its judge.

use std::collections::{BTreeMap, BTreeSet};

use libc::c_long;

/// The last number that the filter knows; those above do not exist for a dyno.
const LAST_KNOWN: c_long = 462;

macro_rules! named {
    ($($name:ident)*) => { &[$((stringify!($name), libc::$name)),*] };
}

/// What calls of one kind would open, and the calls.
type Kind = (&'static str, &'static [(&'static str, c_long)]);

/// Calls that must be refused.
#[rustfmt::skip]
pub(crate) const CLOSED: &[Kind] = &[
    ("mounts and roots", named![
        SYS_mount SYS_umount2 SYS_pivot_root SYS_chroot SYS_open_tree SYS_move_mount SYS_fsopen
        SYS_fsconfig SYS_fsmount SYS_fspick SYS_mount_setattr SYS_open_by_handle_at SYS_quotactl
        SYS_quotactl_fd SYS_swapon SYS_swapoff SYS_acct SYS_fanotify_init SYS_fanotify_mark
        SYS_nfsservctl
    ]),
    ("namespaces", named![SYS_unshare SYS_setns]),
    ("the running kernel", named![
        SYS_init_module SYS_finit_module SYS_delete_module SYS_kexec_load SYS_bpf
        SYS_perf_event_open SYS_syslog SYS_reboot SYS_lookup_dcookie SYS_userfaultfd
        SYS_io_uring_setup SYS_io_uring_enter SYS_io_uring_register SYS_memfd_secret
    ]),
    ("keyrings", named![SYS_add_key SYS_request_key SYS_keyctl]),
    ("the machine's clock and names", named![
        SYS_clock_settime SYS_settimeofday SYS_sethostname SYS_setdomainname SYS_vhangup
    ]),
    ("other processes", named![SYS_kcmp SYS_pidfd_getfd SYS_process_madvise]),
    ("where memory lies", named![
        SYS_mbind SYS_set_mempolicy SYS_get_mempolicy SYS_migrate_pages SYS_move_pages
        SYS_set_mempolicy_home_node
    ]),
];

/// Calls that only this processor has.
#[cfg(target_arch = "x86_64")]
#[rustfmt::skip]
pub(crate) const CLOSED_HERE: &[Kind] = &[
    ("the processor", named![SYS_iopl SYS_ioperm SYS_modify_ldt SYS_kexec_file_load]),
    ("what no program uses any more", named![
        SYS_uselib SYS_ustat SYS_sysfs SYS__sysctl SYS_getpmsg SYS_putpmsg SYS_afs_syscall
        SYS_tuxcall SYS_security SYS_vserver
    ]),
];
#[cfg(not(target_arch = "x86_64"))]
pub(crate) const CLOSED_HERE: &[Kind] = &[];

/// Numbers up to [`LAST_KNOWN`] that the `libc` crate has no name for and that are closed: old
/// calls that are gone, `io_pgetevents`, those that mean nothing, and from 457 on `statmount`,
/// `listmount` and the questions to security modules.
#[cfg(target_arch = "x86_64")]
const CLOSED_NAMELESS: &[(c_long, c_long)] =
    &[(174, 174), (177, 178), (333, 333), (337, 423), (457, 461)];
/// Calls that the kernel lets past every filter, because its own probes of programs are made of
/// them (`uretprobe`, `uprobe`). One that comes from elsewhere ends its process.
#[cfg(target_arch = "x86_64")]
const PAST_EVERY_FILTER: &[c_long] = &[335, 336];
/// Calls that a kernel may refuse by its own checks, whatever the arguments, although the filter
/// lets them through.
#[cfg(target_arch = "x86_64")]
const REFUSED_BY_THE_KERNEL: &[c_long] = &[libc::SYS_setgroups];

/// Takes the findings about calls out and tells what is wrong with them.
#[cfg(target_arch = "x86_64")]
pub(crate) fn take_differences(findings: &mut BTreeMap<String, String>) -> Vec<String> {
    let mut take = |name: &str| numbers(&findings.remove(name).unwrap_or_default());
    let [through, refused, absent] =
        ["let through", "refused", "absent"].map(|word| take(&format!("calls {word}")));
    let mut wrong = Vec::new();
    let closed = closed();
    for number in &closed {
        if !refused.contains(number) {
            wrong.push(format!("call {number} is open"));
        }
    }
    if !absent.contains(&libc::SYS_clone3) {
        // Not EPERM: the C library then falls back to clone.
        wrong.push("clone3 is not absent".to_owned());
    }
    for number in refused.difference(&closed) {
        if !REFUSED_BY_THE_KERNEL.contains(number) && !PAST_EVERY_FILTER.contains(number) {
            wrong.push(format!("call {number} is refused"));
        }
    }
    for number in &through {
        if *number > LAST_KNOWN {
            wrong.push(format!("call {number} is open"));
        }
    }
    for kind in ["x32 calls", "32-bit calls"] {
        let [through, refused, absent] =
            ["let through", "refused", "absent"].map(|word| take(&format!("{kind} {word}")));
        if !through.is_empty() || refused.len() + absent.len() < 400 {
            wrong.push(format!("{kind}: {through:?} are open"));
        }
    }
    wrong
}

/// Elsewhere numbers differ; there the calls of the other tables have to do.
#[cfg(not(target_arch = "x86_64"))]
pub(crate) fn take_differences(findings: &mut BTreeMap<String, String>) -> Vec<String> {
    findings.retain(|probe, _| !probe.starts_with("calls "));
    Vec::new()
}

#[cfg(target_arch = "x86_64")]
fn closed() -> BTreeSet<c_long> {
    let kinds = CLOSED.iter().chain(CLOSED_HERE);
    let named = kinds.flat_map(|(_, calls)| calls.iter().map(|(_, number)| *number));
    let nameless = CLOSED_NAMELESS.iter();
    named
        .chain(nameless.flat_map(|(first, last)| *first..=*last))
        .collect()
}

/// Of `1-3 7`: 1, 2, 3 and 7.
#[cfg(target_arch = "x86_64")]
fn numbers(ranges: &str) -> BTreeSet<c_long> {
    let mut numbers = BTreeSet::new();
    for range in ranges.split(' ').filter(|range| *range != "none") {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        let (first, last) = (first.parse::<c_long>(), last.parse::<c_long>());
        numbers.extend(first.unwrap_or(0)..=last.unwrap_or(-1));
    }
    numbers
}
