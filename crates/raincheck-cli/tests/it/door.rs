//! By what addresses a server is reached, and how it refuses to be an open one.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use rcgen::{CertificateParams, KeyPair};

use crate::rig::{Ran, Server, raincheck};

/// A certificate for localhost that vouches for itself, and its key, in `cert.pem` and `key.pem`.
pub(crate) fn certify(folder: &Path) {
    let key = KeyPair::generate().expect("a key can be made");
    let params = CertificateParams::new(vec!["localhost".to_owned()]).expect("a name");
    let cert = params.self_signed(&key).expect("a certificate can be made");
    for (name, text) in [("cert.pem", cert.pem()), ("key.pem", key.serialize_pem())] {
        // Renamed into place, as those do who renew certificates.
        std::fs::write(folder.join("fresh"), text).expect("a file can be written");
        std::fs::rename(folder.join("fresh"), folder.join(name)).expect("a file can be renamed");
    }
}

fn curl(folder: &Path, words: &[&str]) -> Ran {
    Ran::of(
        Command::new("curl")
            .args(["-s", "--max-time", "30"])
            .args(words)
            .current_dir(folder),
    )
}

/// A server that should refuse to start; one that does not is ended.
fn serve(folder: &Path, words: &[&str]) -> Ran {
    serve_with(folder, words, &[])
}

fn serve_with(folder: &Path, words: &[&str], variables: &[(&str, &str)]) -> Ran {
    let binary = raincheck();
    let mut command = Command::new("timeout");
    for (name, _) in binary.get_envs() {
        command.env_remove(name);
    }
    command
        .arg("30")
        .arg(binary.get_program())
        .arg("serve")
        .args(words);
    Ran::of(command.envs(variables.iter().copied()).current_dir(folder))
}

pub(crate) const TLS: [&str; 4] = ["--tls-cert", "cert.pem", "--tls-key", "key.pem"];

#[test]
fn an_address_that_others_can_reach_is_refused_without_a_safe_way_and_a_key() {
    let folder = tempfile::tempdir().unwrap();
    certify(folder.path());
    let before = std::fs::read_dir(folder.path()).unwrap().count();
    for address in ["0.0.0.0:0", "[::]:0", "192.0.2.1:0"] {
        let ran = serve(folder.path(), &["--listen", address]);
        assert_eq!(ran.code, 2, "{address}: {ran:?}");
        assert!(
            ran.stderr.contains("refusing to listen on") && ran.stderr.contains("--tls-cert"),
            "{ran:?}"
        );
        for way in [&TLS[..], &["--behind-proxy", "10.0.0.0/8"], &["--insecure-http"]] {
            let ran = serve(folder.path(), &[&["--listen", address], way].concat());
            assert_eq!(ran.code, 2, "{address}: {ran:?}");
            assert!(ran.stderr.contains("there is no API key"), "{ran:?}");
        }
    }
    let ran = serve(folder.path(), &["--behind-proxy", "10.0.0.0/8"]);
    assert!(
        ran.stderr.contains("there is no API key"),
        "a proxy lets others in: {ran:?}"
    );
    let ran = Ran::of(
        raincheck()
            .arg("serve")
            .env("PORT", "0")
            .current_dir(folder.path()),
    );
    assert!(ran.stderr.contains("refusing to listen on 0.0.0.0:0"), "{ran:?}");
    assert_eq!(
        std::fs::read_dir(folder.path()).unwrap().count(),
        before,
        "nothing was made"
    );
}

#[test]
fn a_certificate_without_its_key_ends_the_start() {
    let folder = tempfile::tempdir().unwrap();
    certify(folder.path());
    let key = folder.path().join("key.pem");
    let ran = serve(folder.path(), &["--tls-cert", "cert.pem"]);
    assert!(ran.code == 2 && ran.stderr.contains("go together"), "{ran:?}");
    let ran = serve(
        folder.path(),
        &["--tls-cert", "cert.pem", "--tls-key", "cert.pem"],
    );
    assert!(
        ran.code == 2 && ran.stderr.contains("cert.pem holds no private key"),
        "{ran:?}"
    );
    std::fs::write(&key, KeyPair::generate().unwrap().serialize_pem()).unwrap();
    let ran = serve(folder.path(), &TLS);
    assert!(
        ran.code == 2 && ran.stderr.contains("cannot be used together"),
        "{ran:?}"
    );
}

#[test]
fn tls_is_spoken_and_a_certificate_that_changes_is_followed() {
    let folder = tempfile::tempdir().unwrap();
    certify(folder.path());
    let server = Server::start_in(folder, &TLS);
    let url = server.url.replace("127.0.0.1", "localhost") + "/healthz";
    let ask = |version: &str| {
        curl(
            server.folder(),
            &[
                "--cacert",
                "cert.pem",
                version,
                "-w",
                "%{http_version}",
                "-o",
                "out",
                &url,
            ],
        )
    };
    assert!(url.starts_with("https://"), "{url}");
    assert_eq!(ask("--http2").ok(), "2");
    assert_eq!(ask("--http1.1").ok(), "1.1");
    certify(server.folder());
    server.logged("the certificate was read again", 1);
    assert_eq!(ask("--http2").ok(), "2");
    let kept = std::fs::read(server.folder().join("cert.pem")).unwrap();
    std::fs::write(server.folder().join("cert.pem"), "nothing").unwrap();
    server.logged("the certificate is left as it was", 1);
    server.signal("HUP");
    server.logged("the configuration is left as it was", 1);
    std::fs::write(server.folder().join("good.pem"), kept).unwrap();
    let ran = curl(server.folder(), &["--cacert", "good.pem", "-o", "out", &url]);
    assert_eq!(ran.code, 0, "{ran:?}");
    server.stop();
}

#[test]
fn a_local_socket_is_this_users_alone_and_goes_with_its_server() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start_in(folder, &["--listen", "127.0.0.1:0,unix:s.sock", "--dev"]);
    let socket = server.folder().join("s.sock");
    let mode = std::fs::metadata(&socket).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let post = [
        "--unix-socket",
        "s.sock",
        "http://localhost/v1/queues/q/jobs",
        "-d",
        "x",
        "-o",
        "out",
        "-w",
        "%{http_code}",
    ];
    assert_eq!(curl(server.folder(), &post).ok(), "202");
    let ran = serve(server.folder(), &["--listen", "unix:s.sock", "--store", "other"]);
    assert!(ran.code == 7 && ran.stderr.contains("is in use"), "{ran:?}");
    let folder = server.kill();
    assert!(socket.exists(), "left behind");
    let server = Server::start_in(folder, &["--listen", "unix:s.sock"]);
    assert_eq!(server.url, "unix:s.sock");
    server.stop();
    assert!(!socket.exists());
}

#[test]
fn commands_trust_the_authority_that_is_named_and_no_other() {
    let folder = tempfile::tempdir().unwrap();
    certify(folder.path());
    let server = Server::start_in(folder, &TLS);
    let url = server.url.replace("127.0.0.1", "localhost");
    let list = |more: &[&str]| server.run(&[&["queue", "list", "--json", "--url", &url], more].concat());
    let ran = list(&[]);
    assert_eq!(ran.code, 69, "{ran:?}");
    assert!(
        ran.stderr.contains("UnknownIssuer") || ran.stderr.contains("invalid peer certificate"),
        "{ran:?}"
    );
    assert_eq!(list(&["--ca-file", "cert.pem"]).ok(), "[]");
    for (file, why) in [
        ("nowhere.pem", "--ca-file: nowhere.pem"),
        ("key.pem", "it has no certificate"),
    ] {
        let ran = list(&["--ca-file", file]);
        assert_eq!(ran.code, 2, "{ran:?}");
        assert!(ran.stderr.contains(why), "{ran:?}");
    }
    server.stop();
}
