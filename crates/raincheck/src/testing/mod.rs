//! What the engine's tests share: a node over either store, handlers to push to, and ways to wait for things.
//!
//! Invariant: nothing here sleeps to let something happen; it waits for the thing and fails loudly when it never comes.

pub(crate) mod faulty;
pub(crate) mod handler;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use raincheck_core::conformance::ModelStore;
use raincheck_core::content::Input;
use raincheck_core::decide::NewJob;
use raincheck_core::id::JobId;
use raincheck_core::job::{Job, Options, PRIORITY_DEFAULT};
use raincheck_core::name::{Namespace, QueueName};
use raincheck_core::queue::{Queue, QueueSpec, Worker};
use raincheck_core::store::{Change, Store, Submission, Submitted};
use tempfile::TempDir;

use self::faulty::Faulty;
use crate::clock::SystemClock;
use crate::{Node, NodeOptions};

/// How long a test waits for anything: longer than any machine takes, shorter than anybody's patience.
const PATIENCE: Duration = Duration::from_secs(30);

/// Waits for something that must come.
pub(crate) async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future)
        .await
        .unwrap_or_else(|_| panic!("{what}: it never came"))
}

/// Looks again and again until it is so.
pub(crate) async fn eventually(what: &str, is_so: impl Fn() -> bool) {
    soon(what, async {
        while !is_so() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    })
    .await;
}

/// A node to be tested, and what is below it.
pub(crate) struct Setup {
    pub(crate) node: Node,
    pub(crate) store: Arc<Faulty>,
    pub(crate) ns: Namespace,
    pub(crate) dir: TempDir,
}

/// One attempt is not tried again for a long time, and all goes through quickly otherwise.
pub(crate) fn options() -> NodeOptions {
    NodeOptions {
        drain: Duration::from_secs(10),
        public_url: Some("http://raincheck.example/".to_owned()),
        cores: 4,
        ..NodeOptions::default()
    }
}

impl Setup {
    pub(crate) async fn on_model(options: NodeOptions) -> Self {
        Self::start(
            |_| Arc::new(ModelStore::new(Arc::new(SystemClock::new()))),
            options,
        )
        .await
    }

    #[cfg(feature = "sqlite")]
    pub(crate) async fn on_sqlite(options: NodeOptions) -> Self {
        let open = |dir: &TempDir| crate::store::open(dir.path(), Arc::new(SystemClock::new())).unwrap();
        Self::start(open, options).await
    }

    async fn start(open: impl FnOnce(&TempDir) -> Arc<dyn Store>, options: NodeOptions) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = open(&dir);
        Self {
            dir,
            ..Self::over(store, options).await
        }
    }

    /// Over a store that the test opened.
    pub(crate) async fn over(store: Arc<dyn Store>, options: NodeOptions) -> Self {
        let store = Arc::new(Faulty::new(store));
        let node = Node::start(store.clone(), options).await.unwrap();
        Self {
            node,
            store,
            ns: Namespace::default(),
            dir: tempfile::tempdir().unwrap(),
        }
    }

    /// Makes or replaces a queue.
    pub(crate) async fn queue(
        &self,
        name: &str,
        worker: Worker,
        change: impl FnOnce(&mut QueueSpec),
    ) -> Arc<Queue> {
        let mut spec = QueueSpec {
            worker: Some(worker),
            backoff: "constant;base=1ms".parse().ok(),
            ..QueueSpec::default()
        };
        change(&mut spec);
        spec.check().unwrap();
        self.node
            .put_queue(&self.ns, &queue_name(name), spec, true)
            .await
            .unwrap()
            .unwrap()
    }

    pub(crate) async fn submit(&self, queue: &str, body: &'static str) -> JobId {
        self.submit_with(queue, body, |_, _| {}).await
    }

    pub(crate) async fn submit_with(
        &self,
        queue: &str,
        body: &'static str,
        change: impl FnOnce(&mut Options, &mut Input),
    ) -> JobId {
        let submission = self.submission(queue, body, change);
        let id = submission.job.id;
        let submitted = self
            .node
            .intake()
            .submit(&self.ns, submission)
            .await
            .unwrap()
            .unwrap();
        assert_eq!(submitted, Submitted::Created);
        id
    }

    pub(crate) fn submission(
        &self,
        queue: &str,
        body: &'static str,
        change: impl FnOnce(&mut Options, &mut Input),
    ) -> Submission {
        let mut options = Options::default();
        let mut input = Input {
            content_type: Some("text/plain".to_owned()),
            headers: Vec::new(),
            body: Bytes::from_static(body.as_bytes()),
        };
        change(&mut options, &mut input);
        let job = NewJob {
            id: self.node.store().mint(),
            namespace: self.ns.clone(),
            queue: queue_name(queue),
            group: None,
            priority: PRIORITY_DEFAULT,
            run_at: None,
            delay: None,
            options: options.into(),
            retry_of: None,
            member: None,
        };
        Submission {
            job,
            input,
            idempotency: None,
            create_queue: false,
        }
    }

    /// The job as it is now.
    pub(crate) async fn job(&self, id: JobId) -> Arc<Job> {
        self.store.get(&self.ns, id).await.unwrap().unwrap()
    }

    /// The job and its result, once it is as wanted.
    pub(crate) async fn when(&self, id: JobId, wanted: impl Fn(&Job) -> bool) -> Change {
        soon("a job's change", async {
            loop {
                let mut watching = self.node.watch().subscribe(id);
                let change = self.store.result(&self.ns, id).await.unwrap().unwrap();
                if wanted(&change.job) {
                    return change;
                }
                watching.changed().await;
            }
        })
        .await
    }

    /// The job, once it is as wanted, where that is no change that anybody is told of.
    pub(crate) async fn until(&self, id: JobId, wanted: impl Fn(&Job) -> bool) -> Arc<Job> {
        soon("a job's new lease", async {
            loop {
                let job = self.job(id).await;
                if wanted(&job) {
                    return job;
                }
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        })
        .await
    }

    /// The job and its result, once it is done.
    pub(crate) async fn done(&self, id: JobId) -> Change {
        self.when(id, Job::done).await
    }

    /// A path in the test's own directory.
    pub(crate) fn path(&self, name: &str) -> String {
        self.dir.path().join(name).to_str().unwrap().to_owned()
    }
}

pub(crate) fn queue_name(name: &str) -> QueueName {
    QueueName::new(name).unwrap()
}

/// A shell script as a command.
pub(crate) fn sh(script: &str) -> Worker {
    Worker::Process(vec!["/bin/sh".to_owned(), "-c".to_owned(), script.to_owned()])
}

/// A change's result as text.
pub(crate) fn text(change: &Change) -> String {
    let result = change.result.as_ref().expect("the job has a result");
    String::from_utf8(result.body.to_vec()).unwrap()
}

/// Each promise once over the model and once over SQLite.
macro_rules! promises {
    ($($name:ident)*) => {
        mod on_model {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                super::$name(crate::testing::Setup::on_model(crate::testing::options()).await).await;
            })*
        }

        #[cfg(feature = "sqlite")]
        mod on_sqlite {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                super::$name(crate::testing::Setup::on_sqlite(crate::testing::options()).await).await;
            })*
        }
    };
}
pub(crate) use promises;
