//! What holds for every program that this process starts: it leaves no core, gains no privileges, and has a folder to itself.
//!
//! Invariant: all of it is in force before there is another thread, for those inherit it.

use raincheck::workers::process::{Folders, Rules, Workplace};
use rustix::process::{Resource, Rlimit, setrlimit};
use tracing::info;

use crate::exit::Failed;

/// Takes from this process, and so from its programs, what none of them needs: a core, which would hold keys and inputs, and,
/// unless they may, privileges that it has not.
pub(crate) fn confine(new_privileges: bool) -> std::io::Result<()> {
    let none = Rlimit {
        current: Some(0),
        maximum: Some(0),
    };
    setrlimit(Resource::Core, none)?;
    if !new_privileges {
        rustix::thread::set_no_new_privs(true)?;
    }
    Ok(())
}

/// Where attempts get folders of their own: where temporary files lie. None where nothing can be made there, as in an image
/// that has no such place, unless programs are to be started in them.
pub(crate) fn folders(rules: &Rules) -> Result<Option<Folders>, Failed> {
    let place = std::env::temp_dir();
    match Folders::open(&place) {
        Ok(folders) => Ok(Some(folders)),
        Err(error) if needed(rules) => Err(Failed::usage(format!(
            "program_folder: no folder can be made in {}: {error}",
            place.display()
        ))
        .next("Name another place for temporary files: TMPDIR")),
        Err(error) => {
            info!(place = %place.display(), %error, "programs get no folders of their own for temporary files");
            Ok(None)
        }
    }
}

/// Whether programs are to be started in folders of their own.
pub(crate) fn needed(rules: &Rules) -> bool {
    let mut all = rules.queues.values().chain([&rules.all]);
    all.any(|confinement| confinement.workplace == Workplace::Private)
}
