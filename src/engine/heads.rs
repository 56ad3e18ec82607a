//! The versions of streams that were asked for or appended to lately, in a table of fixed size.
//!
//! A slot holds one stream, by its full name: no hash is ever taken for a stream. Which slot a
//! stream may have is said by its hash, and a newer stream of a slot takes the place of the one
//! before. Pages of the table are made when they are first needed, so a small store has a small
//! table.
//!
//! Each slot also remembers the position of the last event that was published of any stream of that
//! slot. That is what makes it right:
//!
//! 1. What a slot says is true as of every durable position from that one on: the writer changes it
//!    with every event of its streams, after the event is durable and before it is visible.
//! 2. What was looked up as of an older position than that is not kept: it may be outdated.
//! 3. Whoever asks as of an older position than that is told nothing: the event is not visible yet.

use std::sync::OnceLock;

use super::sync::Mutex;
use crate::format::range_of;
use crate::index::{Term, TermHash, TermHasher};
use crate::position::{GlobalPosition, StreamVersion};
use crate::stream::{IdRef, StreamId};

/// What the whole table takes up at most.
const TABLE_BYTES_MAX: usize = 8 << 20;
const SLOTS_PER_PAGE: usize = 64;
const PAGES: usize = 2032;

/// Bytes of names that fit into a slot; a stream with longer ones is never kept.
const NAME_BYTES: usize = 45;

/// What an allocation costs besides its bytes, at most.
const ALLOCATION_BYTES: usize = 16;

const _: () = assert!(size_of::<Mutex<Slot>>() == 64);
const _: () = {
    let page = size_of::<Page>() + ALLOCATION_BYTES + size_of::<OnceLock<Box<Page>>>();
    assert!(PAGES * page <= TABLE_BYTES_MAX);
};

/// The aggregate type and the aggregate id of a stream, one behind the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Name {
    /// Bytes of the type; 0 of no name.
    type_length: u8,
    /// Bytes of the id, or [`IS_UUID`].
    id_length: u8,
    bytes: [u8; NAME_BYTES],
}

/// No text of an id that fits is as long.
const IS_UUID: u8 = u8::MAX;
const _: () = assert!(NAME_BYTES < IS_UUID as usize);

const NO_NAME: Name = Name { type_length: 0, id_length: 0, bytes: [0; NAME_BYTES] };

impl Name {
    /// Returns the name of a stream if it fits.
    fn of(stream: &StreamId) -> Option<Self> {
        let aggregate_type = stream.aggregate_type().as_bytes();
        let id = stream.aggregate_id().as_ref();
        let (uuid, text) = match id {
            IdRef::Uuid(uuid) => (Some(uuid), ""),
            IdRef::Text(text) => (None, text),
        };
        let id = uuid.as_ref().map_or(text.as_bytes(), |uuid| uuid.as_bytes());
        let mut bytes = [0; NAME_BYTES];
        let (type_place, rest) = bytes.split_at_mut_checked(aggregate_type.len())?;
        type_place.copy_from_slice(aggregate_type);
        rest.get_mut(..id.len())?.copy_from_slice(id);
        let type_length = u8::try_from(aggregate_type.len()).ok()?;
        let id_length = if uuid.is_some() { IS_UUID } else { u8::try_from(id.len()).ok()? };
        Some(Self { type_length, id_length, bytes })
    }
}

/// A stream as the table knows it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Head {
    hash: TermHash,
    name: Option<Name>,
}

impl Head {
    pub(crate) fn of(hasher: &TermHasher, stream: &StreamId) -> Self {
        Self { hash: hasher.hash(Term::stream(stream)), name: Name::of(stream) }
    }

    pub(crate) fn hash(&self) -> TermHash {
        self.hash
    }
}

/// Numbers are kept as bytes, so that a slot is one line of the processor's cache.
#[derive(Debug)]
struct Slot {
    /// The last position that was published of a stream of this slot.
    published: [u8; 8],
    version: [u8; 8],
    name: Name,
}

type Page = [Mutex<Slot>; SLOTS_PER_PAGE];

impl Slot {
    const EMPTY: Self = Self { published: [0; 8], version: [0; 8], name: NO_NAME };

    fn published(&self) -> GlobalPosition {
        GlobalPosition::new(u64::from_le_bytes(self.published))
    }

    fn set(&mut self, name: Name, version: StreamVersion) {
        (self.name, self.version) = (name, version.get().to_le_bytes());
    }
}

/// The table.
#[derive(Debug)]
pub(crate) struct Heads {
    pages: Box<[OnceLock<Box<Page>>]>,
}

impl Heads {
    pub(crate) fn new() -> Self {
        Self { pages: std::iter::repeat_with(OnceLock::new).take(PAGES).collect() }
    }

    /// Returns the version of a stream as of a durable position, if it is known.
    pub(crate) fn version(&self, head: &Head, as_of: GlobalPosition) -> Option<StreamVersion> {
        let name = head.name?;
        let (page, slot) = self.place(head)?;
        let slot = page.get()?.get(slot)?.lock();
        let is_known = slot.name == name && slot.published() <= as_of;
        is_known.then(|| StreamVersion::new(u64::from_le_bytes(slot.version)))
    }

    /// Keeps the version of a stream that was looked up as of a durable position.
    pub(crate) fn keep(&self, head: &Head, version: StreamVersion, as_of: GlobalPosition) {
        self.change(head, |slot, name| {
            if slot.published() <= as_of {
                slot.set(name, version);
            }
        });
    }

    /// Takes note of an event that is durable and not visible yet.
    pub(crate) fn publish(&self, head: &Head, version: StreamVersion, position: GlobalPosition) {
        self.change(head, |slot, name| {
            slot.published = position.get().to_le_bytes();
            slot.set(name, version);
        });
    }

    fn change(&self, head: &Head, change: impl FnOnce(&mut Slot, Name)) {
        let Some(name) = head.name else { return };
        let Some((page, slot)) = self.place(head) else { return };
        let page =
            page.get_or_init(|| Box::new([const { Mutex::new(Slot::EMPTY) }; SLOTS_PER_PAGE]));
        if let Some(slot) = page.get(slot) {
            change(&mut slot.lock(), name);
        }
    }

    /// Returns the page of a stream, and its slot in that.
    fn place(&self, head: &Head) -> Option<(&OnceLock<Box<Page>>, usize)> {
        let slot = range_of(head.hash.get(), (PAGES * SLOTS_PER_PAGE) as u64);
        let slot = usize::try_from(slot).ok()?;
        Some((self.pages.get(slot / SLOTS_PER_PAGE)?, slot % SLOTS_PER_PAGE))
    }
}

#[cfg(test)]
impl Heads {
    /// Lets nobody at the slot of a stream that is known until the guard is dropped.
    pub(crate) fn pause(&self, head: Head) -> impl Sized + '_ {
        let (page, slot) = self.place(&head).unwrap();
        page.get().unwrap()[slot].lock()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::index::COLLIDING_KEY;

    fn at(position: u64) -> GlobalPosition {
        GlobalPosition::new(position)
    }

    fn version(number: u64) -> StreamVersion {
        StreamVersion::new(number)
    }

    fn stream(id: &str) -> StreamId {
        StreamId::new("Test", id).unwrap()
    }

    fn head(id: &str) -> Head {
        Head::of(&TermHasher::new([3; 16]), &stream(id))
    }

    /// Returns two streams that share a slot.
    fn neighbours() -> [Head; 2] {
        let hasher = TermHasher::new(COLLIDING_KEY);
        let heads: Vec<_> = (0..5).map(|id| Head::of(&hasher, &stream(&id.to_string()))).collect();
        // The colliding key leaves two slots.
        let heads_of = |high: u64| heads.iter().filter(move |it| it.hash.get() >> 63 == high);
        let most = if heads_of(0).count() > 2 { 0 } else { 1 };
        let mut of_slot = heads_of(most).copied();
        [of_slot.next().unwrap(), of_slot.next().unwrap()]
    }

    #[test]
    fn invariant_1_what_was_published_or_looked_up_last_is_known() {
        let heads = Heads::new();
        let one = head("one");
        assert_eq!(heads.version(&one, at(9)), None);
        heads.keep(&one, version(4), at(9));
        assert_eq!(heads.version(&one, at(9)), Some(version(4)));
        heads.publish(&one, version(5), at(10));
        assert_eq!(heads.version(&one, at(10)), Some(version(5)));
        assert_eq!(heads.version(&head("two"), at(10)), None);
    }

    #[test]
    fn invariant_2_what_was_looked_up_before_a_later_event_is_not_kept() {
        let heads = Heads::new();
        let one = head("one");
        heads.publish(&one, version(5), at(10));
        heads.keep(&one, version(4), at(9));
        assert_eq!(heads.version(&one, at(10)), Some(version(5)));
        heads.keep(&one, version(5), at(10));
        assert_eq!(heads.version(&one, at(10)), Some(version(5)));
    }

    #[test]
    fn invariant_2_holds_after_another_stream_has_taken_the_slot() {
        let [one, other] = neighbours();
        let heads = Heads::new();
        heads.publish(&one, version(5), at(10));
        heads.keep(&other, version(1), at(12));
        assert_eq!(heads.version(&one, at(12)), None);
        assert_eq!(heads.version(&other, at(12)), Some(version(1)));
        heads.keep(&one, version(4), at(9));
        assert_eq!(heads.version(&one, at(12)), None, "it has version 5 by now");
        assert_eq!(heads.version(&other, at(12)), Some(version(1)));
        heads.keep(&one, version(5), at(10));
        assert_eq!(heads.version(&one, at(12)), Some(version(5)));
    }

    #[test]
    fn invariant_3_what_is_not_visible_yet_is_not_told() {
        let [one, other] = neighbours();
        let heads = Heads::new();
        heads.keep(&one, version(4), at(9));
        heads.publish(&one, version(5), at(10));
        assert_eq!(heads.version(&one, at(9)), None);
        heads.keep(&other, version(7), at(11));
        assert_eq!(heads.version(&other, at(9)), None, "an event of it could lie behind 9");
        assert_eq!(heads.version(&other, at(10)), Some(version(7)));
    }

    #[test]
    fn no_two_streams_are_the_same_though_they_share_a_hash() {
        let hasher = TermHasher::new(COLLIDING_KEY);
        let uuid = uuid::Uuid::from_u128(0x6162_6364_6566_6768_696a_6b6c_6d6e_6f70);
        let streams = [
            stream("a"),
            stream("ab"),
            StreamId::new("Tes", "ta").unwrap(),
            StreamId::new("Testa", "b").unwrap(),
            stream("abcdefghijklmnop"),
            StreamId::of("Test", uuid).unwrap(),
            StreamId::of("Test", uuid::Uuid::nil()).unwrap(),
        ];
        for one in &streams {
            let heads = Heads::new();
            heads.keep(&Head::of(&hasher, one), version(4), at(9));
            for other in &streams {
                let known = heads.version(&Head::of(&hasher, other), at(9));
                assert_eq!(known.is_some(), one == other, "{one} and {other}");
            }
        }
    }

    #[test]
    fn a_stream_whose_names_do_not_fit_is_never_known() {
        let heads = Heads::new();
        for length in [1, 40, 41, 42, 100, 255] {
            let head = head(&"x".repeat(length));
            heads.keep(&head, version(1), at(1));
            heads.publish(&head, version(2), at(2));
            let is_known = heads.version(&head, at(2)).is_some();
            assert_eq!(is_known, "Test".len() + length <= NAME_BYTES, "{length}");
        }
        let long_type = StreamId::of("T".repeat(46), uuid::Uuid::nil()).unwrap();
        assert!(Head::of(&TermHasher::new([3; 16]), &long_type).name.is_none());
    }

    #[test]
    fn the_table_grows_with_what_it_holds() {
        let heads = Heads::new();
        let made = |heads: &Heads| heads.pages.iter().filter(|page| page.get().is_some()).count();
        (0..10).for_each(|id| heads.keep(&head(&id.to_string()), version(1), at(1)));
        assert!((1..=10).contains(&made(&heads)));
        assert_eq!(heads.version(&head("absent"), at(1)), None);
        (0..50_000).for_each(|id| heads.keep(&head(&id.to_string()), version(1), at(1)));
        assert_eq!(made(&heads), PAGES);
    }
}
