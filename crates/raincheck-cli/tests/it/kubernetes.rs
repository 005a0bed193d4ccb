//! What `deploy/kubernetes`, the image and the guide say to each other: a pod as typed there is told what it is probed and asked at.
//!
//! Invariant: no cluster is needed; what the server would be started with is read from the server itself.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::fs;
use std::net::SocketAddr;
use std::path::Path;

use serde_json::Value as Json;

use crate::guides::{file, heredoc};
use crate::rig::{Ran, Server, raincheck};

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../");
/// The guide.
const PAGE: &str = "kubernetes.md";
/// Where the manifests mount the configuration.
const MOUNTED: &str = "/etc/raincheck/raincheck.toml";

fn read(path: &str) -> String {
    fs::read_to_string(format!("{ROOT}{path}")).unwrap()
}

/// What stands between `before` and `after`, the first time.
fn between<'a>(text: &'a str, before: &str, after: &str) -> &'a str {
    let found = text.split_once(before);
    let (_, rest) = found.unwrap_or_else(|| panic!("{before:?} is not in {text}"));
    rest.split_once(after).unwrap().0
}

/// The values of a list that stands in one line: `[a, "b"]`.
fn list(text: &str) -> Vec<&str> {
    let parts = text.split(',').map(|part| part.trim().trim_matches('"'));
    parts.filter(|part| !part.is_empty()).collect()
}

/// The variables that the image sets.
fn image_variables() -> Vec<(String, String)> {
    let image = read("deploy/container/Containerfile");
    let lines = image.lines().filter_map(|line| line.strip_prefix("ENV "));
    let set = lines.flat_map(str::split_whitespace);
    set.map(|set| set.split_once('=').unwrap())
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}

/// Those that the pod's container sets above them.
fn pod_variables() -> Vec<(String, String)> {
    let pod = read("deploy/kubernetes/statefulset.yaml");
    let lines = pod
        .lines()
        .filter_map(|line| line.trim().strip_prefix("- { name: "));
    let set = lines.filter_map(|line| line.strip_suffix(" }")?.split_once(", value: "));
    set.map(|(name, value)| (name.to_owned(), value.trim_matches('"').to_owned()))
        .collect()
}

/// What the server of the pod would be started with, where this is its `raincheck.toml`.
fn effective(toml: &str) -> Json {
    let folder = tempfile::tempdir().unwrap();
    let told = folder.path().join("raincheck.toml");
    fs::write(&told, toml).unwrap();
    let here = |word: &str| word.replace(MOUNTED, told.to_str().unwrap());
    let pod = read("deploy/kubernetes/statefulset.yaml");
    let words = list(between(&pod, "args: [", "]"));
    assert_eq!(words[0], "serve");
    let mut show = raincheck();
    show.args(["config", "show", "--json"])
        .args(words[1..].iter().map(|word| here(word)));
    for (name, value) in image_variables().into_iter().chain(pod_variables()) {
        show.env(name, here(&value));
    }
    Ran::of(show.current_dir(&folder)).json()["settings"].take()
}

/// The base's own configuration, and the one with which the guide replaces it.
fn configurations() -> [String; 2] {
    [
        read("deploy/kubernetes/raincheck.toml"),
        heredoc(PAGE, "raincheck.toml"),
    ]
}

#[test]
fn a_pod_listens_where_its_probes_and_its_service_look() {
    let pod = read("deploy/kubernetes/statefulset.yaml");
    let port = between(&pod, "containerPort: ", "\n");
    assert!(pod.contains("- name: http\n              containerPort: "));
    assert_eq!(pod.matches("port: http }").count(), 3, "three probes, one port");
    assert!(read("deploy/kubernetes/service.yaml").contains("targetPort: http\n"));
    for toml in configurations() {
        let settings = effective(&toml);
        let listens = settings["listen"].as_array().unwrap();
        let open = listens.iter().any(|listen| {
            let listen: SocketAddr = listen.as_str().unwrap().parse().unwrap();
            // A pod's loopback is reached by nobody: neither the kubelet nor the Service.
            listen.ip().is_unspecified() && listen.port().to_string() == port
        });
        assert!(open, "{toml}\nlistens on {listens:?}, is probed at {port}");
        assert_ne!(settings["behind_proxy"], Json::Array(Vec::new()), "{toml}");
    }
}

#[test]
fn the_key_is_made_in_the_store_that_the_pod_opens() {
    let pod = read("deploy/kubernetes/statefulset.yaml");
    let mounted = between(&pod, "- name: data\n              mountPath: ", "\n").to_owned() + "/";
    let key = file(PAGE, "key.yaml");
    let made = list(between(&key, "args: [", "]"));
    let store = made.iter().position(|word| *word == "--store").unwrap();
    let store = made[store + 1];
    assert!(store.starts_with(&mounted), "{store} is not in the volume");
    assert!(key.contains(&format!("mountPath: {} }}", mounted.trim_end_matches('/'))));
    for toml in configurations() {
        assert_eq!(effective(&toml)["store"], store, "{toml}");
    }
    // An image that is run by hand keeps it in the same place, and says so.
    let variables = image_variables();
    let image = variables
        .iter()
        .find(|(name, _)| name == "RAINCHECK_STORE")
        .unwrap();
    assert_eq!(image.1, store);
    let head = read("deploy/container/Containerfile");
    assert_eq!(between(&head, "--scope admin --store ", "\n"), store);
}

/// Where the volume would be mounted, on this machine.
fn here(folder: &Path, store: &str) -> String {
    let name = Path::new(store).file_name().unwrap();
    folder.join(name).to_str().unwrap().to_owned()
}

#[test]
fn the_server_of_the_guide_starts_with_the_key_of_the_guide() {
    let key = file(PAGE, "key.yaml");
    let folder = tempfile::tempdir().unwrap();
    let made: Vec<_> = list(between(&key, "args: [", "]"))
        .into_iter()
        .map(|word| match word.strip_prefix("/data/") {
            Some(_) => here(folder.path(), word),
            None => word.to_owned(),
        })
        .collect();
    let key = Ran::of(raincheck().args(&made)).ok();
    assert!(key.starts_with("rck_"), "{key}");
    let told = folder.path().join("raincheck.toml");
    fs::write(&told, heredoc(PAGE, "raincheck.toml")).unwrap();
    let mut serve = raincheck();
    serve.env("RAINCHECK_CONFIG", told);
    let server = Server::start_as(serve, folder, &[]);
    assert!(server.by(&key, &["queue", "list"]).ok().contains("shrink\t"));
    server.stop();
}

#[test]
fn the_worker_of_the_guide_asks_the_port_of_the_service() {
    let service = read("deploy/kubernetes/service.yaml");
    let port = between(&service, "port: ", "\n");
    let worker = file(PAGE, "worker.yaml");
    let url = between(&worker, "RAINCHECK_URL, value: \"", "\"");
    let url: http::Uri = url.parse().unwrap();
    assert_eq!(url.host(), Some(between(&service, "name: ", "\n")));
    assert_eq!(url.port_u16().unwrap_or(80).to_string(), port);
}

#[test]
fn what_is_typed_on_the_page_names_the_namespace_and_one_image() {
    let page = read(&format!("docs/guides/src/{PAGE}"));
    let typed = page.lines().filter(|line| line.starts_with("kubectl"));
    for line in typed {
        // A manifest says it itself, and the namespace is in none.
        let said = [
            "-n jobs",
            "-f key.yaml",
            "-f worker.yaml",
            "-k .",
            "create namespace",
        ];
        assert!(said.iter().any(|said| line.contains(said)), "{line}");
    }
    for manifest in ["key.yaml", "worker.yaml"] {
        assert!(file(PAGE, manifest).contains("namespace: jobs\n"), "{manifest}");
    }
    let server = "registry.example/raincheck:0.1.0";
    assert!(page.contains(&format!("-t {server} .")));
    assert!(file(PAGE, "key.yaml").contains(&format!("image: {server}\n")));
    let built = file(PAGE, "shrink.Containerfile");
    assert!(built.contains(&format!("COPY --from={server} /raincheck ")));
    assert!(read("deploy/container/Containerfile").contains(" /image/raincheck /raincheck\n"));
}

#[test]
fn nothing_large_or_secret_of_a_checkout_goes_into_the_image() {
    // docker reads no other file; podman and buildah read it, too, where there is no .containerignore.
    let left_out = read(".dockerignore");
    for path in ["target", ".git"] {
        assert!(left_out.lines().any(|line| line == path), "{path}");
    }
    assert!(!Path::new(ROOT).join(".containerignore").exists());
}
