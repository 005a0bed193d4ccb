//! Every error code that a caller can meet, alphabetically, each with its status, its title and its page.
//!
//! Invariant: a code never changes its meaning or disappears, and none exists without a page: the page is part of
//! the list, so that a code without one does not compile.

use http::StatusCode;

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $code:literal, $status:ident, $title:literal;)*) => {
        /// The stable word in a problem's `code`; what callers branch on.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[non_exhaustive]
        pub enum Code {
            $($(#[$doc])* $name,)*
        }

        impl Code {
            /// All codes, alphabetically.
            pub const ALL: &[Self] = &[$(Self::$name),*];

            /// The code as problems and URLs write it.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$name => $code,)*
                }
            }

            /// The HTTP status it comes with.
            #[must_use]
            pub const fn status(self) -> StatusCode {
                match self {
                    $(Self::$name => StatusCode::$status,)*
                }
            }

            /// The same for every occurrence, for people.
            #[must_use]
            pub const fn title(self) -> &'static str {
                match self {
                    $(Self::$name => $title,)*
                }
            }

            /// The URL of its page, relative to the server.
            #[must_use]
            pub(crate) const fn url(self) -> &'static str {
                match self {
                    $(Self::$name => concat!("/problems/", $code),)*
                }
            }

            /// Its page in Markdown: what it means, how to see it, what to do.
            #[must_use]
            pub(crate) const fn page(self) -> &'static str {
                match self {
                    $(Self::$name => include_str!(concat!(
                        env!("CARGO_MANIFEST_DIR"), "/../../docs/errors/", $code, ".md"
                    )),)*
                }
            }
        }
    };
}

codes! {
    /// The lease was settled before, with other content.
    AlreadySettled = "already-settled", CONFLICT, "The lease was settled with other content";
    /// A job that is not of the batch stands for the line.
    AlreadySubmitted = "already-submitted", CONFLICT, "The line was submitted before, outside of the batch";
    /// The request breaks HTTP's or this API's rules.
    BadRequest = "bad-request", BAD_REQUEST, "The request is malformed";
    /// The batch was cancelled and takes no more lines.
    BatchClosed = "batch-closed", CONFLICT, "The batch takes no more lines";
    /// The batch and its jobs outlived their retention.
    BatchExpired = "batch-expired", GONE, "The batch is kept no longer";
    /// The body is larger than the queue takes.
    BodyTooLarge = "body-too-large", PAYLOAD_TOO_LARGE, "The body is too large";
    /// No space is left for new jobs.
    DiskFull = "disk-full", INSUFFICIENT_STORAGE, "No space is left";
    /// The server is leaving and takes no new work.
    Draining = "draining", SERVICE_UNAVAILABLE, "The server is shutting down";
    /// Chunks before this one are missing.
    EmitGap = "emit-gap", CONFLICT, "Chunks are missing before this one";
    /// A chunk of this number was emitted with other content.
    EmitMismatch = "emit-mismatch", CONFLICT, "The chunk was emitted with other content";
    /// A foreign host or a cross-site page.
    Forbidden = "forbidden", FORBIDDEN, "The request is not allowed";
    /// The job failed without an answer of its handler.
    HandlerFailed = "handler-failed", INTERNAL_SERVER_ERROR, "The job failed";
    /// The job failed: its handler answered with a redirect.
    HandlerRedirected = "handler-redirected", BAD_GATEWAY, "The handler redirected";
    /// The job failed: its handler could not be reached.
    HandlerUnreachable = "handler-unreachable", BAD_GATEWAY, "The handler could not be reached";
    /// The header block is larger than the server reads.
    HeadersTooLarge = "headers-too-large", REQUEST_HEADER_FIELDS_TOO_LARGE, "The headers are too large";
    /// An idempotency key was used by another request.
    IdempotencyMismatch = "idempotency-mismatch", UNPROCESSABLE_ENTITY, "The idempotency key was used by another request";
    /// A defect of the server.
    Internal = "internal", INTERNAL_SERVER_ERROR, "Something went wrong in the server";
    /// The job was cancelled and has no result.
    JobCancelled = "job-cancelled", GONE, "The job was cancelled";
    /// The job is not of the version that the request names.
    JobChanged = "job-changed", PRECONDITION_FAILED, "The job has changed";
    /// The job was deleted by hand.
    JobDeleted = "job-deleted", GONE, "The job was deleted";
    /// The job was not started in time and has no result.
    JobExpired = "job-expired", GONE, "The job was not started in time";
    /// The job is not finished.
    JobNotDone = "job-not-done", CONFLICT, "The job is not finished";
    /// The job has started and cannot be changed.
    JobStarted = "job-started", CONFLICT, "The job has started";
    /// The server would have no API key left that may administer it, or its first one may not.
    LastAdminKey = "last-admin-key", CONFLICT, "An admin key must stay";
    /// The lease is over.
    LeaseLost = "lease-lost", CONFLICT, "The lease is over";
    /// The request came back to the proxy that had passed it on.
    LoopDetected = "loop-detected", LOOP_DETECTED, "The request goes round in a circle";
    /// The path exists, the method does not.
    MethodNotAllowed = "method-not-allowed", METHOD_NOT_ALLOWED, "The method is not allowed here";
    /// The path does not exist.
    NotFound = "not-found", NOT_FOUND, "There is nothing at this path";
    /// An attempt would emit more than its queue allows.
    OutputTooLarge = "output-too-large", PAYLOAD_TOO_LARGE, "The attempt emits too much";
    /// What others are sending takes all the memory that there is for it.
    Overloaded = "overloaded", SERVICE_UNAVAILABLE, "The server has no room now";
    /// Commands come from the server's own flags and files only.
    ProcessWorkerForbidden = "process-worker-forbidden", FORBIDDEN, "Commands cannot be set over the API";
    /// As many jobs wait as the queue takes.
    QueueFull = "queue-full", TOO_MANY_REQUESTS, "The queue is full";
    /// The server's configuration defines the queue.
    QueueManaged = "queue-managed", CONFLICT, "The queue is managed by the server's configuration";
    /// The queue has unfinished jobs.
    QueueNotEmpty = "queue-not-empty", CONFLICT, "The queue has unfinished jobs";
    /// The server works the queue itself.
    QueueNotPull = "queue-not-pull", CONFLICT, "The queue is not worked by pulling";
    /// No byte of the result lies in the range asked for.
    RangeNotSatisfiable = "range-not-satisfiable", RANGE_NOT_SATISFIABLE, "The range lies outside the result";
    /// The caller comes too often.
    RateLimited = "rate-limited", TOO_MANY_REQUESTS, "Too many requests";
    /// The request did not arrive in time.
    RequestTimeout = "request-timeout", REQUEST_TIMEOUT, "The request did not arrive in time";
    /// The job and its result outlived their retention.
    ResultExpired = "result-expired", GONE, "The result is kept no longer";
    /// The job failed: its handler's answer was larger than the queue takes.
    ResultTooLarge = "result-too-large", BAD_GATEWAY, "The handler's answer was too large";
    /// The store does not answer, or its answer is in doubt.
    StoreUnavailable = "store-unavailable", SERVICE_UNAVAILABLE, "The store is unavailable";
    /// The job failed: its time ran out.
    TimedOut = "timed-out", GATEWAY_TIMEOUT, "The job ran out of time";
    /// As many connections are open as the server takes.
    TooManyConnections = "too-many-connections", SERVICE_UNAVAILABLE, "Too many connections are open";
    /// The namespace has as many API keys as it may.
    TooManyKeys = "too-many-keys", CONFLICT, "The namespace has too many keys";
    /// As many streams are open as the server takes.
    TooManyStreams = "too-many-streams", TOO_MANY_REQUESTS, "Too many streams are open";
    /// As many requests wait for jobs as the server takes.
    TooManyWaiters = "too-many-waiters", TOO_MANY_REQUESTS, "Too many requests wait";
    /// The caller has no API key that is good here.
    Unauthenticated = "unauthenticated", UNAUTHORIZED, "An API key is asked for";
    /// Another job holds the unique value.
    UniqueConflict = "unique-conflict", CONFLICT, "Another job holds the unique value";
    /// No batch has this id.
    UnknownBatch = "unknown-batch", NOT_FOUND, "There is no such batch";
    /// No webhook has this id.
    UnknownDelivery = "unknown-delivery", NOT_FOUND, "There is no such webhook";
    /// No job has this id.
    UnknownJob = "unknown-job", NOT_FOUND, "There is no such job";
    /// No API key has this id.
    UnknownKey = "unknown-key", NOT_FOUND, "There is no such key";
    /// The text is no lease's id.
    UnknownLease = "unknown-lease", NOT_FOUND, "There is no such lease";
    /// No queue has this name.
    UnknownQueue = "unknown-queue", NOT_FOUND, "There is no such queue";
    /// The content type or coding is not one that the path takes.
    UnsupportedMediaType = "unsupported-media-type", UNSUPPORTED_MEDIA_TYPE, "The content type is not supported here";
    /// The service behind a proxy did not answer in time.
    UpstreamTimeout = "upstream-timeout", GATEWAY_TIMEOUT, "The service took too long to answer";
    /// The URI is longer than the server reads.
    UriTooLong = "uri-too-long", URI_TOO_LONG, "The URI is too long";
}

impl Code {
    /// The code that is written so.
    #[must_use]
    pub fn find(text: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|code| code.as_str() == text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_listed_alphabetically_and_found_by_name() {
        let names: Vec<&str> = Code::ALL.iter().map(|code| code.as_str()).collect();
        assert!(names.is_sorted(), "{names:?}");
        for code in Code::ALL {
            assert_eq!(Code::find(code.as_str()), Some(*code));
            assert_eq!(code.url(), format!("/problems/{}", code.as_str()));
        }
    }

    #[test]
    fn every_page_says_what_it_means_how_to_see_it_and_what_to_do() {
        for code in Code::ALL {
            let (name, page) = (code.as_str(), code.page());
            let head = format!("# {name}\n\n{} · {}\n", code.status().as_u16(), code.title());
            assert!(
                page.starts_with(&head),
                "docs/errors/{name}.md must start with {head:?}"
            );
            assert!(page.contains("\n## See it\n"), "{name}");
            assert!(page.contains("\n## What to do\n"), "{name}");
        }
    }

    #[test]
    fn every_page_belongs_to_a_code() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/errors");
        for entry in std::fs::read_dir(folder).unwrap() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            let code = name.strip_suffix(".md").unwrap();
            assert!(Code::find(code).is_some(), "docs/errors/{name} is nobody's page");
        }
    }
}
