//! How many calls may be under way to a host, and with a credential. Who waits is served in turn; parties that nobody
//! calls are forgotten.

use crate::calls::party::Party;
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};

/// Calls under way at once.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CallLimits {
    pub per_host: usize,
    pub per_credential: usize,
}

pub(crate) struct Places {
    limits: CallLimits,
    rooms: Mutex<Rooms>,
}

#[derive(Default)]
struct Rooms {
    by_party: HashMap<Party, Weak<Room>>,
    /// So many were in use when those that are not were last thrown away.
    used: usize,
}

/// One party's places, for as long as anybody holds one, or waits.
pub(crate) struct Room {
    all: Arc<Semaphore>,
    /// Of those, as many as lanes may take that failed the last time: they wait among their like.
    doubtful: Arc<Semaphore>,
    /// The party's circuit opened or closed.
    pub turned: Notify,
}

pub(crate) struct Place {
    _doubtful: Option<OwnedSemaphorePermit>,
    _place: Option<OwnedSemaphorePermit>,
    _room: Arc<Room>,
}

const ROOMS_FEW: usize = 64;

impl Places {
    pub fn new(limits: CallLimits) -> Places {
        Places { limits, rooms: Mutex::default() }
    }

    pub async fn take(&self, party: &Party, is_doubted: bool) -> Place {
        let room = self.room(party);
        // Nobody closes them: none is the same as no bound.
        let doubtful = match is_doubted {
            true => Arc::clone(&room.doubtful).acquire_owned().await.ok(),
            false => None,
        };
        let place = Arc::clone(&room.all).acquire_owned().await.ok();
        Place { _doubtful: doubtful, _place: place, _room: room }
    }

    pub fn room(&self, party: &Party) -> Arc<Room> {
        let mut rooms = self.rooms();
        if let Some(room) = rooms.by_party.get(party).and_then(Weak::upgrade) {
            return room;
        }
        if rooms.by_party.len() >= ROOMS_FEW.max(rooms.used * 2) {
            rooms.by_party.retain(|_, room| room.strong_count() > 0);
            rooms.used = rooms.by_party.len();
        }
        let places = match party {
            Party::Host(_) => self.limits.per_host,
            Party::Credential { .. } => self.limits.per_credential,
        };
        let (all, doubtful) = (Semaphore::new(places), Semaphore::new((places / 2).max(1)));
        let room = Arc::new(Room { all: Arc::new(all), doubtful: Arc::new(doubtful), turned: Notify::new() });
        rooms.by_party.insert(party.clone(), Arc::downgrade(&room));
        room
    }

    /// Wakes those who wait for the party's circuit.
    pub fn turned(&self, party: &Party) {
        let room = self.rooms().by_party.get(party).and_then(Weak::upgrade);
        if let Some(room) = room {
            room.turned.notify_waiters();
        }
    }

    fn rooms(&self) -> MutexGuard<'_, Rooms> {
        self.rooms.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use outflow_api::Remote;

    #[tokio::test]
    async fn parties_that_nobody_calls_any_more_are_forgotten() {
        let places = Places::new(CallLimits { per_host: 2, per_credential: 1 });
        let held = places.take(&Party::host(&Remote::new("held", "a")), false).await;
        for number in 0..10_000 {
            drop(places.take(&Party::credential(&Remote::new("host", &number.to_string())), false).await);
        }
        assert!(places.rooms().by_party.len() <= ROOMS_FEW);
        let same = places.room(&Party::host(&Remote::new("held", "b")));
        assert!(Arc::ptr_eq(&same, &held._room), "one that is held is not");
        assert_eq!(same.all.available_permits(), 1);
    }

    #[tokio::test]
    async fn lanes_in_doubt_leave_half_of_the_places_to_the_others() {
        let places = Places::new(CallLimits { per_host: 4, per_credential: 1 });
        let party = Party::host(&Remote::new("host", "a"));
        let _held = (places.take(&party, true).await, places.take(&party, true).await);
        let mut third = std::pin::pin!(places.take(&party, true));
        assert!(futures::poll!(&mut third).is_pending());
        drop(places.take(&party, false).await);
    }
}
