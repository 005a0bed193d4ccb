//! Reading beside the writer: a few threads with query-only connections.
//!
//! Invariant: a read sees at least what was committed before it was asked for, and never changes a row.

use std::path::Path;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use raincheck_core::store::{Answer, StoreError};
use rusqlite::Connection;
use tokio::sync::oneshot;

use crate::directory::OpenError;
use crate::operation::received;
use crate::row::QueueNames;
use crate::schema;
use crate::writer::Shared;

type Query = Box<dyn FnOnce(&Connection, &QueueNames) + Send>;

/// Readers at once: reads are short and mostly from the cache.
const READERS: usize = 2;

/// The pool.
#[derive(Debug)]
pub(crate) struct Readers {
    queries: Mutex<Option<Sender<Query>>>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

impl Readers {
    /// Starts the threads.
    pub(crate) fn start(database: &Path, cache_kib: u32, shared: &Arc<Shared>) -> Result<Self, OpenError> {
        let (sender, queries) = channel();
        let queries = Arc::new(Mutex::new(queries));
        let mut threads = Vec::with_capacity(READERS);
        for _ in 0..READERS {
            let conn = schema::open_reader(database, cache_kib)?;
            let (queries, shared) = (Arc::clone(&queries), Arc::clone(shared));
            let thread = std::thread::Builder::new().name("reader".to_owned());
            threads.push(
                thread
                    .spawn(move || serve(&conn, &queries, &shared))
                    .map_err(OpenError::Thread)?,
            );
        }
        Ok(Self {
            queries: Mutex::new(Some(sender)),
            threads: Mutex::new(threads),
        })
    }

    /// Runs a query on the next free reader.
    pub(crate) fn read<T, F>(&self, query: F) -> Answer<T>
    where
        T: Send + 'static,
        F: FnOnce(&Connection, &QueueNames) -> rusqlite::Result<T> + Send + 'static,
    {
        let (reply, answer) = oneshot::channel();
        let query: Query = Box::new(move |conn, names| {
            let found = query(conn, names).map_err(|error| {
                tracing::error!(error = %error, "a query could not be run");
                StoreError::Unavailable("the query could not be run".to_owned())
            });
            // A caller that went away does not want it any more.
            let _ = reply.send(found);
        });
        if let Some(queries) = &*self.queries.lock().unwrap_or_else(PoisonError::into_inner) {
            // Without receivers the reply is dropped with the query, which the caller is told.
            let _ = queries.send(query);
        }
        Box::pin(received(answer))
    }

    /// Ends the threads once they have answered what was asked.
    pub(crate) fn stop(&self) {
        drop(self.queries.lock().unwrap_or_else(PoisonError::into_inner).take());
        for thread in self
            .threads
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .drain(..)
        {
            // A panic there was the query's own; its caller was told by the dropped reply.
            let _ = thread.join();
        }
    }
}

fn serve(conn: &Connection, queries: &Mutex<Receiver<Query>>, shared: &Shared) {
    loop {
        let next = queries.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(query) = next else { return };
        let names = Arc::clone(&shared.names.read().unwrap_or_else(PoisonError::into_inner));
        query(conn, &names);
    }
}
