//! Programs as people name them on the command line.
//!
//! Invariant: a program is found when the command starts, not when the first job fails.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

/// A program that is not there.
#[derive(Debug)]
pub(crate) struct Missing {
    /// What is wrong.
    pub(crate) reason: String,
    /// How to write the one of this name that lies in the current folder, where there is one.
    pub(crate) beside: Option<String>,
}

/// The absolute path of a program that can be started.
pub(crate) fn resolve(program: &str) -> Result<String, Missing> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders: Vec<_> = std::env::split_paths(&path).collect();
    let found = find(program, &folders).map_err(|reason| Missing {
        beside: (!program.contains('/') && Path::new(program).is_file()).then(|| format!("./{program}")),
        reason,
    })?;
    found.to_str().map(str::to_owned).ok_or_else(|| Missing {
        reason: format!("the path of {program:?} is not UTF-8"),
        beside: None,
    })
}

/// Finds a program the way a shell would: a name on the search path, anything with a slash from here.
fn find(program: &str, folders: &[PathBuf]) -> Result<PathBuf, String> {
    if program.contains('/') {
        let path = std::path::absolute(program).map_err(|error| format!("{program}: {error}"))?;
        return match std::fs::metadata(&path) {
            Err(error) => Err(format!("there is no program {program:?} ({error})")),
            Ok(meta) if !meta.is_file() => Err(format!("{program:?} is not a file")),
            Ok(meta) if meta.permissions().mode() & 0o111 == 0 => {
                Err(format!("{program:?} may not be executed: chmod +x {program}"))
            }
            Ok(_) => Ok(path),
        };
    }
    let executable = |path: &PathBuf| {
        std::fs::metadata(path).is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
    };
    let mut candidates = folders.iter().map(|folder| folder.join(program));
    let found = candidates
        .find(executable)
        .and_then(|path| std::path::absolute(path).ok());
    found.ok_or_else(|| format!("there is no program {program:?} on the search path"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_is_found_now_or_refused_now() {
        let dir = tempfile::tempdir().unwrap();
        let (plain, tool) = (dir.path().join("plain"), dir.path().join("tool"));
        std::fs::write(&plain, "").unwrap();
        std::fs::write(&tool, "").unwrap();
        std::fs::set_permissions(&tool, std::fs::Permissions::from_mode(0o755)).unwrap();
        let folders = [dir.path().to_owned()];
        assert_eq!(find("tool", &folders), Ok(tool.clone()));
        assert_eq!(find(tool.to_str().unwrap(), &[]), Ok(tool));
        assert!(find("plain", &folders).unwrap_err().contains("no program"));
        assert!(
            find(plain.to_str().unwrap(), &[])
                .unwrap_err()
                .contains("chmod +x")
        );
        assert!(
            find("./nowhere", &folders)
                .unwrap_err()
                .contains("no program \"./nowhere\"")
        );
        assert!(
            find(dir.path().to_str().unwrap(), &[])
                .unwrap_err()
                .contains("not a file")
        );
    }
}
