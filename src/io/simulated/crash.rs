//! What a loss of power leaves of a simulated disk.
//!
//! Every pending change is kept or lost by a choice: all before one of them, with a write torn at any
//! byte, or any subset of sectors and of changes of names. What is durable is never touched, with one
//! exception that has to be asked for: zeros that the device lost.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::contents::Contents;
use super::files::{Change, File, Files, Names, Pending, SECTOR_BYTES, sectors};

/// What survives a loss of power.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Crash {
    /// Nothing that was not synced.
    Nothing,
    /// The first changes, over all files in the order of time, and of the next one, if it is a write,
    /// its first bytes.
    Prefix {
        /// How many changes are kept whole.
        changes: usize,
        /// How many bytes are kept of the one behind them.
        bytes: usize,
    },
    /// Of each [unit](super::Moment::units) everything or nothing: bit `n` of the mask is for the
    /// unit with number `n`.
    Subset {
        /// Which units are kept.
        mask: u64,
        /// Whether files have their new lengths, zeros where bytes were lost.
        is_grown: bool,
    },
    /// Any part of what is pending, by chance: of each sector any of the bytes it had since the last
    /// sync, of changes of names any subset.
    Scattered {
        /// What chance goes by.
        seed: u64,
        /// How many of 8 units are kept, about.
        kept_of_8: u64,
        /// Whether files have their new lengths, zeros where bytes were lost.
        is_grown: bool,
        /// Whether sectors of durable zeros give back what stood there before them.
        gives_back: bool,
    },
}

/// What is kept of a sector or of a change of names: how many of its versions, up to the newest.
type Choice<'a> = &'a mut dyn FnMut(usize) -> usize;

impl Files {
    /// Returns how many changes are pending.
    pub(super) fn pending(&self) -> usize {
        let files = self.files.iter().map(|file| file.pending.len());
        let names = self.directories.iter().map(|directory| directory.pending.len());
        files.sum::<usize>() + names.sum::<usize>()
    }

    /// Returns how many sectors and changes of names make a difference when they are lost.
    pub(super) fn units(&self) -> usize {
        let files = self.files.iter().map(|file| file.changed_sectors().len());
        let names = self.directories.iter().map(|directory| directory.pending.len());
        files.sum::<usize>() + names.sum::<usize>()
    }

    /// Returns the offsets in the change behind the first `changes` at which tearing it makes a
    /// difference: behind each byte that changes something. None when it is no write.
    pub(super) fn tears(&self, changes: usize) -> Vec<usize> {
        let (Some(number), kept) = (self.number_of(changes), changes) else { return Vec::new() };
        let is_it = |pending: &Pending<Change>| pending.number == number;
        let Some(file) = self.files.iter().find(|file| file.pending.iter().any(is_it)) else {
            return Vec::new();
        };
        let mut before = file.durable.clone();
        let numbers = self.numbers();
        for pending in
            file.pending.iter().filter(|pending| numbers[..kept].contains(&pending.number))
        {
            pending.change.apply(&mut before);
        }
        match file.pending.iter().find(|pending| is_it(pending)).map(|pending| &pending.change) {
            Some(Change::Write { offset, bytes }) => {
                let old = before.bytes(*offset, bytes.len());
                let differs = |index: &usize| old[*index] != bytes[*index];
                (0..bytes.len()).filter(differs).map(|index| index + 1).collect()
            }
            _ => Vec::new(),
        }
    }

    fn numbers(&self) -> Vec<u64> {
        let files = self.files.iter().flat_map(|file| &file.pending).map(|it| it.number);
        let names = self.directories.iter().flat_map(|one| &one.pending).map(|it| it.number);
        let mut numbers: Vec<_> = files.chain(names).collect();
        numbers.sort_unstable();
        numbers
    }

    fn number_of(&self, place: usize) -> Option<u64> {
        self.numbers().get(place).copied()
    }

    /// Returns what a crash leaves.
    pub(super) fn crashed(&self, crash: Crash) -> Self {
        match crash {
            Crash::Nothing => self.picked(false, &mut |_| 0),
            Crash::Prefix { changes, bytes } => self.cut_at(changes, bytes),
            Crash::Subset { mask, is_grown } => {
                let mut unit = 0;
                self.picked(is_grown, &mut |versions| {
                    let is_kept = mask >> unit & 1 == 1;
                    unit += 1;
                    if is_kept { versions } else { 0 }
                })
            }
            Crash::Scattered { seed, kept_of_8, is_grown, gives_back } => {
                let mut chance = Chance(seed);
                let mut crashed =
                    self.picked(is_grown, &mut |versions| match chance.next() % 8 < kept_of_8 {
                        true if chance.next().is_multiple_of(4) => chance.below(versions + 1),
                        true => versions,
                        false => 0,
                    });
                if gives_back {
                    crashed.give_back(&mut chance);
                }
                crashed
            }
        }
    }

    fn cut_at(&self, changes: usize, bytes: usize) -> Self {
        let torn = self.number_of(changes).unwrap_or(u64::MAX);
        self.restarted(
            |file| {
                let mut contents = file.durable.clone();
                for Pending { number, change } in &file.pending {
                    match change {
                        change if *number < torn => change.apply(&mut contents),
                        Change::Write { offset, bytes: all } if *number == torn => {
                            contents.write(*offset, &all[..bytes.min(all.len())]);
                        }
                        _ => {}
                    }
                }
                contents
            },
            |_, number| number < torn,
        )
    }

    /// Keeps of each unit as much as is chosen: of sectors in the order of files and offsets, then of
    /// names.
    fn picked(&self, is_grown: bool, choice: Choice<'_>) -> Self {
        let files: Vec<_> =
            self.files.iter().map(|file| picked_contents(file, is_grown, choice)).collect();
        let mut files = files.into_iter();
        self.restarted(|_| files.next().unwrap_or_default(), |versions, _| choice(versions) > 0)
    }

    /// Puts together a disk that has started again: what is durable is what there is.
    fn restarted(
        &self,
        mut contents: impl FnMut(&File) -> Contents,
        mut is_kept: impl FnMut(usize, u64) -> bool,
    ) -> Self {
        let is_settled = |file: &File| file.pending.is_empty() && !file.is_diverged;
        let files = self.files.iter().map(|file| {
            let durable = contents(file);
            match is_settled(file) {
                true => Arc::clone(file),
                false => {
                    let (live, buried) = (durable.clone(), file.buried.clone());
                    Arc::new(File { durable, live, buried, ..File::default() })
                }
            }
        });
        let files = files.collect();
        let directories = self.directories.iter().map(|directory| {
            let mut names: Names = directory.durable.clone();
            for Pending { number, change } in &directory.pending {
                if is_kept(1, *number) {
                    change.apply(&mut names);
                }
            }
            Arc::new(super::files::Directory {
                live: names.clone(),
                durable: names,
                pending: vec![],
            })
        });
        Self { files, directories: directories.collect(), changes: self.changes }
    }

    /// Gives some of what durable zeros stand in the place of back.
    fn give_back(&mut self, chance: &mut Chance) {
        for file in self.files.iter_mut().filter(|file| !file.buried.is_empty()) {
            let file = Arc::make_mut(file);
            let is_whole = chance.next().is_multiple_of(2);
            for (sector, old) in &file.buried {
                let offset = sector * SECTOR_BYTES;
                let is_there = offset + SECTOR_BYTES <= file.durable.len();
                let is_chosen = is_whole || chance.next().is_multiple_of(2);
                if is_chosen && is_there && file.durable.is_blank(offset, SECTOR_BYTES) {
                    file.durable.write(offset, old);
                }
            }
            file.live = file.durable.clone();
            file.buried.clear();
        }
    }
}

fn picked_contents(file: &File, is_grown: bool, choice: Choice<'_>) -> Contents {
    let mut contents = file.durable.clone();
    if file.pending.is_empty() {
        return contents;
    }
    let mut versions: BTreeMap<usize, usize> = BTreeMap::new();
    for sector in file.changed_sectors() {
        let writes = file.pending.iter().filter(|it| sectors(&it.change).contains(&sector));
        versions.insert(sector, choice(writes.count()));
    }
    for Pending { change, .. } in &file.pending {
        match change {
            Change::Write { offset, bytes } => {
                for sector in sectors(change) {
                    let left = versions.entry(sector).or_default();
                    if *left > 0 {
                        *left -= 1;
                        write_sector(&mut contents, sector, *offset, bytes);
                    }
                }
            }
            Change::SetLen(len) if *len < contents.len() => contents.set_len(*len),
            Change::SetLen(_) => {}
        }
    }
    if is_grown {
        contents.set_len(file.live.len());
    }
    contents
}

/// Writes the part of a write that lies in one sector.
fn write_sector(contents: &mut Contents, sector: usize, offset: usize, bytes: &[u8]) {
    let start = (sector * SECTOR_BYTES).max(offset);
    let end = ((sector + 1) * SECTOR_BYTES).min(offset + bytes.len());
    contents.write(start, &bytes[start - offset..end - offset]);
}

/// Numbers that look random and follow from a seed.
///
/// Source: SplitMix64, by Guy Steele, Doug Lea and Christine Flood.
#[derive(Debug)]
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ mixed >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ mixed >> 31
    }

    fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % bound as u64).unwrap_or_default()
    }
}
