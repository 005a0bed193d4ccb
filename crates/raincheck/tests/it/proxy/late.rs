//! Calls that become jobs while they are under way: one call, whatever happens.

use super::jobs::redeem;
use super::{Played, Proxied, Side, code};

const LATE: &[&str] = &["/**=UP;after=50ms"];

const SLOW: &str = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\nX-Own: 1\r\nConnection: close\r\n\r\nwets";

#[tokio::test]
async fn a_slow_answer_becomes_a_rain_check_and_the_call_goes_on() {
    for (method, body) in [("GET", ""), ("POST", "wets"), ("DELETE", "")] {
        let service = Played::start().await;
        let proxy = Proxied::start(service.addr, LATE).await;
        let serving = async {
            let mut side = service.accept().await;
            let heard = side.until("\r\n\r\n").await;
            (side, heard)
        };
        let asking = async {
            let ask = proxy.ask(method, "/slow");
            if body.is_empty() {
                ask.send().await
            } else {
                ask.body(body).send().await
            }
        };
        let ((mut side, heard), check) = tokio::join!(serving, asking);
        assert!(
            heard.starts_with(&format!("{method} /slow HTTP/1.1\r\n")),
            "{heard}"
        );
        assert_eq!(check.outcome(), Some("pending"), "{check:?}");
        side.say(SLOW).await;
        let result = redeem(&proxy, &check).await;
        assert_eq!(
            (result.status, result.text(), result.header("x-own")),
            (200, "wets", Some("1"))
        );
        assert!(service.is_alone().await, "{method} was sent once");
        let input = proxy
            .node
            .store()
            .input(&crate::harness::ns(), check.job().parse().unwrap())
            .await;
        assert_eq!(input.unwrap().unwrap().body, body, "what was sent was kept aside");
    }
}

#[tokio::test]
async fn a_fast_answer_costs_no_job() {
    let service = Played::start().await;
    let proxy = Proxied::start(service.addr, &["/**=UP;after=30s"]).await;
    let serving = async {
        let mut side = service.accept().await;
        side.until("wets").await;
        side.say(SLOW).await;
    };
    let (answer, ()) = tokio::join!(proxy.ask("POST", "/fast").body("wets").send(), serving);
    assert_eq!((answer.text(), answer.header("raincheck-job")), ("wets", None));
    let queues = proxy.node.store().queues(&crate::harness::ns()).await.unwrap();
    assert!(
        queues
            .iter()
            .all(|queue| queue.counts.succeeded + queue.counts.queued == 0)
    );
}

#[tokio::test]
async fn who_says_how_long_it_waits_gets_the_rain_check_then() {
    let service = Played::start().await;
    let proxy = Proxied::start(service.addr, &["/**=UP;mode=prefer"]).await;
    let serving = async {
        let mut side = service.accept().await;
        side.until("\r\n\r\n").await;
        side
    };
    let asking = proxy.ask("GET", "/slow").header("prefer", "wait=1").send();
    let (mut side, check) = tokio::join!(serving, asking);
    assert_eq!(check.header("preference-applied"), Some("wait=1"));
    side.say(SLOW).await;
    assert_eq!(redeem(&proxy, &check).await.text(), "wets");
}

#[tokio::test]
async fn a_body_that_is_too_large_for_a_job_just_goes_on_passing() {
    let service = Played::start().await;
    let proxy = Proxied::start(service.addr, LATE).await;
    let large = "x".repeat((1 << 20) + 1);
    let serving = async {
        let mut side = service.accept().await;
        side.until("\r\n\r\n").await;
        let mut left = large.len();
        while left > 0 {
            let mut part = vec![0; 64 << 10];
            left -= tokio::io::AsyncReadExt::read(&mut side.0, &mut part)
                .await
                .unwrap();
        }
        // Long after it would have become a job.
        tokio::time::sleep(std::time::Duration::from_millis(150)).await;
        side.say(SLOW).await;
    };
    let (answer, ()) = tokio::join!(proxy.ask("POST", "/slow").body(large.clone()).send(), serving);
    assert_eq!(
        (answer.status, answer.text(), answer.header("raincheck-job")),
        (200, "wets", None)
    );
}

#[tokio::test]
async fn a_client_that_leaves_before_takes_its_call_with_it_and_after_does_not() {
    let service = Played::start().await;
    let proxy = Proxied::start(service.addr, LATE).await;
    let mut client = Side::connect(proxy.addr).await;
    client
        .say("POST /slow HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n\r\nwets")
        .await;
    let mut side = service.accept().await;
    side.until("wets").await;
    let check = client.until("\"}}").await;
    drop(client);
    let location = check
        .lines()
        .find_map(|line| line.strip_prefix("location: "))
        .unwrap();
    let (path, ticket) = location.split_once("?ticket=").unwrap();
    side.say(SLOW).await;
    let result = proxy
        .ask("GET", &format!("{path}/result?ticket={ticket}&wait=30"))
        .send()
        .await;
    assert_eq!(result.text(), "wets");
}

#[tokio::test]
async fn a_cancelled_job_drops_the_call() {
    let service = Played::start().await;
    let proxy = Proxied::start(service.addr, LATE).await;
    let serving = async {
        let mut side = service.accept().await;
        side.until("\r\n\r\n").await;
        side
    };
    let (mut side, check) = tokio::join!(serving, proxy.ask("GET", "/slow").send());
    let (path, ticket) = super::jobs::ticket(&check);
    let cancel = proxy
        .ask("POST", &format!("{path}/cancel?ticket={ticket}"))
        .send()
        .await;
    assert!(cancel.status == 200 || cancel.status == 202, "{cancel:?}");
    assert!(
        side.ended().await,
        "the service is told by the end of its connection"
    );
    assert_eq!(code(&redeem(&proxy, &check).await), "job-cancelled");
}

#[tokio::test]
async fn a_server_that_leaves_sends_again_only_what_is_safe_to_repeat() {
    for (method, again) in [("GET", true), ("POST", false)] {
        let service = Played::start().await;
        let proxy = Proxied::start(service.addr, LATE).await;
        let serving = async {
            let mut side = service.accept().await;
            side.until("\r\n\r\n").await;
            side
        };
        let (mut side, check) = tokio::join!(serving, proxy.ask(method, "/slow").send());
        let (proxy, ()) = tokio::join!(proxy.restarted(service.addr, LATE), async {
            assert!(side.ended().await);
        });
        if again {
            let mut side = service.accept().await;
            let heard = side.until("\r\n\r\n").await;
            assert!(
                heard.contains(&format!("raincheck-job: {}\r\n", check.job())),
                "{heard}"
            );
            side.say(SLOW).await;
            assert_eq!(redeem(&proxy, &check).await.text(), "wets");
        } else {
            let result = redeem(&proxy, &check).await;
            assert_eq!((result.status, result.outcome()), (500, Some("failed")));
            assert!(result.text().contains("call-lost"), "{result:?}");
            assert!(service.is_alone().await, "{method} was sent once");
        }
    }
}

#[tokio::test]
async fn where_no_job_is_accepted_the_call_goes_on_as_it_was() {
    let service = Played::start().await;
    let proxy = Proxied::start(service.addr, LATE).await;
    let late = crate::harness::queue("proxy-late");
    let spec = raincheck::core::queue::QueueSpec {
        worker: Some(raincheck::core::queue::Worker::Function),
        depth: Some(1),
        ..Default::default()
    };
    let put = proxy
        .node
        .put_queue(&crate::harness::ns(), &late, spec, true)
        .await;
    put.unwrap().unwrap();
    proxy
        .node
        .pause_queue(&crate::harness::ns(), &late, true)
        .await
        .unwrap()
        .unwrap();
    let serving = async {
        let mut sides = Vec::new();
        for _ in 0..2 {
            let mut side = service.accept().await;
            side.until("\r\n\r\n").await;
            sides.push(side);
        }
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
        for side in &mut sides {
            // The one that is a job waits for its queue.
            side.say(SLOW).await;
        }
        sides
    };
    let (one, two, _sides) = tokio::join!(
        proxy.ask("GET", "/a").send(),
        proxy.ask("GET", "/b").send(),
        serving
    );
    let mut statuses = [one.status, two.status];
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 202], "the queue holds one job at most");
}
