//! Slots: a small number per platform, so that several on one machine never touch each other.
//!
//! Every host resource of a platform carries its slot's number: cgroup, interfaces, firewall
//! table, addresses, user ids. This module must not know what those are used for. Read [`Slot`]
//! first.

use std::{
    fs::{self, File},
    io,
    net::Ipv4Addr,
    os::unix::ffi::{OsStrExt, OsStringExt},
    path::{Path, PathBuf},
};

use engine::EngineError;
use rustix::fs::FlockOperation;

/// Where slots are registered; emptied by a restart of the host, as are all resources they name.
const REGISTRY: &str = "/run/landfall/slots";
/// How many platforms fit on one machine. The last number stays free: its user ids would reach
/// into a range that systemd keeps for itself.
const SLOTS: u8 = 255;
/// First of the addresses all slots share: 10.208.0.0/12.
const FIRST_ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 208, 0, 0);
/// Prefix length of the addresses all slots share.
pub const SHARED_PREFIX: u8 = 12;
/// Prefix length of one slot's addresses.
pub const SLOT_PREFIX: u8 = 20;
/// First of the user ids all slots share: above the ranges of system accounts, `subuid` and other
/// container software.
const FIRST_UID: u32 = 0x4000_0000;
/// How many user ids a dyno has.
pub const UIDS_PER_DYNO: u32 = 2048;
/// How many dynos a slot has addresses and user ids for.
pub const DYNOS_PER_SLOT: u32 = 2048;

/// A platform's number on this machine; it belongs to one directory of state for as long as that
/// exists. Dropping the value keeps the claim.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Slot {
    /// 0 to 254.
    pub number: u8,
    registration: PathBuf,
}

impl Slot {
    /// The slot of `data_dir`: the one it had, or a free one.
    ///
    /// # Errors
    /// `Host` when the registry cannot be written or all slots are taken.
    pub fn claim(data_dir: &Path) -> Result<Self, EngineError> {
        Self::claim_in(Path::new(REGISTRY), data_dir)
    }

    /// As [`Slot::claim`], with another registry.
    ///
    /// # Errors
    /// `Host` when the registry cannot be written or all slots are taken.
    pub fn claim_in(registry: &Path, data_dir: &Path) -> Result<Self, EngineError> {
        claim(registry, data_dir).map_err(|source| EngineError::Host {
            step: "claim a slot on this machine",
            source,
        })
    }

    /// Gives the number back, once nothing of it is left on the host.
    ///
    /// # Errors
    /// `Host` when the registry cannot be written.
    pub fn free(self) -> Result<(), EngineError> {
        // The registration last: until then nobody else has the slot.
        for path in [&self.short_path(), &self.registration] {
            match fs::remove_file(path) {
                Err(source) if source.kind() != io::ErrorKind::NotFound => {
                    return Err(EngineError::Host {
                        step: "free a slot on this machine",
                        source,
                    });
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// A short path that belongs to the slot, for a link to its dynos.
    pub(crate) fn short_path(&self) -> PathBuf {
        self.registration.with_extension("dynos")
    }

    /// Below a cgroup hierarchy's root: `landfall/007`.
    pub fn cgroup_name(&self) -> String {
        format!("landfall/{:03}", self.number)
    }

    /// How names of its network interfaces start: `lf007-`.
    pub fn interface_prefix(&self) -> String {
        format!("lf{:03}-", self.number)
    }

    /// Its firewall table, in family `inet`: `landfall_007`.
    pub fn nft_table(&self) -> String {
        format!("landfall_{:03}", self.number)
    }

    /// First of its addresses, of a network of [`SLOT_PREFIX`] bits.
    pub fn first_address(&self) -> Ipv4Addr {
        let first = u32::from(FIRST_ADDRESS) + u32::from(self.number) * (DYNOS_PER_SLOT * 2);
        Ipv4Addr::from(first)
    }

    /// The two addresses of a dyno's link: the host's end and the dyno's.
    /// `index` is below [`DYNOS_PER_SLOT`].
    pub fn link_addresses(&self, index: u32) -> (Ipv4Addr, Ipv4Addr) {
        let first = u32::from(self.first_address()) + (index % DYNOS_PER_SLOT) * 2;
        (Ipv4Addr::from(first), Ipv4Addr::from(first + 1))
    }

    /// First of a dyno's [`UIDS_PER_DYNO`] user and group ids on the host.
    /// `index` is below [`DYNOS_PER_SLOT`].
    pub fn uid_base(&self, index: u32) -> u32 {
        let dyno = u32::from(self.number) * DYNOS_PER_SLOT + index % DYNOS_PER_SLOT;
        FIRST_UID + dyno * UIDS_PER_DYNO
    }
}

fn claim(registry: &Path, data_dir: &Path) -> io::Result<Slot> {
    let owner = data_dir.canonicalize()?;
    fs::create_dir_all(registry)?;
    let lock = File::create(registry.join(".lock"))?;
    rustix::fs::flock(&lock, FlockOperation::LockExclusive)?;
    let mut free = None;
    for number in 0..SLOTS {
        let registration = registry.join(format!("{number:03}"));
        let slot = Slot {
            number,
            registration,
        };
        match registered_owner(&slot.registration)? {
            Some(registered) if registered == owner => return Ok(slot),
            Some(registered) if registered.is_dir() => {}
            _ => free = free.or(Some(slot)),
        }
    }
    let slot = free.ok_or_else(|| io::Error::other("all slots are taken by other platforms"))?;
    // Renamed into place whole: a torn registration would look free to the next platform.
    let draft = registry.join(".draft");
    fs::write(&draft, owner.as_os_str().as_bytes())?;
    fs::rename(&draft, &slot.registration)?;
    Ok(slot)
}

fn registered_owner(registration: &Path) -> io::Result<Option<PathBuf>> {
    match fs::read(registration) {
        Ok(path) => Ok(Some(PathBuf::from(std::ffi::OsString::from_vec(path)))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slot(number: u8) -> Slot {
        Slot {
            number,
            registration: PathBuf::new(),
        }
    }

    #[test]
    fn a_directory_keeps_its_slot_and_others_get_their_own() {
        let registry = tempfile::tempdir().unwrap();
        let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let claim = |path: &Path| Slot::claim_in(registry.path(), path).unwrap();
        assert_eq!(claim(one.path()).number, 0);
        assert_eq!(claim(two.path()).number, 1);
        assert_eq!(claim(one.path()).number, 0);
        claim(one.path()).free().unwrap();
        assert_eq!(claim(two.path()).number, 1);
        assert_eq!(claim(one.path()).number, 0);
    }

    #[test]
    fn the_slot_of_a_directory_that_is_gone_is_free() {
        let registry = tempfile::tempdir().unwrap();
        let (gone, next) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        assert_eq!(
            Slot::claim_in(registry.path(), gone.path()).unwrap().number,
            0
        );
        gone.close().unwrap();
        assert_eq!(
            Slot::claim_in(registry.path(), next.path()).unwrap().number,
            0
        );
    }

    #[test]
    fn all_slots_can_be_taken() {
        let (registry, owner) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        for number in 0..SLOTS {
            fs::write(registry.path().join(format!("{number:03}")), "/").unwrap();
        }
        let claimed = Slot::claim_in(registry.path(), owner.path());
        assert!(matches!(claimed, Err(EngineError::Host { .. })));
    }

    #[test]
    fn names_carry_the_number() {
        let slot = slot(7);
        assert_eq!(slot.cgroup_name(), "landfall/007");
        assert_eq!(slot.interface_prefix(), "lf007-");
        assert_eq!(slot.nft_table(), "landfall_007");
        assert!(slot.interface_prefix().len() + (DYNOS_PER_SLOT - 1).to_string().len() <= 15);
    }

    #[test]
    fn ranges_do_not_meet() {
        let addresses = |number, index| slot(number).link_addresses(index);
        assert_eq!(
            addresses(0, 0),
            ([10, 208, 0, 0].into(), [10, 208, 0, 1].into())
        );
        assert_eq!(
            addresses(0, 2047),
            ([10, 208, 15, 254].into(), [10, 208, 15, 255].into())
        );
        assert_eq!(addresses(1, 0).0, Ipv4Addr::from([10, 208, 16, 0]));
        assert_eq!(addresses(254, 2047).1, Ipv4Addr::from([10, 223, 239, 255]));
        assert_eq!(slot(0).uid_base(0), 0x4000_0000);
        assert_eq!(slot(0).uid_base(1) - slot(0).uid_base(0), 2048);
        assert_eq!(slot(1).uid_base(0) - slot(0).uid_base(2047), 2048);
        assert_eq!(slot(254).uid_base(2047) + 2047, 0x7fbf_ffff);
    }
}
