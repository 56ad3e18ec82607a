//! Several kinds of events behind one door: from the name of an event to the codec that reads it.

use std::fmt;

use super::{Codec, DomainEvent, variant};
use crate::error::{DecodeFailure, Error, Result};
use crate::event::RecordedEvent;

type Decode<T> = Box<dyn Fn(&RecordedEvent) -> Result<T> + Send + Sync>;

/// Decodes the events of several aggregate types into one type of the user, for whoever reads across
/// streams.
///
/// A repository needs none: it knows the type of its events.
///
/// # Examples
///
/// ```
/// use annals::{Codec, DomainEvent, EventStore, MemoryStore, Registry};
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Serialize, Deserialize)]
/// enum OrderEvent { Placed { cups: u32 } }
///
/// impl DomainEvent for OrderEvent {
///     const AGGREGATE_TYPE: &'static str = "Order";
/// }
///
/// #[derive(Serialize, Deserialize)]
/// enum PaymentEvent { Received { cents: u64 } }
///
/// impl DomainEvent for PaymentEvent {
///     const AGGREGATE_TYPE: &'static str = "Payment";
/// }
///
/// enum ShopEvent { Order(OrderEvent), Payment(PaymentEvent) }
///
/// let registry = Registry::new()
///     .register(Codec::bincode(), ShopEvent::Order)
///     .register(Codec::bincode(), ShopEvent::Payment);
/// # let store = MemoryStore::new();
/// for event in store.read_all(Default::default())? {
///     match registry.decode(&event?)? {
///         ShopEvent::Order(OrderEvent::Placed { cups }) => println!("{cups} cups ordered"),
///         ShopEvent::Payment(PaymentEvent::Received { cents }) => println!("{cents} cents paid"),
///     }
/// }
/// # Ok::<(), annals::Error>(())
/// ```
#[doc(alias = "register_event")]
#[doc(alias("EventRegistry", "get_event_class"))]
pub struct Registry<T> {
    entries: Vec<Entry<T>>,
}

/// The events of one enum.
struct Entry<T> {
    aggregate_type: &'static str,
    event_types: &'static [&'static str],
    decode: Decode<T>,
}

impl<T> Registry<T> {
    /// Returns a registry that knows no event.
    pub fn new() -> Self {
        Self { entries: Vec::new() }
    }

    /// Adds the events of a codec, and what becomes of them.
    ///
    /// Only the names of the variants are registered: a variant marked `#[serde(other)]` takes no event here.
    #[must_use]
    pub fn register<E: DomainEvent + 'static>(
        mut self,
        codec: Codec<E>,
        into: impl Fn(E) -> T + Send + Sync + 'static,
    ) -> Self {
        self.entries.push(Entry {
            aggregate_type: E::AGGREGATE_TYPE,
            event_types: variant::names::<E>(),
            decode: Box::new(move |event| codec.decode(event).map(&into)),
        });
        self
    }

    /// Tells whether an event is one of those that were registered.
    pub fn knows(&self, event: &RecordedEvent) -> bool {
        self.find(event).is_some()
    }

    /// Decodes an event.
    ///
    /// # Errors
    ///
    /// [`Error::Decode`]; for an event that was not registered it lists all that are, as
    /// `AggregateType/EventType`.
    pub fn decode(&self, event: &RecordedEvent) -> Result<T> {
        match self.find(event) {
            Some(entry) => (entry.decode)(event),
            None => {
                Err(Error::decode(event, DecodeFailure::UnknownEventType { known: self.known() }))
            }
        }
    }

    fn find(&self, event: &RecordedEvent) -> Option<&Entry<T>> {
        let (aggregate_type, event_type) = (event.aggregate_type(), event.event_type());
        let of_the_type = |entry: &&Entry<T>| entry.aggregate_type == aggregate_type;
        let mut entries = self.entries.iter().filter(of_the_type);
        entries.find(|entry| entry.event_types.contains(&event_type))
    }

    fn known(&self) -> Vec<String> {
        let names = self.entries.iter().flat_map(|entry| {
            entry.event_types.iter().map(|name| format!("{}/{name}", entry.aggregate_type))
        });
        names.collect()
    }
}

impl<T> Default for Registry<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> fmt::Debug for Registry<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Registry").field(&self.known()).finish()
    }
}
