//! Names that only one at a time works under.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::error::{Error, Result};
use crate::record::RecordKind;

type Names = Arc<Mutex<BTreeSet<(RecordKind, String)>>>;

/// The names of records that somebody has claimed in a store, as a backend keeps them: in memory, since
/// one process at a time writes to a store.
///
/// # Examples
///
/// ```
/// use annals::{Claims, Error, RecordKind};
///
/// let claims = Claims::default();
/// let claim = claims.claim(RecordKind::Projection, "counts")?;
/// let refused = claims.claim(RecordKind::Projection, "counts");
/// assert!(matches!(refused, Err(Error::Claimed { .. })));
/// drop(claim);
/// assert!(claims.claim(RecordKind::Projection, "counts").is_ok());
/// # Ok::<(), Error>(())
/// ```
#[derive(Default)]
pub struct Claims(Names);

/// The right to be the only one that works under a name, given back when it is dropped.
#[must_use = "it is given back when it is dropped"]
pub struct Claim {
    names: Names,
    own: (RecordKind, String),
}

impl Claims {
    /// Claims a name.
    ///
    /// # Errors
    ///
    /// [`Error::Claimed`] while somebody else has it.
    pub fn claim(&self, kind: RecordKind, name: &str) -> Result<Claim> {
        let own = (kind, name.to_owned());
        match self.0.lock().insert(own.clone()) {
            true => Ok(Claim { names: Arc::clone(&self.0), own }),
            false => Err(Error::Claimed { kind, name: own.1 }),
        }
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        self.names.lock().remove(&self.own);
    }
}

impl fmt::Debug for Claims {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Claims(..)")
    }
}

impl fmt::Debug for Claim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Claim").field(&self.own).finish()
    }
}
