//! Which appends of a commit go to the same stream.
//!
//! What is known of each stream of a commit is kept in a list with a place for every append, at that of
//! the first append to the stream: no table is made for one commit, and no name is copied.

use super::append::{Commit, StreamAppend};
use crate::error::{Error, Result};

/// For every append of a commit, the first one to the same stream.
#[derive(Debug, Default)]
pub(crate) struct FirstAppends {
    /// Empty where every append is the first one.
    firsts: Vec<usize>,
}

impl FirstAppends {
    /// Finds the appends that share a stream, given a hash for each that is the same for the same stream.
    ///
    /// # Errors
    ///
    /// `Error::Internal` when there are fewer hashes or more.
    pub(crate) fn of(commit: &Commit, hashes: impl IntoIterator<Item = u64>) -> Result<Self> {
        let appends = commit.appends.as_slice();
        if let [] | [_] = appends {
            return Ok(Self::default());
        }
        let mut by_hash: Vec<_> = hashes.into_iter().zip(0..).collect();
        if by_hash.len() != appends.len() {
            return Err(Error::Internal { invariant: "every append of a commit has a stream" });
        }
        by_hash.sort_unstable();
        let mut firsts = Vec::new();
        for alike in by_hash.chunk_by(|one, next| one.0 == next.0).filter(|it| it.len() > 1) {
            if firsts.is_empty() {
                firsts = (0..appends.len()).collect();
            }
            set_firsts(appends, alike, &mut firsts);
        }
        Ok(Self { firsts })
    }

    /// Returns the first append to the stream of an append.
    pub(crate) fn first(&self, append: usize) -> usize {
        self.firsts.get(append).copied().unwrap_or(append)
    }

    pub(crate) fn is_first(&self, append: usize) -> bool {
        self.first(append) == append
    }
}

/// Sets the first ones of appends whose streams share a hash, and may be different all the same.
fn set_firsts(appends: &[StreamAppend], alike: &[(u64, usize)], firsts: &mut [usize]) {
    let stream_of = |index: usize| appends.get(index).map(|append| &append.stream);
    let mut streams: Vec<usize> = Vec::new();
    for (_, index) in alike {
        match streams.iter().find(|first| stream_of(**first) == stream_of(*index)) {
            None => streams.push(*index),
            Some(first) => {
                if let Some(place) = firsts.get_mut(*index) {
                    *place = *first;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::ExpectedVersion;
    use crate::stream::StreamId;

    fn commit(names: &[&str]) -> Commit {
        names.iter().fold(Commit::new(), |commit, name| {
            commit.append(&StreamId::new("Task", name).unwrap(), ExpectedVersion::Any, Vec::new())
        })
    }

    fn firsts(names: &[&str], hash_of: impl Fn(usize, &StreamAppend) -> u64) -> Vec<usize> {
        let commit = commit(names);
        let hashes =
            commit.appends.iter().enumerate().map(|(index, append)| hash_of(index, append));
        let firsts = FirstAppends::of(&commit, hashes).unwrap();
        let all: Vec<_> = (0..names.len()).map(|append| firsts.first(append)).collect();
        let is_first = |append: usize| all.get(append) == Some(&append);
        assert!((0..names.len()).all(|append| firsts.is_first(append) == is_first(append)));
        all
    }

    fn length(_: usize, append: &StreamAppend) -> u64 {
        append.stream.to_string().len() as u64
    }

    #[test]
    fn every_append_knows_the_first_one_to_its_stream() {
        assert!(firsts(&[], length).is_empty());
        assert_eq!(firsts(&["a"], length), [0]);
        assert_eq!(firsts(&["a", "bb", "ccc"], length), [0, 1, 2]);
        assert_eq!(firsts(&["bb", "a", "bb", "a", "bb"], length), [0, 1, 0, 1, 0]);
    }

    #[test]
    fn streams_that_share_a_hash_are_told_apart_by_their_names() {
        assert_eq!(firsts(&["a", "b", "a", "c", "b"], |_, _| 7), [0, 1, 0, 3, 1]);
        assert_eq!(firsts(&["a", "b"], |_, _| 7), [0, 1]);
    }

    #[test]
    fn an_append_without_a_hash_is_not_taken_for_one_to_a_stream_of_its_own() {
        for hashes in [0, 1, 3] {
            let found = FirstAppends::of(&commit(&["a", "a"]), (0..hashes).map(|_| 7));
            assert!(matches!(found, Err(Error::Internal { .. })), "{hashes} hashes");
        }
    }
}
