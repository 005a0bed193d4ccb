//! Who calls, in which namespace, and what it may touch: taken out of a request before its route sees it.
//!
//! Invariants: a route gets its namespace here and nowhere else, so one that forgot to ask could reach nothing; who may do
//! what is the table in [`needs`]. Of what another namespace, or a queue that the key is not for, has, a caller
//! is told what it would be told if it were not there.

use std::sync::Arc;

use axum::extract::{FromRequestParts, MatchedPath};
use http::header::HeaderName;
use http::request::Parts;
use raincheck_core::id::{JobId, LeaseId};
use raincheck_core::job::Job;
use raincheck_core::key::KeyId;
use raincheck_core::name::{Namespace, QueueName};

use super::Api;
use super::answer::unknown_job;
use super::audit::OnItsWay;
use super::code::Code;
use super::door::{Admitted, unauthenticated};
use super::extract::named;
use super::needs::{self, Reach};
use super::problem::Problem;
use super::text;
use super::ticket::{self, Ticket};
use crate::keys::Kept;
use crate::node::Node;

/// Says in which namespace an administrator of the server acts.
pub(crate) const RAINCHECK_NAMESPACE: HeaderName = HeaderName::from_static("raincheck-namespace");

/// What the caller may see and touch. Every store operation on a caller's behalf takes its namespace.
#[derive(Clone, Debug)]
pub(crate) struct Caller {
    pub(crate) namespace: Namespace,
    /// The ticket that the request came with, where it allows what is asked.
    pub(crate) ticket: Option<Ticket>,
    who: Who,
    /// What it does, where that is an act of administration.
    act: Option<Box<OnItsWay>>,
}

/// By what right.
#[derive(Clone, Debug)]
enum Who {
    /// The server has no keys, and lets in those on this machine.
    Anyone,
    /// Its key.
    Key(Arc<Kept>),
    /// The ticket of one job.
    Ticket,
    /// The lease in the path.
    Lease,
}

impl FromRequestParts<Api> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, api: &Api) -> Result<Self, Problem> {
        let route = parts.extensions.get::<MatchedPath>().cloned();
        let route = route.as_ref().map_or("", MatchedPath::as_str);
        Self::of(parts, api, route).await
    }
}

impl Caller {
    /// Who calls this route.
    ///
    /// # Errors
    /// When it may not.
    pub(crate) async fn of(parts: &mut Parts, api: &Api, route: &str) -> Result<Self, Problem> {
        let act = parts.extensions.remove::<OnItsWay>().map(Box::new);
        let caller = match parts.extensions.remove::<Admitted>() {
            None if api.node.has_keys() => return Err(unauthenticated()),
            None => anyone(parts, api).await?,
            Some(Admitted::Key(key)) => by_key(parts, api, key, route).await?,
            Some(Admitted::Guest) => guest(parts, api).await?,
        };
        Ok(Self { act, ..caller })
    }
}

async fn anyone(parts: &mut Parts, api: &Api) -> Result<Caller, Problem> {
    if parts.headers.contains_key(RAINCHECK_NAMESPACE) {
        return Err(not_the_operator());
    }
    let namespace = api.namespace.clone();
    let ticket = ticket::admit(parts, api, Some(&namespace)).await?;
    Ok(Caller {
        ticket: ticket.map(|(ticket, _)| ticket),
        namespace,
        who: Who::Anyone,
        act: None,
    })
}

async fn by_key(parts: &mut Parts, api: &Api, key: Arc<Kept>, route: &str) -> Result<Caller, Problem> {
    let namespace = namespace(parts, &key)?;
    let ticket = ticket::admit(parts, api, Some(&namespace)).await?;
    let caller = Caller {
        namespace,
        ticket: ticket.map(|(ticket, _)| ticket),
        who: Who::Key(key),
        act: None,
    };
    caller.allowed(parts, api, route).await?;
    Ok(caller)
}

/// The key's own namespace, or the one that an administrator of the server names.
fn namespace(parts: &mut Parts, key: &Kept) -> Result<Namespace, Problem> {
    // Gone from here on: no route takes it for an option of its own.
    let Some(named) = parts.headers.remove(RAINCHECK_NAMESPACE) else {
        return Ok(key.namespace.clone());
    };
    if !key.is_operator() {
        return Err(not_the_operator());
    }
    let read = named
        .to_str()
        .ok()
        .and_then(|text| Namespace::new(text.trim()).ok());
    read.ok_or_else(|| {
        Problem::bad_request("Raincheck-Namespace: takes 1 to 128 letters, digits, '.', '_' or '-'")
    })
}

fn not_the_operator() -> Problem {
    let detail = "Raincheck-Namespace: only an admin key of the namespace default that is for all queues acts in other \
                  namespaces; any other key belongs to one and needs no header";
    Problem::new(Code::Forbidden, detail)
}

/// A caller without a key: by a ticket, or by a lease, which is secret as well.
async fn guest(parts: &mut Parts, api: &Api) -> Result<Caller, Problem> {
    if parts.headers.contains_key(RAINCHECK_NAMESPACE) {
        return Err(unauthenticated());
    }
    if let Some((ticket, namespace)) = ticket::admit(parts, api, None).await? {
        return Ok(Caller {
            namespace,
            ticket: Some(ticket),
            who: Who::Ticket,
            act: None,
        });
    }
    if let Some(namespace) = lease_home(parts, api).await? {
        return Ok(Caller {
            namespace,
            ticket: None,
            who: Who::Lease,
            act: None,
        });
    }
    Err(unauthenticated())
}

/// The namespace of the job whose lease the path names, where it is that job's last: live, or settled under it.
async fn lease_home(parts: &Parts, api: &Api) -> Result<Option<Namespace>, Problem> {
    if !parts.uri.path().starts_with("/v1/leases/") {
        return Ok(None);
    }
    let Ok(lease) = named(parts).parse::<LeaseId>() else {
        return Ok(None);
    };
    let store = api.node.store();
    let Some(namespace) = store.home(lease.job).await? else {
        return Ok(None);
    };
    let job = store.get(&namespace, lease.job).await?;
    let held = job.is_ok_and(|job| was_held(&job, &lease));
    Ok(held.then_some(namespace))
}

fn was_held(job: &Job, lease: &LeaseId) -> bool {
    job.lease_id().as_ref() == Some(lease)
        || job
            .settled
            .as_ref()
            .is_some_and(|settled| settled.nonce == lease.nonce)
}

impl Caller {
    /// The node, for what the caller changes: where that is an act of administration it is recorded with what it does.
    pub(crate) fn node(&self, api: &Api) -> Node {
        match &self.act {
            Some(act) => api.node.recording(act.take()),
            None => api.node.clone(),
        }
    }

    /// Whether the caller's key may do what is asked, as far as the head of the request tells.
    async fn allowed(&self, parts: &Parts, api: &Api, route: &str) -> Result<(), Problem> {
        let Who::Key(key) = &self.who else {
            return Ok(());
        };
        let Some(need) = needs::need(&parts.method, route) else {
            return Err(Problem::new(Code::Forbidden, "no key opens this path"));
        };
        if !key.grants.scopes.contains(need.scope) {
            let detail = format!(
                "this takes a key with the scope {}; the scopes of key {} are: {}",
                need.scope, key.id, key.grants.scopes
            );
            return Err(Problem::new(Code::Forbidden, detail));
        }
        if need.reach == Reach::Server && self.namespace != Namespace::default() {
            let detail = "this concerns all namespaces: it takes a key of the namespace default";
            return Err(Problem::new(Code::Forbidden, detail));
        }
        if key.grants.all_queues() {
            return Ok(());
        }
        match need.reach {
            Reach::Queue => match QueueName::new(named(parts)) {
                Ok(queue) => self.queue(&queue),
                // The route says what is wrong with it.
                Err(_) => Ok(()),
            },
            Reach::Job => match named(parts).parse::<JobId>() {
                Ok(id) => self.job(api, id).await,
                Err(_) => Ok(()),
            },
            Reach::Whole | Reach::Server => {
                let detail = format!(
                    "this concerns the whole namespace, and key {} is for some of its queues only",
                    key.id
                );
                Err(Problem::new(Code::Forbidden, detail))
            }
            Reach::Lease | Reach::Named | Reach::Listed | Reach::Batch => Ok(()),
        }
    }

    /// A job of a queue that the key is not for might as well not be there.
    async fn job(&self, api: &Api, id: JobId) -> Result<(), Problem> {
        match self.blind_to(api, id).await? {
            true => Err(unknown_job()),
            false => Ok(()),
        }
    }

    /// Whether the job is there and in a queue that the caller's key is not for. Costs others nothing.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub(crate) async fn blind_to(&self, api: &Api, id: JobId) -> Result<bool, Problem> {
        match &self.who {
            Who::Key(key) if !key.grants.all_queues() => {
                let job = api.node.store().get(&self.namespace, id).await?;
                Ok(job.is_ok_and(|job| !self.sees(&job.queue)))
            }
            Who::Anyone | Who::Ticket | Who::Lease | Who::Key(_) => Ok(false),
        }
    }

    /// Whether what is in this queue is the caller's to see.
    pub(crate) fn sees(&self, queue: &QueueName) -> bool {
        match &self.who {
            Who::Key(key) => key.grants.allows_queue(queue),
            Who::Anyone | Who::Ticket | Who::Lease => true,
        }
    }

    /// Refuses a queue that was named and that the key is not for.
    ///
    /// # Errors
    /// 403, which names the queue.
    pub(crate) fn queue(&self, queue: &QueueName) -> Result<(), Problem> {
        if self.sees(queue) {
            return Ok(());
        }
        let key = self.key().map(|key| key.to_string()).unwrap_or_default();
        let detail = format!("key {key} is not for queue \"{}\"", text::short(queue.as_str()));
        Err(Problem::new(Code::Forbidden, detail))
    }

    /// Refuses to take the next jobs by a lease alone: that opens no more than its own job.
    ///
    /// # Errors
    /// 401.
    pub(crate) fn claims(&self, claim: Option<u32>) -> Result<(), Problem> {
        match &self.who {
            Who::Lease if claim.is_some() => Err(unauthenticated()),
            Who::Lease | Who::Anyone | Who::Ticket | Who::Key(_) => Ok(()),
        }
    }

    /// Whether the caller may administer all namespaces; everybody may where there are no keys.
    pub(crate) fn is_operator(&self) -> bool {
        match &self.who {
            Who::Anyone => true,
            Who::Key(key) => key.is_operator(),
            Who::Ticket | Who::Lease => false,
        }
    }

    /// The key itself, for what is held open for it.
    pub(crate) fn kept(&self) -> Option<Arc<Kept>> {
        match &self.who {
            Who::Key(key) => Some(key.clone()),
            Who::Anyone | Who::Ticket | Who::Lease => None,
        }
    }

    /// The key that it came with.
    pub(crate) fn key(&self) -> Option<KeyId> {
        match &self.who {
            Who::Key(key) => Some(key.id),
            Who::Anyone | Who::Ticket | Who::Lease => None,
        }
    }
}
