//! Opening a store: its directory, its memory, its threads.
//!
//! Invariant: nobody can ask a store for anything before the attempts that a former process left behind have ended.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use raincheck_core::clock::Clock;
use raincheck_core::id::{IdGenerator, JobId};
use raincheck_core::store::{Measure, Vitals};
use rusqlite::config::DbConfig;

use crate::busy::Busy;
use crate::checkpoint::Checkpoint;
use crate::directory::{Directory, OpenError, beside, failed, row_error};
use crate::handle::{Inner, SqliteStore};
use crate::handover::Handover;
use crate::look::Look;
use crate::memory::{Damaged, Memory};
use crate::reader::Readers;
use crate::schema;
use crate::seal::Seal;
use crate::space::Space;
use crate::vault::{MasterKeys, Unlocked};
use crate::writer::{Beside, Shared, Writer};
use crate::{aside, back, ballast};

/// How to open a store.
#[derive(Clone, Debug)]
pub struct Options {
    /// The directory; made where it is not there, with its parents.
    pub dir: PathBuf,
    /// Tells the time; the store stamps every operation with it.
    pub clock: Arc<dyn Clock>,
    /// Page cache of the writing connection in KiB; filled as needed. 16 MiB unless changed.
    pub cache_kib: u32,
    /// Pages of 4 KiB in the write-ahead log at which they are moved into the database. 16,000 unless changed (64 MiB),
    /// measured best of 1,000, 4,000 and 16,000; the log's file grows to some more than that.
    pub log_pages: u32,
    /// Whether the log is left as it is when the store is closed, to be read when it is opened again: for who may never open it again, and whose end
    /// somebody waits for. Off unless changed: it is moved into the database and removed.
    pub leave_log: bool,
    /// Jobs that are kept in memory for their next step, and as many for those who ask for them; the newest. 4,096 unless
    /// changed, about a kilobyte each; with 0 every step and every question reads the row.
    pub recent_jobs: usize,
    /// So many bytes of the disk are kept free: where there are fewer, no new work is taken, and what is there is finished.
    /// Unless said: 5 % of the disk, at most 256 MiB.
    pub reserve: Option<u64>,
    /// Whether some of the disk is held in a file of the directory besides, `raincheck.reserve`: as many bytes as the reserve has, at most 64 MiB. Where
    /// something else fills the disk to its last byte, that is what goes on with what is there. Off unless changed; where it
    /// cannot be had, the store is opened without.
    pub ballast: bool,
    /// Where the disk takes longer than this for one commit, no new work is taken until it is through. 5 s unless changed.
    pub patience: Duration,
    /// A store of at most so many bytes is looked through for damage before it is served, a larger one right after. 128 MiB unless
    /// changed, some tenths of a second.
    pub look_at: u64,
    /// Whether jobs of which a row is found to be damaged are set aside, so that the others go on; else the store is not
    /// opened (a large one fails as soon as it is found). Those that were set aside before stay so either way.
    pub set_aside_damaged: bool,
    /// What secrets are sealed under; with none they lie in the clear, and a store that has sealed ones is not opened.
    pub master_keys: MasterKeys,
}

impl Options {
    /// The defaults for this directory.
    pub fn new(dir: impl Into<PathBuf>, clock: Arc<dyn Clock>) -> Self {
        Self {
            dir: dir.into(),
            clock,
            cache_kib: 16 * 1024,
            log_pages: 16_000,
            leave_log: false,
            recent_jobs: 4_096,
            reserve: None,
            ballast: false,
            patience: Duration::from_secs(5),
            look_at: 128 << 20,
            set_aside_damaged: false,
            master_keys: MasterKeys::default(),
        }
    }
}

impl SqliteStore {
    /// Opens the store, creating or migrating it as need be, ends the attempts that a former process left behind,
    /// and makes the queues that its configuration managed ordinary ones. Blocks: some tenths of a second for each million of jobs.
    ///
    /// # Errors
    /// When the directory is in use or cannot be used, the database is damaged, foreign or newer, or its secrets are sealed
    /// under another master key.
    pub fn open(options: Options) -> Result<Self, OpenError> {
        let directory = Directory::open(&options.dir)?;
        let database = directory.database();
        ballast::make_room(&database);
        let (mut conn, mut seal, looked) =
            schema::open_writer(&database, options.cache_kib, options.look_at)?;
        let unlocked = Unlocked::open(&conn, &database, &options.master_keys)?;
        if unlocked.stale() {
            // The note goes before the log, which is emptied.
            seal.lift().map_err(failed(&database))?;
            unlocked
                .reseal(&mut conn)
                .map_err(|source| row_error(&database, source))?;
            seal = Seal::open(&database)?;
        }
        let sealer = unlocked.sealer;
        let failed = |source| row_error(&database, source);
        if options.leave_log {
            conn.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)
                .map_err(failed)?;
            seal = seal.staying();
        }
        let now = options.clock.now();
        // Whoever opens the store says anew which queues its configuration defines.
        conn.execute("UPDATE queues SET managed = 0 WHERE managed", [])
            .map_err(failed)?;
        let last: Option<i64> = conn
            .query_row(
                "SELECT max(seq) FROM (SELECT max(seq) AS seq FROM jobs UNION ALL SELECT max(seq) FROM batches)",
                [],
                |row| row.get(0),
            )
            .map_err(failed)?;
        let ids = JobId::from_parts(last.unwrap_or(0).cast_unsigned(), 0).created_at();
        back::at_open(&mut conn, ids, now).map_err(failed)?;
        let looked_at = looked.is_some();
        let mut damaged = Damaged::known(aside::known(&conn).map_err(failed)?);
        for (seq, why) in looked.into_iter().flatten() {
            damaged.add(seq, why);
        }
        let memory = Memory::load(&conn, options.recent_jobs, now, damaged).map_err(failed)?;
        if let Some((jobs, detail)) = memory.damaged.new_ones()
            && !options.set_aside_damaged
        {
            let (path, detail) = (database, detail.to_owned());
            return Err(OpenError::Jobs { path, jobs, detail });
        }
        let vitals = Vitals::new("sqlite", Box::new(OnDisk(database.clone())));
        let space = Space::new(&database, options.reserve, options.ballast);
        let shared = Arc::new(Shared::new(
            options.recent_jobs,
            vitals,
            space,
            sealer,
            Busy::new(options.patience),
        ));
        let handover = Arc::new(Handover::default());
        let file = directory.database_file();
        let checkpoint = Checkpoint::start(&database, file, options.log_pages, &handover, &shared)?;
        let look = (!looked_at)
            .then(|| Look::start(&database, &handover, options.set_aside_damaged))
            .transpose()?;
        let readers = Arc::new(Readers::start(&database, options.cache_kib / 4, &shared)?);
        let beside = Beside { checkpoint, look };
        let (end, ended) = tokio::sync::oneshot::channel();
        let (began, begins) = std::sync::mpsc::sync_channel(1);
        let (theirs, kept, way) = (Arc::clone(&readers), Arc::clone(&shared), Arc::clone(&handover));
        let clock = Arc::clone(&options.clock);
        let file = database.clone();
        // The statements that the writer keeps are the connection's, so all of it is made where it runs.
        let run = move || {
            let mut writer = Writer::new(&conn, memory, way, clock, &kept, beside, seal);
            let former = writer.end_former_attempts(now);
            let former = former.map_err(|source| row_error(&file, source));
            if let Err(error) = former.and_then(|()| directory.sync()) {
                drop(writer);
                drop((theirs, conn, directory));
                let _ = began.send(Err(error));
                return;
            }
            // Whoever opens the store waits for this.
            let _ = began.send(Ok(()));
            writer.run();
            theirs.stop();
            kept.fresh.close();
            drop(conn);
            // Only now may another process open the directory.
            drop(directory);
            // Nobody may be waiting for the end.
            let _ = end.send(());
        };
        let writing = std::thread::Builder::new()
            .name("writer".to_owned())
            .spawn(run)
            .map_err(OpenError::Thread)?;
        match begins.recv() {
            Ok(began) => began?,
            Err(_) => {
                if let Err(panic) = writing.join() {
                    std::panic::resume_unwind(panic);
                }
            }
        }
        let inner = Inner {
            handover,
            readers,
            shared,
            clock: options.clock,
            ids: IdGenerator::after(last.unwrap_or(0).cast_unsigned()),
            ended: Mutex::new(Some(ended)),
        };
        Ok(Self(Arc::new(inner), None))
    }
}

/// The files of the database.
#[derive(Debug)]
struct OnDisk(PathBuf);

impl Measure for OnDisk {
    fn size_bytes(&self) -> Option<u64> {
        let database = std::fs::metadata(&self.0).ok()?.len();
        // Without a log nothing is in it.
        let log = std::fs::metadata(beside(&self.0, "-wal")).map_or(0, |log| log.len());
        Some(database + log)
    }
}
