//! Lists that are mostly of one item.

#![forbid(unsafe_code)]

/// A list that takes no memory of its own while it has one item at most: many commits are of one event,
/// and a thread that appends alone pays for each allocation between two syncs.
pub(crate) type Few<T> = smallvec::SmallVec<[T; 1]>;

/// Collects items that are mostly one. Several go into memory of their own at once, which is faster than to
/// find that out with each.
pub(crate) fn few<T>(mut items: impl ExactSizeIterator<Item = T>) -> Few<T> {
    if items.len() > 1 {
        return Few::from_vec(items.collect());
    }
    let mut few = Few::new();
    if let Some(item) = items.next() {
        few.push(item);
    }
    few
}
