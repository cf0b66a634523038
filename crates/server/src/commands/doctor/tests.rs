//! Machines as they may be, and what is said of them.

use std::path::PathBuf;

use engine_local::{
    cgroup::{Ability, CgroupVersion, Controller, HostCgroups},
    trials::{Trial, Trials},
};

use super::{
    facts::{Facts, Port},
    judge::{Tenancy, judge},
    report::text,
};

fn good() -> Facts {
    let controller = |name, is_needed| Controller {
        name,
        is_needed,
        is_there: true,
    };
    Facts {
        is_root: true,
        kernel: "6.12.48+deb13-amd64".to_owned(),
        cgroups: HostCgroups {
            version: CgroupVersion::Two,
            controllers: vec![controller("memory", true), controller("io", false)],
            abilities: vec![Ability {
                what: "freeze a dyno",
                by: "cgroup.freeze",
                is_there: true,
                without: "idle apps are stopped rather than put to sleep",
            }],
        },
        trials: Ok(Trials {
            user_namespace: Trial::Works,
            overlay: Trial::Works,
            proc: Trial::Works,
            id_mapped: [(PathBuf::from("/var/lib/landfall"), Trial::Works)].into(),
        }),
        apparmor_restricts: false,
        userns_is_off: false,
        firewall: Ok(()),
        forwards: Some(true),
        has_git: true,
        has_mmdebstrap: true,
        shim: "/usr/bin/landfall-shim".to_owned(),
        has_shim: true,
        stack: "landfall-13".to_owned(),
        stack_root: Some("/var/cache/landfall/stacks/landfall-13".to_owned()),
        memory_bytes: 8 << 30,
        available_bytes: 6 << 30,
        has_pressure: true,
        swap: vec!["/dev/zram0".to_owned()],
        data: "/var/lib/landfall".to_owned(),
        disk_bytes: 100 << 30,
        free_bytes: 60 << 30,
        has_project_quota: true,
        ports: vec![Port {
            flag: "--listen",
            address: ([127, 0, 0, 1], 5000).into(),
            taken: None,
            is_ours: false,
        }],
    }
}

#[test]
fn a_machine_that_has_all() {
    let examination = judge(&good());
    assert_eq!(examination.tenancy, Tenancy::Many);
    insta::assert_snapshot!(text(&examination), @r#"
    fine      user                     root
    fine      kernel                   6.12.48+deb13-amd64
    fine      control groups           version 2
    fine      cgroup memory            there
    fine      cgroup io                there
    fine      freeze a dyno            cgroup.freeze
    fine      user namespaces          tried, works
    fine      overlay file system      tried, works
    fine      id-mapped mounts         tried, works in /var/lib/landfall
    fine      firewall                 nft
    fine      forwarding of packets    on
    fine      git                      there
    fine      landfall-shim            /usr/bin/landfall-shim
    fine      landfall-13              /var/cache/landfall/stacks/landfall-13
    fine      memory                   8.0 GB, 6.0 GB free, pressure is told
    fine      swap                     /dev/zram0
    fine      disk                     60.0 GB free of 100.0 GB in /var/lib/landfall
    fine      project quota            on
    fine      port 127.0.0.1:5000      free

    The platform can run here and keep its apps apart.
    "#);
}

#[test]
fn a_machine_that_lacks_much() {
    let mut facts = good();
    facts.kernel = "5.15.0-91-generic".to_owned();
    facts.cgroups.version = CgroupVersion::One;
    for controller in &mut facts.cgroups.controllers {
        controller.is_there = false;
    }
    facts.cgroups.abilities[0].is_there = false;
    facts.trials.as_mut().unwrap().overlay = Trial::Refused { errno: 19 };
    facts.firewall = Err("there is no `nft`".to_owned());
    facts.forwards = Some(false);
    facts.stack_root = None;
    facts.swap.clear();
    facts.free_bytes = 1 << 30;
    facts.has_project_quota = false;
    facts.ports[0].taken = Some("Address already in use (os error 98)".to_owned());
    let examination = judge(&facts);
    assert_eq!(examination.tenancy, Tenancy::None);
    insta::assert_snapshot!(text(&examination), @r#"
    fine      user                     root
    missing   kernel                   5.15.0-91-generic
                                       the platform is made for newer kernels
                                       hint: run Linux 6.1 or later
    fine      control groups           version 1
    missing   cgroup memory            not there
                                       dynos would be unlimited, so they are refused
                                       hint: on Raspberry Pi and the like, boot with `cgroup_enable=memory`
    degraded  cgroup io                not there
                                       dynos share the disk unweighted
    degraded  freeze a dyno            no cgroup.freeze
                                       idle apps are stopped rather than put to sleep
    fine      user namespaces          tried, works
    missing   overlay file system      tried: No such device (os error 19)
                                       dynos cannot share layers
                                       hint: load the kernel's module: `modprobe overlay`
    fine      id-mapped mounts         tried, works in /var/lib/landfall
    missing   firewall                 there is no `nft`
                                       dynos would reach each other and this machine
                                       hint: install nftables
    fine      forwarding of packets    off; `landfall up` switches it on
    fine      git                      there
    fine      landfall-shim            /usr/bin/landfall-shim
    degraded  landfall-13              not built yet
                                       no app can be built or run until it is
                                       hint: run `landfall stacks:build`
    fine      memory                   8.0 GB, 6.0 GB free, pressure is told
    degraded  swap                     none
                                       sleeping apps keep their memory
                                       hint: add zram or a swap file
    degraded  disk                     1.0 GB free of 100.0 GB in /var/lib/landfall
                                       builds may fail
                                       hint: free some, or choose another --data
    degraded  project quota            off for the data directory
                                       dynos' disk use is watched instead: one may be over its quota for seconds
                                       hint: mount the file system with `prjquota`
    degraded  port 127.0.0.1:5000      Address already in use (os error 98)
                                       `landfall up` refuses to start
                                       hint: choose another address with --listen

    The platform cannot run here as it is.
    "#);
}

#[test]
fn an_ordinary_user_is_told_what_stands_in_the_way() {
    let mut facts = good();
    facts.is_root = false;
    facts.firewall = Err("Operation not permitted (you must be root)".to_owned());
    let trials = facts.trials.as_mut().unwrap();
    trials
        .id_mapped
        .values_mut()
        .for_each(|trial| *trial = Trial::Untried);
    assert_eq!(judge(&facts).tenancy, Tenancy::One);
    facts.trials.as_mut().unwrap().overlay = Trial::Refused { errno: 1 };
    facts.apparmor_restricts = true;
    let examination = judge(&facts);
    assert_eq!(examination.tenancy, Tenancy::None);
    let said = text(&examination);
    assert!(
        said.contains("kernel.apparmor_restrict_unprivileged_userns=0"),
        "{said}"
    );
}
