//! Bugs that a test puts into the store on purpose, to see that the tests of crashes find them.
//!
//! They exist only in a build with the compiler flag `--cfg annals_bugs`, which no feature and no
//! dependency can set; in any other build asking for one is `false` before anything runs
//! (`docs/adr/0009-seeded-bugs.md`). One bug at a time is on, on one thread.

#![forbid(unsafe_code)]
#![cfg_attr(not(annals_bugs), allow(unreachable_pub, reason = "public where tests choose a bug"))]

/// Names the bugs, and lists them for the test that wants every one of them found.
macro_rules! bugs {
    ($($(#[$what:meta])+ $name:ident,)+) => {
        /// A bug that can be put into the store.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Bug { $($(#[$what])+ $name,)+ }

        #[cfg(annals_bugs)]
        impl Bug {
            /// Every bug there is.
            pub const ALL: &[Self] = &[$(Self::$name,)+];
        }
    };
}

bugs! {
    /// A commit is acknowledged without a sync.
    CommitUnsynced,
    /// A segment is sealed without a sync.
    SealUnsynced,
    /// A segment gets its name before it is durable.
    SegmentUnsynced,
    /// A segment is used before its name is durable.
    SegmentNameUnsynced,
    /// `STORE` gets its name before it is durable.
    StoreFileUnsynced,
    /// A commit that needed more than one write is acknowledged after the first.
    ShortWriteTaken,
    /// Events can be read before they are durable.
    PublishedBeforeSync,
    /// The store goes on after a failed write or sync.
    NotPoisoned,
    /// Positions of a commit that was rejected are not given out again.
    PositionsBurnt,
    /// Opening believes what stands in the cache without syncing it.
    ResyncSkipped,
    /// Opening believes what stands in the cache after a failed sync.
    CacheNotDropped,
    /// Opening does not make the names of the segments durable.
    NamesNotResynced,
    /// Opening does not write the last group again.
    LastGroupNotRewritten,
    /// What opening writes again is not synced.
    RewrittenUnsynced,
    /// A torn tail is left where it is.
    TailNotZeroed,
    /// What was cut is zeroed before the copy of it is durable.
    CutBytesUnsynced,
    /// What was cut is zeroed before the name of the copy of it is durable.
    CutNameUnsynced,
    /// Frames of an older epoch count as later ones.
    EpochUnchecked,
    /// No watermark makes an epoch durable before its first commit.
    EpochUnmarked,
    /// An opening has the epoch of the one before.
    EpochNotRaised,
    /// Any later frame shows that what is before it had been durable.
    EvidenceFromAnyFrame,
    /// No later frame shows that what is before it had been durable.
    EvidenceIgnored,
    /// A frame says that its whole group had been durable before it.
    DurableUptoTooFar,
    /// A frame says that nothing had been durable before it.
    DurableUptoMissing,
    /// The checksum of a frame is not checked.
    FrameUnchecked,
    /// The checksums of the events of a frame are not checked when a log is walked.
    BodiesUnchecked,
    /// The checksum of an event is not checked when it is read.
    EventUnchecked,
    /// Checksums are not tied to the place of what they are about.
    Unsigned,
    /// The checksum of a footer is not checked.
    FooterUnchecked,
    /// The checksum of `STORE` is not checked.
    StoreFileUnchecked,
    /// The checksum of a run's header is not checked.
    RunHeaderUnchecked,
    /// The checksums of a run's pages are not checked.
    RunPageUnchecked,
    /// A run gets its name before it is durable.
    RunUnsynced,
    /// A run is used before its name is durable.
    RunNameUnsynced,
    /// `END` gets its name before it is durable.
    EndFileUnsynced,
    /// `END` claims a commit that is not synced yet.
    EndBeforeSync,
    /// A log may end before what is known to have been durable.
    KnownEndIgnored,
    /// A run counts even if the log has not the frame behind which it ends.
    StaleRunTaken,
}

/// Tells whether a bug is to be there.
#[cfg(not(annals_bugs))]
#[inline(always)]
pub(crate) const fn on(_bug: Bug) -> bool {
    false
}

#[cfg(annals_bugs)]
pub(crate) use seeded::on;
#[cfg(annals_bugs)]
pub use seeded::put_in;

#[cfg(annals_bugs)]
mod seeded {
    use std::cell::Cell;

    use super::Bug;

    thread_local! {
        static PRESENT: Cell<Option<Bug>> = const { Cell::new(None) };
    }

    /// Puts a bug into the stores of this thread, in place of the one before.
    pub fn put_in(bug: Option<Bug>) {
        PRESENT.set(bug);
    }

    pub(crate) fn on(bug: Bug) -> bool {
        PRESENT.get() == Some(bug)
    }
}
