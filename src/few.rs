//! Lists that are mostly of one item.

#![forbid(unsafe_code)]

/// A list that takes no memory of its own while it has one item at most: most commits are of one event,
/// and a thread that appends alone pays for each allocation between two syncs.
pub(crate) type Few<T> = smallvec::SmallVec<[T; 1]>;
