//! Submitting from the application's own code.
//!
//! Invariant: what is accepted here is accepted as over HTTP: the same options, read by the same table, the same fingerprints
//! under a key, the same refusals.

use std::borrow::Cow;
use std::marker::PhantomData;
use std::time::Duration;

use raincheck_core::content::Input;
use raincheck_core::time::{Timestamp, format_duration};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::accepted::{Accepted, SubmitError};
use super::raincheck::Raincheck;
use crate::api::embedded::{Refused, Wish, place};

/// A job about to be submitted. Options that cannot be are told by [`send`](Self::send).
///
/// ```
/// # use raincheck::embed::{Args, JobType, Raincheck, queue};
/// # const GREET: JobType<String, String> = JobType::new("greet");
/// # async fn greet(Args(name): Args<String>) -> String { format!("Hello, {name}!") }
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let test = Raincheck::builder().handle(GREET, queue(), greet).open_for_test().await?;
/// use std::time::Duration;
/// use raincheck::embed::Submit;
///
/// let ada = "Ada".to_owned();
/// let order: Submit<'_, String> = test.submit(&GREET, &ada).group("tenant-7").priority(0).delay(Duration::from_secs(60)).tags("vip");
/// let job = order.idempotency_key("greet-ada").send().await?;
/// let again = test.submit(&GREET, &ada).group("tenant-7").priority(0).delay(Duration::from_secs(60)).tags("vip");
/// let again = again.idempotency_key("greet-ada").send().await?;
/// assert!(again.was_there() && again.id() == job.id()); // made once
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
#[must_use = "nothing is submitted before it is sent"]
pub struct Submit<'a, O> {
    rc: &'a Raincheck,
    queue: &'a str,
    input: Result<Input, serde_json::Error>,
    wish: Wish,
    output: PhantomData<fn() -> O>,
}

impl<'a, O: DeserializeOwned> Submit<'a, O> {
    pub(super) fn json(rc: &'a Raincheck, queue: &'a str, args: &impl Serialize) -> Self {
        let input = serde_json::to_vec(args).map(|body| Input {
            content_type: Some("application/json".to_owned()),
            headers: Vec::new(),
            body: body.into(),
        });
        Self {
            rc,
            queue,
            input,
            wish: Wish::default(),
            output: PhantomData,
        }
    }

    /// Any option of the API by the name of its JSON field, written as its header writes it: `("unique", "\"a\";while=kept")`.
    ///
    /// ```
    /// # use raincheck::embed::{Args, JobType, Raincheck, queue};
    /// # const GREET: JobType<String, String> = JobType::new("greet");
    /// # async fn greet(Args(name): Args<String>) -> String { format!("Hello, {name}!") }
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let test = Raincheck::builder().handle(GREET, queue(), greet).open_for_test().await?;
    /// let ada = "Ada".to_owned();
    /// let first = test.submit(&GREET, &ada).option("unique", "\"ada\";while=kept;on-conflict=attach").send().await?;
    /// let second = test.submit(&GREET, &ada).option("unique", "\"ada\";while=kept;on-conflict=attach").send().await?;
    /// assert_eq!(first.id(), second.id());
    /// # Ok(())
    /// # }
    /// ```
    pub fn option(mut self, field: &'static str, value: impl Into<String>) -> Self {
        self.wish.options.push((field, Cow::Owned(value.into())));
        self
    }

    /// Submitted again under the same key, the job is made once; for as long as it is kept.
    ///
    /// ```
    /// # use raincheck::embed::{Args, JobType, Raincheck, queue};
    /// # const GREET: JobType<String, String> = JobType::new("greet");
    /// # async fn greet(Args(name): Args<String>) -> String { format!("Hello, {name}!") }
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let test = Raincheck::builder().handle(GREET, queue(), greet).open_for_test().await?;
    /// let ada = "Ada".to_owned();
    /// let first = test.submit(&GREET, &ada).idempotency_key("greet-ada").send().await?;
    /// let again = test.submit(&GREET, &ada).idempotency_key("greet-ada").send().await?;
    /// assert_eq!(first.id(), again.id());
    /// # Ok(())
    /// # }
    /// ```
    pub fn idempotency_key(mut self, key: impl Into<String>) -> Self {
        self.wish.key = Some(key.into());
        self
    }

    /// Start no earlier than so long from now.
    ///
    /// ```
    /// # use raincheck::embed::{JobType, Raincheck, SubmitError};
    /// # use std::time::Duration;
    /// # async fn order(rc: Raincheck, greet: JobType<String, String>, ada: String) -> Result<(), SubmitError> {
    /// let job = rc.submit(&greet, &ada).delay(Duration::from_secs(60)).send().await?; // in a minute, over restarts too
    /// # drop(job);
    /// # Ok(())
    /// # }
    /// ```
    pub fn delay(self, delay: Duration) -> Self {
        self.option("delay", format_duration(delay))
    }

    /// Start no earlier than this.
    ///
    /// ```
    /// # use raincheck::embed::{Args, JobType, Raincheck, queue};
    /// # const GREET: JobType<String, String> = JobType::new("greet");
    /// # async fn greet(Args(name): Args<String>) -> String { format!("Hello, {name}!") }
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let test = Raincheck::builder().handle(GREET, queue(), greet).open_for_test().await?;
    /// let new_year = "2100-01-01T00:00:00Z".parse()?;
    /// let job = test.submit(&GREET, &"Ada".to_owned()).run_at(new_year).send().await?;
    /// assert_eq!(test.job(job.id()).await??.run_at, new_year);
    /// # Ok(())
    /// # }
    /// ```
    pub fn run_at(self, run_at: Timestamp) -> Self {
        self.option("run_at", run_at.to_string())
    }

    /// 0 (first) to 9 (last); 5 unless said.
    ///
    /// ```
    /// # use raincheck::embed::{JobType, Raincheck, SubmitError};
    /// # use std::time::Duration;
    /// # async fn order(rc: Raincheck, greet: JobType<String, String>, ada: String) -> Result<(), SubmitError> {
    /// let job = rc.submit(&greet, &ada).priority(0).send().await?; // before all others that wait
    /// # drop(job);
    /// # Ok(())
    /// # }
    /// ```
    pub fn priority(self, priority: u8) -> Self {
        self.option("priority", priority.to_string())
    }

    /// Whose job it is within the queue: groups take turns.
    ///
    /// ```
    /// # use raincheck::embed::{JobType, Raincheck, SubmitError};
    /// # use std::time::Duration;
    /// # async fn order(rc: Raincheck, greet: JobType<String, String>, ada: String) -> Result<(), SubmitError> {
    /// let job = rc.submit(&greet, &ada).group("tenant-7").send().await?; // one tenant's thousand does not hold up another's one
    /// # drop(job);
    /// # Ok(())
    /// # }
    /// ```
    pub fn group(self, group: impl Into<String>) -> Self {
        self.option("group", group)
    }

    /// Labels to search by, separated by commas.
    ///
    /// ```
    /// # use raincheck::embed::{JobType, Raincheck, SubmitError};
    /// # use std::time::Duration;
    /// # async fn order(rc: Raincheck, greet: JobType<String, String>, ada: String) -> Result<(), SubmitError> {
    /// let job = rc.submit(&greet, &ada).tags("vip,night").send().await?; // GET /v1/jobs?tag=vip
    /// # drop(job);
    /// # Ok(())
    /// # }
    /// ```
    pub fn tags(self, tags: impl Into<String>) -> Self {
        self.option("tags", tags)
    }

    /// One attempt's time.
    ///
    /// ```
    /// # use raincheck::embed::{JobType, Raincheck, SubmitError};
    /// # use std::time::Duration;
    /// # async fn order(rc: Raincheck, greet: JobType<String, String>, ada: String) -> Result<(), SubmitError> {
    /// let job = rc.submit(&greet, &ada).timeout(Duration::from_secs(90)).send().await?; // then the attempt has failed
    /// # drop(job);
    /// # Ok(())
    /// # }
    /// ```
    pub fn timeout(self, timeout: Duration) -> Self {
        self.option("timeout", format_duration(timeout))
    }

    /// The time for all attempts.
    ///
    /// ```
    /// # use raincheck::embed::{JobType, Raincheck, SubmitError};
    /// # use std::time::Duration;
    /// # async fn order(rc: Raincheck, greet: JobType<String, String>, ada: String) -> Result<(), SubmitError> {
    /// let job = rc.submit(&greet, &ada).deadline(Duration::from_secs(3600)).send().await?; // no attempt goes beyond
    /// # drop(job);
    /// # Ok(())
    /// # }
    /// ```
    pub fn deadline(self, deadline: Duration) -> Self {
        self.option("deadline", format_duration(deadline))
    }

    /// How often it is attempted, 1 to 100.
    ///
    /// ```
    /// # use raincheck::embed::{JobType, Raincheck, SubmitError};
    /// # use std::time::Duration;
    /// # async fn order(rc: Raincheck, greet: JobType<String, String>, ada: String) -> Result<(), SubmitError> {
    /// let job = rc.submit(&greet, &ada).max_attempts(1).send().await?; // once, whatever happens
    /// # drop(job);
    /// # Ok(())
    /// # }
    /// ```
    pub fn max_attempts(self, attempts: u32) -> Self {
        self.option("max_attempts", attempts.to_string())
    }

    /// How long it stays when finished.
    ///
    /// ```
    /// # use raincheck::embed::{JobType, Raincheck, SubmitError};
    /// # use std::time::Duration;
    /// # async fn order(rc: Raincheck, greet: JobType<String, String>, ada: String) -> Result<(), SubmitError> {
    /// let job = rc.submit(&greet, &ada).keep(Duration::from_secs(7 * 24 * 3600)).send().await?; // a week's time to redeem it
    /// # drop(job);
    /// # Ok(())
    /// # }
    /// ```
    pub fn keep(self, keep: Duration) -> Self {
        self.option("keep", format_duration(keep))
    }

    /// The URLs in the [answer](Accepted) open for so long for whoever has them, by a ticket: they read and cancel this one job, without a key and
    /// under whatever host name the application is asked. Without it they are for those who may ask the API itself.
    ///
    /// ```
    /// # use raincheck::embed::{Args, JobType, Raincheck, queue};
    /// # const GREET: JobType<String, String> = JobType::new("greet");
    /// # async fn greet(Args(name): Args<String>) -> String { format!("Hello, {name}!") }
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let test = Raincheck::builder().handle(GREET, queue(), greet).open_for_test().await?;
    /// use axum::response::IntoResponse;
    /// use std::time::Duration;
    ///
    /// let order = test.submit(&GREET, &"Ada".to_owned()).ticket(Duration::from_secs(3600));
    /// let answer = order.send().await?.into_response();
    /// assert!(answer.headers()["location"].to_str()?.contains("?ticket="));
    /// # Ok(())
    /// # }
    /// ```
    pub fn ticket(self, good_for: Duration) -> Self {
        self.option("ticket", format_duration(good_for))
    }

    /// A webhook that tells of its end.
    ///
    /// ```
    /// # use raincheck::embed::{Args, JobType, Raincheck, queue};
    /// # const GREET: JobType<String, String> = JobType::new("greet");
    /// # async fn greet(Args(name): Args<String>) -> String { format!("Hello, {name}!") }
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let test = Raincheck::builder().handle(GREET, queue(), greet).open_for_test().await?;
    /// use std::time::Duration;
    ///
    /// let order = test.submit(&GREET, &"Ada".to_owned()).keep(Duration::from_secs(7 * 24 * 3600));
    /// order.callback("https://example.com/greeted").send().await?; // signed, tried for a day
    /// # Ok(())
    /// # }
    /// ```
    pub fn callback(self, url: impl AsRef<str>) -> Self {
        self.option("callback", format!("\"{}\"", url.as_ref()))
    }

    /// Submits it. Once this returned, the job survives any crash. Dropping the future drops only the wait for the answer.
    ///
    /// ```
    /// # use raincheck::embed::{JobType, Raincheck, SubmitError};
    /// # use std::time::Duration;
    /// # async fn order(rc: Raincheck, greet: JobType<String, String>, ada: String) -> Result<(), SubmitError> {
    /// let job = rc.submit(&greet, &ada).send().await?;
    /// println!("{} is on the disk", job.id());
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// Why it was not accepted.
    pub async fn send(self) -> Result<Accepted<O>, SubmitError> {
        let input = self
            .input
            .map_err(|error| SubmitError(Refused::input(self.rc.node(), &error)))?;
        let placed = place(self.rc.door(), self.queue, self.wish, input).await;
        Ok(Accepted {
            rc: self.rc.clone(),
            placed: placed.map_err(SubmitError)?,
            output: PhantomData,
        })
    }
}
