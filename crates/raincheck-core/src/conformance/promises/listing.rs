//! Promises about listings: newest first, page by page, what the filter says and nothing else.

use super::kit::{Draft, Kit, Take, h, s, succeed};
use crate::id::JobId;
use crate::job::{Options, State};
use crate::list::{Filter, Page};
use crate::name::{GroupName, Tag};
use crate::queue::QueueSpec;

/// Everything the filter finds, in pages of `limit`; a page may be short, only a missing cursor ends.
async fn all(kit: &Kit, filter: Filter, limit: u32) -> Vec<JobId> {
    let mut found = Vec::new();
    let mut cursor = None;
    loop {
        let page = Page {
            filter: filter.clone(),
            cursor,
            limit,
        };
        let listed = kit.store.list(&kit.ns, page).await.expect("the store is open");
        assert!(
            listed.jobs.len() <= limit as usize,
            "a page holds no more than was asked for"
        );
        found.extend(listed.jobs.iter().map(|job| job.id));
        cursor = listed.cursor;
        if cursor.is_none() {
            return found;
        }
    }
}

fn tagged(tags: &[&str]) -> Options {
    let tags = tags.iter().map(|tag| Tag::new(tag).expect("a tag")).collect();
    Options {
        tags,
        ..Options::default()
    }
}

pub async fn jobs_are_listed_newest_first_page_by_page(kit: Kit) {
    kit.q().await;
    let mut ids = kit.submit_many(&Draft::default(), 23).await;
    ids.reverse();
    for limit in [1, 7, 23, 200] {
        assert_eq!(
            all(&kit, Filter::default(), limit).await,
            ids,
            "in pages of {limit}"
        );
    }
}

pub async fn a_listing_shows_what_its_filter_says_and_nothing_else(kit: Kit) {
    kit.q().await;
    kit.put("other", QueueSpec::default()).await;
    let plain = kit.submit(Draft::default()).await;
    kit.advance(s(1));
    let grouped = kit.submit(Draft::of("tenant")).await;
    kit.advance(s(1));
    let both = kit.submit(Draft::with(tagged(&["eu", "big"]))).await;
    let later = kit
        .submit(Draft {
            delay: Some(h(1)),
            options: tagged(&["eu"]),
            ..Draft::default()
        })
        .await;
    let elsewhere = kit
        .submit(Draft {
            queue: "other",
            ..Draft::default()
        })
        .await;
    let running = kit
        .take(Take {
            queue: "other",
            ..Take::default()
        })
        .await;
    assert_eq!(running.len(), 1);
    let done = kit
        .finished(
            Draft {
                priority: 0,
                ..Draft::default()
            },
            succeed("done"),
        )
        .await
        .id;
    let filter = Filter::default;
    let queue = |name| Some(super::kit::queue_name(name));
    let state = |state| Filter {
        state: Some(state),
        ..filter()
    };
    let tag = |tag| Filter {
        tag: Some(Tag::new(tag).expect("a tag")),
        ..filter()
    };
    let both_of = Filter {
        queue: queue("q"),
        state: Some(State::Queued),
        tag: tag("eu").tag,
        ..filter()
    };
    for (what, filter, expected) in [
        (
            "queue",
            Filter {
                queue: queue("other"),
                ..filter()
            },
            vec![elsewhere],
        ),
        (
            "an unknown queue",
            Filter {
                queue: queue("nowhere"),
                ..filter()
            },
            vec![],
        ),
        (
            "group",
            Filter {
                group: Some(GroupName::new("tenant").expect("a group")),
                ..filter()
            },
            vec![grouped],
        ),
        ("one tag", tag("eu"), vec![later, both]),
        ("another tag", tag("big"), vec![both]),
        ("queued", state(State::Queued), vec![both, grouped, plain]),
        ("scheduled", state(State::Scheduled), vec![later]),
        ("running", state(State::Running), vec![elsewhere]),
        ("succeeded", state(State::Succeeded), vec![done]),
        ("failed", state(State::Failed), vec![]),
        (
            "failed in a queue",
            Filter {
                queue: queue("q"),
                ..state(State::Failed)
            },
            vec![],
        ),
        ("all at once", both_of, vec![both]),
        (
            "after",
            Filter {
                submitted_after: Some(plain.created_at()),
                ..filter()
            },
            vec![done, elsewhere, later, both, grouped],
        ),
        (
            "before",
            Filter {
                submitted_before: Some(both.created_at()),
                ..filter()
            },
            vec![grouped, plain],
        ),
    ] {
        assert_eq!(all(&kit, filter, 2).await, expected, "{what}");
    }
}

pub async fn a_forgotten_job_is_not_listed(kit: Kit) {
    kit.q().await;
    let id = kit.submit(Draft::with(tagged(&["eu"]))).await;
    kit.cancel(id).await.expect("the job is there");
    let by_tag = Filter {
        tag: Some(Tag::new("eu").expect("a tag")),
        ..Filter::default()
    };
    assert_eq!(all(&kit, by_tag.clone(), 9).await, [id]);
    kit.delete(id).await.expect("the job is done");
    assert_eq!(all(&kit, by_tag, 9).await, []);
    assert_eq!(all(&kit, Filter::default(), 9).await, []);
}

pub async fn a_page_goes_on_where_the_one_before_ended_whatever_happened_since(kit: Kit) {
    kit.q().await;
    let ids = kit.submit_many(&Draft::default(), 4).await;
    let first = Page {
        filter: Filter::default(),
        cursor: None,
        limit: 2,
    };
    let first = kit.store.list(&kit.ns, first).await.expect("the store is open");
    assert_eq!(
        first.jobs.iter().map(|job| job.id).collect::<Vec<_>>(),
        [ids[3], ids[2]]
    );
    kit.submit(Draft::default()).await;
    kit.cancel(ids[2]).await.expect("the job is there");
    kit.delete(ids[2]).await.expect("the job is done");
    let second = Page {
        filter: Filter::default(),
        cursor: first.cursor,
        limit: 200,
    };
    let second = kit.store.list(&kit.ns, second).await.expect("the store is open");
    assert_eq!(
        second.jobs.iter().map(|job| job.id).collect::<Vec<_>>(),
        [ids[1], ids[0]]
    );
    assert_eq!(second.cursor, None);
}
