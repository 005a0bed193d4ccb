//! Fetching URLs, each as a job: what is wanted, where redirects lead, what is told of the answer, which queue such jobs wait in.
//! The attempt itself is `workers::fetch`.
//!
//! Invariant: a URL is checked and written in one spelling before it becomes a job; its host is the job's group, so that
//! the limits of groups are those of hosts.

mod file;
mod line;
mod run;
mod since;
mod supply;
mod terms;
mod text;
mod told;
pub(crate) mod url;
mod wanted;

pub(crate) use file::file_name;
pub use line::{FetchedBody, FetchedLine};
pub use run::{Results, Run, RunFailed};
pub use since::{Earlier, earlier};
pub use supply::Supply;
pub use terms::{ParseTermError, Terms};
pub(crate) use told::Told;
pub use told::{FETCHED, Fetched, fetched};
pub use url::Origin;
pub use wanted::{Checked, Wanted, blank};
