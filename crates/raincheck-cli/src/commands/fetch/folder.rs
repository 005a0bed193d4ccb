//! The folder of a run: the list as it was taken down, what the run is, and the store.
//!
//! Invariant: what the run is is replaced in one step; what it names is there before; no two processes have the folder at once.

use std::fs::{self, File, TryLockError};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use raincheck::core::batch::BatchId;
use raincheck::fetch::Terms;
use serde::{Deserialize, Serialize};

use crate::exit::{Exit, Failed};

/// What a run is.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct State {
    /// What its batch is known by.
    pub(crate) key: String,
    /// Its terms by their names.
    pub(crate) terms: Vec<(String, String)>,
    /// Where results go, where that is a file.
    pub(crate) output: Option<PathBuf>,
    /// Where bodies go, where that is not with the results.
    pub(crate) bodies: Option<PathBuf>,
    /// How many URLs the list has.
    pub(crate) lines: u64,
    /// How many lines were none.
    pub(crate) bad: u64,
    /// The server that does it, where one does.
    pub(crate) server: Option<String>,
    /// Its batch, once it is known.
    #[serde(with = "batch")]
    pub(crate) batch: Option<BatchId>,
    /// Whether all results are written.
    pub(crate) done: bool,
    /// How many of them are no answers, once all are.
    #[serde(default)]
    pub(crate) failed: u64,
}

/// Makes the folder that bodies go to.
pub(super) fn made(bodies: &Path) -> Result<(), Failed> {
    fs::create_dir_all(bodies).map_err(|error| {
        let text = format!("{} cannot be made: {error}", bodies.display());
        Failed::new(Exit::Failure, text).next("Name another folder: --bodies DIR --restart")
    })
}

mod batch {
    use raincheck::core::batch::BatchId;
    use serde::{Deserialize as _, Deserializer, Serialize as _, Serializer};

    pub(super) fn serialize<S: Serializer>(id: &Option<BatchId>, to: S) -> Result<S::Ok, S::Error> {
        id.map(|id| id.to_string()).serialize(to)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<BatchId>, D::Error> {
        let text = Option::<String>::deserialize(from)?;
        text.map(|text| text.parse().map_err(serde::de::Error::custom))
            .transpose()
    }
}

impl State {
    /// How the command ends once all is there.
    pub(crate) fn end(&self) -> Result<(), Failed> {
        match self.failed + self.bad {
            0 => Ok(()),
            _ => Err(Failed::silent(Exit::JobFailed)),
        }
    }

    /// Its terms.
    pub(crate) fn terms(&self) -> Result<Terms, Failed> {
        let mut terms = Terms::default();
        for (name, text) in &self.terms {
            let taken = terms.take(name, text);
            taken.map_err(|why| Failed::new(Exit::Failure, format!("the run's {name}: {why}")))?;
        }
        Ok(terms)
    }
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Folder {
    path: PathBuf,
    /// Held as long as this process has the folder.
    _lock: File,
}

impl Folder {
    /// The folder, made where it is not there, for this process alone.
    pub(crate) fn open(path: &Path) -> Result<Self, Failed> {
        let cannot = |error| Failed::new(Exit::Failure, format!("cannot use {}: {error}", path.display()));
        fs::create_dir_all(path).map_err(cannot)?;
        let lock = File::create(path.join("lock")).map_err(cannot)?;
        match lock.try_lock() {
            Ok(()) => Ok(Self {
                path: path.to_owned(),
                _lock: lock,
            }),
            Err(TryLockError::WouldBlock) => {
                let text = format!("another raincheck fetch is at work in {}", path.display());
                Err(Failed::new(Exit::Conflict, text)
                    .next("Wait for it, or name another folder: --store DIR"))
            }
            Err(TryLockError::Error(error)) => Err(cannot(error)),
        }
    }

    /// Its path, for people.
    pub(crate) fn shown(&self) -> String {
        self.path.display().to_string()
    }

    /// Where the store is.
    pub(crate) fn store(&self) -> PathBuf {
        self.path.join("store")
    }

    /// Where the list is.
    pub(crate) fn list(&self) -> PathBuf {
        self.path.join("urls")
    }

    /// Where it stands how far standard output is written.
    pub(crate) fn written(&self) -> PathBuf {
        self.path.join("written")
    }

    /// The run that was begun last.
    pub(crate) fn state(&self) -> Result<Option<State>, Failed> {
        let path = self.path.join("run.json");
        let text = match fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let read = serde_json::from_slice(&text);
        read.map(Some).map_err(|error| {
            let text = format!("{} cannot be read: {error}", path.display());
            Failed::new(Exit::Failure, text).next("Begin anew in another folder: --store DIR")
        })
    }

    /// Replaces what the run is. Durable on return.
    pub(crate) fn write(&self, state: &State) -> Result<(), Failed> {
        self.writing(state)()
    }

    /// The same, to be done wherever it may block.
    pub(crate) fn writing(&self, state: &State) -> impl FnOnce() -> Result<(), Failed> + Send + use<> {
        let (folder, text) = (self.path.clone(), serde_json::to_vec_pretty(state));
        move || {
            let (part, path) = (folder.join("run.json.part"), folder.join("run.json"));
            let mut file = File::create(&part)?;
            file.write_all(&text.map_err(std::io::Error::from)?)?;
            file.sync_all()?;
            fs::rename(&part, &path)?;
            Ok(File::open(&folder)?.sync_all()?)
        }
    }
}
