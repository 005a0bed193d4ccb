//! What handlers give back, as the result that is redeemed.
//!
//! Invariant: a reply has a status of success, so that a job that is done never looks like one that failed.

use std::marker::PhantomData;

use axum::http::HeaderName;
use bytes::Bytes;
use raincheck_core::content::JobResult;
use serde::Serialize;

use super::error::JobError;
use super::typed::{Typed, Untyped};
use crate::workers::KEPT_HEADERS;

/// A result: bytes, and what describes them.
///
/// ```
/// use http::header::CONTENT_DISPOSITION;
/// use raincheck::embed::{Args, Reply};
///
/// async fn export(Args(month): Args<String>) -> Reply {
///     let name = format!("attachment; filename=\"{month}.csv\"");
///     Reply::new("text/csv", "cats,dogs\n12,7\n").header(&CONTENT_DISPOSITION, name)
/// }
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reply {
    content_type: Option<String>,
    headers: Vec<(String, String)>,
    body: Bytes,
}

impl Reply {
    /// Bytes of this type.
    ///
    /// ```
    /// use raincheck::embed::Reply;
    ///
    /// async fn draw() -> Reply {
    ///     Reply::new("image/svg+xml", "<svg/>")
    /// }
    /// ```
    pub fn new(content_type: impl Into<String>, body: impl Into<Bytes>) -> Self {
        Self {
            content_type: Some(content_type.into()),
            headers: Vec::new(),
            body: body.into(),
        }
    }

    /// A value as JSON.
    ///
    /// ```
    /// use raincheck::embed::{JobError, Reply};
    ///
    /// async fn point() -> Result<Reply, JobError> {
    ///     Reply::json(&(3, 4))
    /// }
    /// ```
    ///
    /// # Errors
    /// When it cannot be written as JSON: trying again cannot help.
    pub fn json(value: &impl Serialize) -> Result<Self, JobError> {
        let body = serde_json::to_vec(value);
        let body = body.map_err(|error| JobError::fatal(format!("the result cannot be written: {error}")))?;
        Ok(Self::new("application/json", body))
    }

    /// With a header that says how to read the bytes: `Content-Disposition`, `Content-Digest`, `Content-Encoding`,
    /// `Content-Language` or `Repr-Digest`. Others are not kept.
    ///
    /// ```
    /// use http::header::CONTENT_LANGUAGE;
    /// use raincheck::embed::Reply;
    ///
    /// async fn greet() -> Reply {
    ///     Reply::new("text/plain", "Grüezi").header(&CONTENT_LANGUAGE, "gsw")
    /// }
    /// ```
    #[must_use]
    pub fn header(mut self, name: &HeaderName, value: impl Into<String>) -> Self {
        if KEPT_HEADERS.contains(&name.as_str()) {
            self.headers.push((name.as_str().to_owned(), value.into()));
        }
        self
    }

    pub(super) fn len(&self) -> usize {
        self.body.len()
    }

    pub(super) fn result(self) -> JobResult {
        JobResult::new(200, self.content_type, self.headers, self.body)
    }
}

/// Something that a handler may give back.
///
/// ```
/// use raincheck::embed::{IntoReply, JobError, Reply, Untyped};
///
/// struct Svg(String);
///
/// impl IntoReply for Svg {
///     type Value = Untyped; // no JSON: who submits reads bytes
///
///     fn into_reply(self) -> Result<Reply, JobError> {
///         Ok(Reply::new("image/svg+xml", self.0))
///     }
/// }
///
/// async fn draw() -> Svg {
///     Svg("<svg/>".to_owned())
/// }
/// ```
pub trait IntoReply {
    /// What is read back: [`Typed`] where it is JSON, else [`Untyped`].
    type Value;

    /// Makes the result of it.
    ///
    /// # Errors
    /// When the attempt has failed.
    fn into_reply(self) -> Result<Reply, JobError>;
}

impl IntoReply for Reply {
    type Value = Untyped;

    fn into_reply(self) -> Result<Reply, JobError> {
        Ok(self)
    }
}

impl IntoReply for () {
    type Value = Typed<()>;

    fn into_reply(self) -> Result<Reply, JobError> {
        Ok(Reply::default())
    }
}

impl IntoReply for Bytes {
    type Value = Untyped;

    fn into_reply(self) -> Result<Reply, JobError> {
        Ok(Reply::new("application/octet-stream", self))
    }
}

/// Text as a JSON string, so that a typed submitter reads it back.
impl IntoReply for String {
    type Value = Typed<Self>;

    fn into_reply(self) -> Result<Reply, JobError> {
        Reply::json(&self)
    }
}

/// A value is written as JSON.
impl<T: Serialize> IntoReply for axum::Json<T> {
    type Value = Typed<T>;

    fn into_reply(self) -> Result<Reply, JobError> {
        Reply::json(&self.0)
    }
}

/// A value is written as JSON; any error of the standard library's kind is tried again.
impl<T: Serialize, E: Into<JobError>> IntoReply for Result<T, E> {
    type Value = Typed<T>;

    fn into_reply(self) -> Result<Reply, JobError> {
        Reply::json(&self.map_err(Into::into)?)
    }
}

impl<E: Into<JobError>> IntoReply for Result<Reply, E> {
    type Value = Untyped;

    fn into_reply(self) -> Result<Reply, JobError> {
        self.map_err(Into::into)
    }
}

/// A reply of which it is known what is read back.
#[derive(Debug)]
pub struct Given<V> {
    reply: Reply,
    value: PhantomData<fn() -> V>,
}

impl<V> Given<V> {
    pub(super) fn new(reply: Reply) -> Self {
        Self {
            reply,
            value: PhantomData,
        }
    }
}

impl<V, E: Into<JobError>> IntoReply for Result<Given<V>, E> {
    type Value = V;

    fn into_reply(self) -> Result<Reply, JobError> {
        self.map(|given| given.reply).map_err(Into::into)
    }
}
