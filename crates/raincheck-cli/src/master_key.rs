//! The master key, under which the store's secrets are encrypted: how it is written, and where commands find it.
//!
//! Invariant: no output and no `Debug` shows it, nor does a message about one that is none.

use std::path::{Path, PathBuf};

use clap::Args;
use raincheck::core::secret::Secret;
use raincheck::store::OpenError;

use crate::exit::{Exit, Failed};

/// Holds the key itself.
const VARIABLE: &str = "RAINCHECK_MASTER_KEY";

/// What a key looks like.
const FORM: &str = "32 bytes in base64 or as 64 hexadecimal digits; `raincheck master-key new` makes one";

/// Reads a key; what it was is not in the error.
pub(crate) fn read(text: &str) -> Result<Secret, String> {
    let text = text.trim();
    let hex = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
    let bytes = match text.len() {
        64 if text.bytes().all(|b| b.is_ascii_hexdigit()) => text.as_bytes().chunks(2).map(hex).collect(),
        _ => raincheck::api::from_base64(text),
    };
    let bytes = bytes.and_then(|bytes| <[u8; 32]>::try_from(bytes).ok());
    match bytes {
        Some(bytes) if bytes == [bytes[0]; 32] => Err(format!("all its bytes are alike; write {FORM}")),
        Some(bytes) => Ok(Secret::new(bytes)),
        None => Err(format!("it is none: write {FORM}")),
    }
}

/// Reads the key in a file.
///
/// # Errors
/// When the file cannot be read or holds none.
pub(crate) fn from_file(path: &Path) -> Result<Secret, Failed> {
    let text = std::fs::read_to_string(path)
        .map_err(|error| Failed::usage(format!("{} cannot be read: {error}", path.display())))?;
    read(&text).map_err(|why| Failed::usage(format!("the master key in {}: {why}", path.display())))
}

/// The flag of commands that open a store by themselves.
#[derive(Args, Clone, Debug)]
pub(crate) struct MasterKeyFile {
    /// The file with the master key, where the store's secrets are encrypted
    #[arg(long, env = "RAINCHECK_MASTER_KEY_FILE", value_name = "FILE")]
    master_key_file: Option<PathBuf>,
}

impl MasterKeyFile {
    /// The key, where the flag or the environment names one.
    ///
    /// # Errors
    /// When it is none.
    pub(crate) fn key(&self) -> Result<Option<Secret>, Failed> {
        let file = self
            .master_key_file
            .as_deref()
            .filter(|path| !path.as_os_str().is_empty());
        if let Some(path) = file {
            return from_file(path).map(Some);
        }
        match std::env::var(VARIABLE) {
            Ok(text) if !text.is_empty() => {
                let key = read(&text).map_err(|why| Failed::usage(format!("{VARIABLE}: {why}")))?;
                Ok(Some(key))
            }
            Ok(_) | Err(_) => Ok(None),
        }
    }
}

/// Why a store was not opened, with all its causes.
pub(crate) fn not_opened(error: &OpenError) -> Failed {
    let exit = match error {
        OpenError::InUse { .. } => Exit::Conflict,
        OpenError::MasterKey { .. } => Exit::Usage,
        OpenError::Directory { .. }
        | OpenError::Database { .. }
        | OpenError::Full { .. }
        | OpenError::Row { .. }
        | OpenError::Jobs { .. }
        | OpenError::Damaged { .. }
        | OpenError::Log { .. }
        | OpenError::Foreign { .. }
        | OpenError::Newer { .. }
        | OpenError::NoWal { .. }
        | OpenError::OldSqlite { .. }
        | OpenError::Thread(_) => Exit::StoreFailed,
    };
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(reason) = cause {
        text = format!("{text} ({reason})");
        cause = reason.source();
    }
    let failed = Failed::new(exit, text);
    if !matches!(error, OpenError::MasterKey { .. }) {
        return failed;
    }
    failed.next(
        "Name the file that holds that key: --master-key-file FILE, or RAINCHECK_MASTER_KEY_FILE; without the key its \
         secrets are lost",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_read_in_both_spellings_and_never_shown() {
        let bytes: Vec<u8> = (0..32).collect();
        let hex: String = bytes.iter().map(|byte| format!("{byte:02X}")).collect();
        let base64 = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
        for text in [&hex, base64, &format!("{base64}\n")] {
            let key = read(text).unwrap();
            assert_eq!(key.reveal().as_slice(), bytes, "{text}");
            assert_eq!(format!("{key:?} {key}"), "Secret(…) (set)");
        }
        for text in [
            "",
            "secret",
            &hex[..62],
            &base64[..40],
            &"00".repeat(32),
            &"ä".repeat(32),
        ] {
            let refused = read(text).unwrap_err();
            assert!(text.is_empty() || !refused.contains(text), "{refused}");
        }
    }
}
