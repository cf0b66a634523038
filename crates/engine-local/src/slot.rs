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

use crate::cgroup;

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
    owner: PathBuf,
}

impl Slot {
    /// The slot of `data_dir`: the one it had, or a free one.
    ///
    /// # Errors
    /// `Host` when the registry cannot be written or all slots are taken.
    pub fn claim(data_dir: &Path) -> Result<Self, EngineError> {
        Self::claim_number(Path::new(REGISTRY), data_dir, &Wish::unlived_in(None))
    }

    /// As [`Slot::claim`], but with this number if it is free: the one that resources on the host
    /// carry, after the registry was lost.
    ///
    /// # Errors
    /// As [`Slot::claim`].
    pub fn claim_again(data_dir: &Path, number: u8) -> Result<Self, EngineError> {
        Self::claim_number(
            Path::new(REGISTRY),
            data_dir,
            &Wish::unlived_in(Some(number)),
        )
    }

    /// As [`Slot::claim`], with another registry.
    ///
    /// # Errors
    /// `Host` when the registry cannot be written or all slots are taken.
    pub fn claim_in(registry: &Path, data_dir: &Path) -> Result<Self, EngineError> {
        let wish = Wish {
            number: None,
            is_lived_in: |_| false,
        };
        Self::claim_number(registry, data_dir, &wish)
    }

    fn claim_number(registry: &Path, data_dir: &Path, wish: &Wish) -> Result<Self, EngineError> {
        claim(registry, data_dir, wish).map_err(|source| EngineError::Host {
            step: "claim a slot on this machine",
            source,
        })
    }

    /// The name of a platform that has nothing on the host to be told apart by.
    pub(crate) fn unclaimed(directory: &Path) -> Self {
        Self {
            number: 0,
            registration: directory.join("slot"),
            owner: directory.to_owned(),
        }
    }

    /// Registers the slot again if somebody has removed that. Returns whether it was missing.
    ///
    /// # Errors
    /// `Host` when another platform has the number now, or the registry cannot be written.
    pub fn mend(&self) -> Result<bool, EngineError> {
        self.register_again().map_err(|source| EngineError::Host {
            step: "keep the slot on this machine",
            source,
        })
    }

    fn register_again(&self) -> io::Result<bool> {
        if registered_owner(&self.registration)?.as_deref() == Some(&self.owner) {
            return Ok(false);
        }
        let registry = self.registration.parent().ok_or(io::ErrorKind::NotFound)?;
        let _lock = lock(registry)?;
        match registered_owner(&self.registration)? {
            Some(other) if other != self.owner && other.is_dir() => Err(io::Error::other(format!(
                "slot {} belongs to the platform in {} now",
                self.number,
                other.display()
            ))),
            _ => self.register(registry).map(|()| true),
        }
    }

    fn register(&self, registry: &Path) -> io::Result<()> {
        // Renamed into place whole: a torn registration would look free to the next platform.
        let draft = registry.join(".draft");
        fs::write(&draft, self.owner.as_os_str().as_bytes())?;
        fs::rename(&draft, &self.registration)
    }

    /// Slots of this machine whose platform's directory is gone, and a lock under which nobody
    /// claims one of them.
    pub(crate) fn deserted() -> io::Result<(File, Vec<Self>)> {
        let registry = Path::new(REGISTRY);
        let lock = lock(registry)?;
        let mut deserted = Vec::new();
        for number in 0..SLOTS {
            let registration = registry.join(format!("{number:03}"));
            if let Some(owner) = registered_owner(&registration)?
                && matches!(fs::metadata(&owner), Err(error) if error.kind() == io::ErrorKind::NotFound)
            {
                deserted.push(Self {
                    number,
                    registration,
                    owner,
                });
            }
        }
        Ok((lock, deserted))
    }

    /// The slot that an address belongs to.
    pub(crate) fn number_of(address: Ipv4Addr) -> Option<u8> {
        let offset = u32::from(address).checked_sub(u32::from(FIRST_ADDRESS))?;
        let number = u8::try_from(offset / (DYNOS_PER_SLOT * 2)).ok()?;
        (number < SLOTS).then_some(number)
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

/// Which free slot to take.
struct Wish {
    /// This one, if it is free.
    number: Option<u8>,
    /// Whether dynos run in a slot, so that it is only free for the platform whose they are.
    is_lived_in: fn(&Slot) -> bool,
}

impl Wish {
    /// One that no dyno runs in, whatever the register says.
    fn unlived_in(number: Option<u8>) -> Self {
        Self {
            number,
            is_lived_in: |slot| cgroup::is_inhabited(&slot.cgroup_name()),
        }
    }
}

fn claim(registry: &Path, data_dir: &Path, wish: &Wish) -> io::Result<Slot> {
    let owner = data_dir.canonicalize()?;
    let _lock = lock(registry)?;
    let mut free = None;
    for number in 0..SLOTS {
        let slot = Slot {
            number,
            registration: registry.join(format!("{number:03}")),
            owner: owner.clone(),
        };
        match registered_owner(&slot.registration)? {
            Some(registered) if registered == owner => return Ok(slot),
            Some(registered) if registered.is_dir() => {}
            _ if wish.number == Some(number) => free = Some(slot),
            _ if free.is_none() && !(wish.is_lived_in)(&slot) => free = Some(slot),
            _ => {}
        }
    }
    let slot = free.ok_or_else(|| io::Error::other("all slots are taken by other platforms"))?;
    slot.register(registry)?;
    Ok(slot)
}

/// Makes the registry if it is missing, and keeps all others from changing it.
fn lock(registry: &Path) -> io::Result<File> {
    fs::create_dir_all(registry)?;
    let lock = File::create(registry.join(".lock"))?;
    rustix::fs::flock(&lock, FlockOperation::LockExclusive)?;
    Ok(lock)
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
            owner: PathBuf::new(),
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
    fn a_lost_registration_is_made_again_unless_another_has_the_number() {
        let registry = tempfile::tempdir().unwrap();
        let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let claim = |path: &Path, is_lived_in| {
            let wish = Wish {
                number: Some(3),
                is_lived_in,
            };
            Slot::claim_number(registry.path(), path, &wish).unwrap()
        };
        let slot = claim(one.path(), |_| true);
        assert_eq!((slot.number, slot.mend().unwrap()), (3, false));
        fs::remove_dir_all(registry.path()).unwrap();
        assert!(slot.mend().unwrap() && !slot.mend().unwrap());
        fs::remove_dir_all(registry.path()).unwrap();
        let other = claim(two.path(), |_| false);
        assert_eq!(other.number, 3);
        let refused = std::error::Error::source(&slot.mend().unwrap_err())
            .unwrap()
            .to_string();
        assert!(
            refused.starts_with("slot 3 belongs to the platform in /"),
            "{refused}"
        );
        assert_eq!(claim(one.path(), |slot| slot.number < 2).number, 2);
    }

    #[test]
    fn addresses_tell_their_slot() {
        for number in [0, 7, 254] {
            let (host, dyno) = slot(number).link_addresses(2047);
            assert_eq!(Slot::number_of(host), Some(number));
            assert_eq!(Slot::number_of(dyno), Some(number));
        }
        assert_eq!(Slot::number_of([10, 207, 255, 255].into()), None);
        assert_eq!(Slot::number_of([10, 224, 0, 0].into()), None);
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
