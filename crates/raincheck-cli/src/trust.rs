//! Whom the command line trusts when it speaks TLS beside the usual authorities: those of a file that the user names.
//!
//! Invariant: what is wrong with the file is told by the flag that names it.

use std::path::Path;

pub(crate) use raincheck::outward::trust::Trust;

use crate::exit::Failed;

/// The usual roots and those in the file that this flag names, in PEM form.
///
/// # Errors
/// When the file cannot be read, or has none.
pub(crate) fn with(flag: &str, file: &Path) -> Result<Trust, Failed> {
    Trust::with(file).map_err(|why| {
        Failed::usage(format!("{flag}: {why}"))
            .next("Name a file with certificates in PEM form, of the authority that signed the server's")
    })
}
