//! API keys: from the first on nothing is let in without one.

mod audit;
mod guests;
mod held;
mod matrix;
mod queues;
mod throttling;

use serde_json::{Value, json};

use crate::client::{Answer, Ask};
use crate::harness::{Server, queue};
use raincheck::core::key::{Grants, KeyId, Token};
use raincheck::core::name::{KeyName, Namespace};
use raincheck::core::queue::QueueSpec;
use raincheck::core::secret::Secret;
use raincheck::keys::KeyWish;

/// A server with keys, and one that may do everything.
pub(crate) struct Locked {
    pub(crate) server: Server,
    pub(crate) root: String,
}

impl Locked {
    pub(crate) async fn start() -> Self {
        Self::lock(Server::start().await).await
    }

    /// Makes the first key.
    pub(crate) async fn lock(server: Server) -> Self {
        let wish = KeyWish {
            name: KeyName::new("root").unwrap(),
            grants: Grants::everything(),
            valid_for: None,
        };
        let made = server.node.create_key(&Namespace::default(), wish).await;
        let (_, token) = made.unwrap().unwrap();
        Self {
            server,
            root: token.reveal(),
        }
    }

    pub(crate) fn by(&self, key: &str, method: &str, path: &str) -> Ask {
        let ask = self.server.ask(method, path);
        ask.header("authorization", &format!("Bearer {key}"))
    }

    /// Asks with the key that may do everything.
    pub(crate) fn root(&self, method: &str, path: &str) -> Ask {
        self.by(&self.root, method, path)
    }

    /// Makes a key and gives back its secret.
    pub(crate) async fn key(&self, wish: Value) -> String {
        let made = self.root("POST", "/v1/keys").json(&wish.to_string()).send().await;
        assert_eq!(made.status, 201, "{made:?}");
        made.json()["key"].as_str().unwrap().to_owned()
    }

    /// A key with these scopes for all queues.
    pub(crate) async fn with_scopes(&self, scopes: &[&str]) -> String {
        self.key(json!({"name": "k", "scopes": scopes})).await
    }

    /// A key of another namespace, in which there is a queue `thumbs` as well.
    pub(crate) async fn stranger(&self) -> String {
        let ns = Namespace::new("stranger").unwrap();
        let thumbs = queue("thumbs");
        let put = self
            .server
            .node
            .put_queue(&ns, &thumbs, QueueSpec::default(), false);
        put.await.unwrap().unwrap();
        self.key(json!({"name": "k", "scopes": ["admin"], "namespace": "stranger"}))
            .await
    }
}

fn unauthenticated(answer: &Answer) {
    assert_eq!(
        (answer.status, answer.code().as_str()),
        (401, "unauthenticated"),
        "{answer:?}"
    );
    assert_eq!(
        answer.header("www-authenticate"),
        Some("Bearer realm=\"raincheck\"")
    );
}

fn id_of(key: &str) -> &str {
    &key[4..12]
}

#[tokio::test]
async fn from_the_first_key_on_nothing_is_let_in_without_one() {
    let server = Server::start().await;
    let refused = server
        .post("/v1/keys")
        .json(r#"{"name":"ci","scopes":["submit"]}"#)
        .send()
        .await;
    assert_eq!((refused.status, refused.code().as_str()), (409, "last-admin-key"));
    assert_eq!(
        server.submit("still open").await.len(),
        30,
        "what was refused changed nothing"
    );
    let made = server
        .post("/v1/keys")
        .json(r#"{"name":"ops","scopes":["admin"],"expires_in":"90d"}"#)
        .send()
        .await;
    assert_eq!(
        (made.status, made.header("cache-control")),
        (201, Some("no-store"))
    );
    let document = made.json();
    let key = document["key"].as_str().unwrap();
    assert!(Token::read(key.as_bytes()).is_some(), "{key}");
    assert_eq!(document["id"], id_of(key));
    assert_eq!(
        (
            &document["name"],
            &document["namespace"],
            &document["scopes"],
            &document["queues"]
        ),
        (&json!("ops"), &json!("default"), &json!(["admin"]), &json!([]))
    );
    unauthenticated(&server.get("/v1/jobs").send().await);
    let locked = Locked {
        root: key.to_owned(),
        server,
    };
    assert_eq!(locked.root("GET", "/v1/jobs").send().await.status, 200);
    let restarted = locked.server.restarted().await;
    unauthenticated(&restarted.get("/v1/jobs").send().await);
    let locked = Locked {
        root: locked.root,
        server: restarted,
    };
    assert_eq!(locked.root("GET", "/v1/jobs").send().await.status, 200);
}

#[tokio::test]
async fn a_secret_is_shown_once_and_a_list_shows_the_rest() {
    let locked = Locked::start().await;
    let key = locked
        .key(json!({"name": "ci", "scopes": ["read", "submit"], "queues": ["thumbs*"], "expires_in": "1h"}))
        .await;
    let listed = locked.root("GET", "/v1/keys").send().await;
    assert_eq!(listed.status, 200);
    assert!(!listed.text().contains(&key) && !listed.text().contains(&key[13..]));
    let keys = listed.json();
    let shown = &keys["keys"][1];
    assert_eq!(
        (&shown["id"], &shown["scopes"], &shown["queues"]),
        (
            &json!(id_of(&key)),
            &json!(["submit", "read"]),
            &json!(["thumbs*"])
        )
    );
    assert!(shown["expires_at"].is_string() && shown["last_used_at"].is_null());
    assert_eq!(keys["keys"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn a_revoked_key_opens_nothing_from_the_answer_on() {
    let locked = Locked::start().await;
    let key = locked.with_scopes(&["read"]).await;
    assert_eq!(locked.by(&key, "GET", "/v1/jobs").send().await.status, 200);
    let path = format!("/v1/keys/{}", id_of(&key));
    let revoked = locked.root("DELETE", &path).send().await;
    assert_eq!((revoked.status, revoked.text()), (204, ""));
    unauthenticated(&locked.by(&key, "GET", "/v1/jobs").send().await);
    let again = locked.root("DELETE", &path).send().await;
    assert_eq!((again.status, again.code().as_str()), (404, "unknown-key"));
}

#[tokio::test]
async fn the_last_admin_key_stays() {
    let locked = Locked::start().await;
    let path = format!("/v1/keys/{}", id_of(&locked.root));
    let refused = locked.root("DELETE", &path).send().await;
    assert_eq!((refused.status, refused.code().as_str()), (409, "last-admin-key"));
    let other = locked.with_scopes(&["admin"]).await;
    assert_eq!(locked.root("DELETE", &path).send().await.status, 204);
    unauthenticated(&locked.root("GET", "/v1/jobs").send().await);
    assert_eq!(locked.by(&other, "GET", "/v1/keys").send().await.status, 200);
}

#[tokio::test]
async fn whatever_is_wrong_with_a_key_the_answer_is_the_same() {
    let locked = Locked::start().await;
    let revoked = locked.with_scopes(&["read"]).await;
    locked
        .root("DELETE", &format!("/v1/keys/{}", id_of(&revoked)))
        .send()
        .await;
    let token = Token::read(locked.root.as_bytes()).unwrap();
    let other_secret = Token {
        id: token.id,
        secret: Secret::new([7; 32]),
    };
    let unknown = Token {
        id: KeyId::new(7),
        secret: token.secret,
    };
    let no_key = locked.server.get("/v1/jobs").send().await;
    unauthenticated(&no_key);
    let said = |answer: &Answer| {
        let mut problem = answer.json();
        problem.as_object_mut().unwrap().remove("request_id");
        problem
    };
    for wrong in [
        &revoked,
        &other_secret.reveal(),
        &unknown.reveal(),
        "",
        "rck_",
        &locked.root[..61],
        &locked.root.to_uppercase(),
    ] {
        let answer = locked.by(wrong, "GET", "/v1/jobs").send().await;
        unauthenticated(&answer);
        assert_eq!(said(&answer), said(&no_key), "{wrong}");
    }
    for header in [
        format!("Basic {}", locked.root),
        locked.root.clone(),
        format!("Bearer{}", locked.root),
    ] {
        let answer = locked.server.get("/v1/jobs").header("authorization", &header);
        unauthenticated(&answer.send().await);
    }
    for query in ["key", "api_key", "access_token", "authorization"] {
        let path = format!("/v1/jobs?{query}={}", locked.root);
        unauthenticated(&locked.server.get(&path).send().await);
    }
}

#[tokio::test]
async fn an_address_with_many_wrong_keys_is_told_to_wait_and_right_ones_still_open() {
    let locked = Locked::start().await;
    let mut told = Vec::new();
    for _ in 0..22 {
        let answer = locked.by("rck_wrong", "GET", "/v1/jobs").send().await;
        told.push(answer.status);
        if answer.status == 429 {
            assert_eq!(answer.code(), "rate-limited");
            let wait: u64 = answer.header("retry-after").unwrap().parse().unwrap();
            assert!((1..=3).contains(&wait), "{wait}");
        }
    }
    assert!(told[..20].iter().all(|status| *status == 401), "{told:?}");
    assert!(told.contains(&429), "{told:?}");
    assert_eq!(locked.root("GET", "/v1/jobs").send().await.status, 200);
    unauthenticated(&locked.server.get("/v1/jobs").send().await);
}

#[tokio::test]
async fn a_key_that_makes_keys_makes_them_for_its_own_namespace() {
    let locked = Locked::start().await;
    let stranger = locked.stranger().await;
    let make = |wish: Value| {
        locked
            .by(&stranger, "POST", "/v1/keys")
            .json(&wish.to_string())
            .send()
    };
    let own = make(json!({"name": "own", "scopes": ["read"]})).await;
    assert_eq!((own.status, &own.json()["namespace"]), (201, &json!("stranger")));
    let others = make(json!({"name": "x", "scopes": ["admin"], "namespace": "default"})).await;
    assert_eq!((others.status, others.code().as_str()), (403, "forbidden"));
    let listed = locked.by(&stranger, "GET", "/v1/keys").send().await.json();
    assert_eq!(listed["keys"].as_array().unwrap().len(), 2);
    let of_root = format!("/v1/keys/{}", id_of(&locked.root));
    let foreign = locked.by(&stranger, "DELETE", &of_root).send().await;
    let absent = locked.by(&stranger, "DELETE", "/v1/keys/aaaaaaaa").send().await;
    assert_eq!((foreign.status, foreign.code()), (absent.status, absent.code()));
}

#[tokio::test]
async fn only_administrators_of_the_server_act_in_another_namespace() {
    let locked = Locked::start().await;
    let stranger = locked.stranger().await;
    let submitted = locked
        .root("POST", "/v1/queues/thumbs/jobs")
        .header("raincheck-namespace", "stranger")
        .body("x")
        .send()
        .await;
    assert_eq!(submitted.status, 202, "{submitted:?}");
    let path = format!("/v1/jobs/{}", submitted.job());
    assert_eq!(locked.root("GET", &path).send().await.status, 404);
    assert_eq!(locked.by(&stranger, "GET", &path).send().await.status, 200);
    let malformed = locked
        .root("GET", "/v1/jobs")
        .header("raincheck-namespace", "a/b");
    assert_eq!(malformed.send().await.code(), "bad-request");
    let some_queues = locked
        .key(json!({"name": "k", "scopes": ["admin"], "queues": ["*"]}))
        .await;
    for key in [
        &stranger,
        &locked.with_scopes(&["submit", "read"]).await,
        &some_queues,
    ] {
        let refused = locked
            .by(key, "GET", "/v1/jobs")
            .header("raincheck-namespace", "default");
        let refused = refused.send().await;
        assert_eq!((refused.status, refused.code().as_str()), (403, "forbidden"));
    }
    let open = Server::start().await;
    let refused = open
        .get("/v1/jobs")
        .header("raincheck-namespace", "default")
        .send()
        .await;
    assert_eq!((refused.status, refused.code().as_str()), (403, "forbidden"));
}
