//! Opens the store of a command that only reads: so that no device can end the program, and with a word
//! when that takes long.

use annals::{FileStore, Options, Reading, Result};

use crate::StoreArguments;
use crate::failure::complain;

/// Events without an index that are worth a word: twice what a store keeps in memory while it is written.
const UNINDEXED_MAX: u64 = 2 * 65_536;

/// Opens a store for reading. Files are read and never mapped: where a device cannot give a block back, that
/// is an error and not the end of the process.
pub(crate) fn open(arguments: &StoreArguments) -> Result<FileStore> {
    let options = Options::new().reading(Reading::Positioned);
    let store = FileStore::open_read_only_with(&arguments.path, options)?;
    let unindexed = store.unindexed_events();
    if unindexed > UNINDEXED_MAX {
        complain(&format!(
            "note: {unindexed} events were read first, since the index does not hold them; opening the \
             store for writing once, as `import` does, makes the index"
        ));
    }
    Ok(store)
}
