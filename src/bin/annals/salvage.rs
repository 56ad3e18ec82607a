//! `annals salvage`: copies what is left of a store to a new place, once somebody has agreed to what
//! that gives up.

use std::path::PathBuf;

use annals::FileStore;
use clap::Args;

use crate::StoreArguments;
use crate::failure::Failure;
use crate::repair::Agreement;

/// Copy what verifies of a damaged store to a new place, changing nothing where it is
///
/// For a device that fails or may only be read. The copy is the same store: ids, versions, positions
/// and times stay, and what is lost is listed as by a repair. Prints what would be given up, unless
/// --yes is given. The place of the copy lies outside of the store.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  annals salvage --store orders --to /mnt/new/orders --dry-run
  annals salvage --store orders --to /mnt/new/orders --yes")]
pub(crate) struct SalvageArguments {
    #[command(flatten)]
    store: StoreArguments,

    /// Directory of the copy: none yet, or an empty one
    #[arg(long, value_name = "DIR")]
    to: PathBuf,

    #[command(flatten)]
    agreement: Agreement,
}

pub(crate) fn run(arguments: &SalvageArguments) -> Result<(), Failure> {
    let (from, to) = (&arguments.store.path, &arguments.to);
    arguments.agreement.act(
        || FileStore::plan_salvage(from, to),
        || FileStore::salvage(from, to),
        |_| true,
        "",
    )
}
