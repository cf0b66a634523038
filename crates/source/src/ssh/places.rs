//! Connections at once: so many in all, and fewer from one address.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
};

/// More than pushes and fetches at once, because each waits in line with its connection open.
const ALL: usize = 256;
/// An office may sit behind one address.
const EACH: usize = 64;

#[derive(Clone, Debug, Default)]
pub(super) struct Places {
    taken: Arc<Mutex<HashMap<IpAddr, usize>>>,
}

/// A place, until dropped.
#[derive(Debug)]
pub(super) struct Place {
    address: IpAddr,
    places: Places,
}

impl Places {
    /// A place for a connection from this address, if there is one.
    pub(super) fn take(&self, address: IpAddr) -> Option<Place> {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        if taken.values().sum::<usize>() >= ALL {
            return None;
        }
        let here = taken.entry(address).or_default();
        if *here >= EACH {
            return None;
        }
        *here += 1;
        Some(Place {
            address,
            places: self.clone(),
        })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self
            .places
            .taken
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(here) = taken.get_mut(&self.address) {
            *here -= 1;
            if *here == 0 {
                taken.remove(&self.address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_address_takes_all_places() {
        let places = Places::default();
        let address = |last: u8| IpAddr::from([192, 0, 2, last]);
        let mut held: Vec<Place> = (0..EACH)
            .map(|_| places.take(address(1)).unwrap())
            .collect();
        assert!(places.take(address(1)).is_none());
        for other in 2..=4 {
            held.extend((0..EACH).map(|_| places.take(address(other)).unwrap()));
        }
        assert!(places.take(address(5)).is_none());
        drop(held);
        assert!(places.take(address(1)).is_some());
        assert!(places.taken.lock().unwrap().is_empty());
    }
}
