//! Secrets: encrypted on the disk under a master key, and in no output.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::rig::{Ran, Server, first_key, raincheck};

/// A file with a fresh master key, and the key.
fn master_key(folder: &Path, name: &str) -> (PathBuf, String) {
    let key = Ran::of(raincheck().args(["master-key", "new"])).ok();
    assert_eq!(key.len(), 44, "32 bytes in base64: {key}");
    let path = folder.join(name);
    std::fs::write(&path, format!("{key}\n")).expect("the file can be written");
    (path, key)
}

fn text(path: &Path) -> &str {
    path.to_str().expect("temporary folders have plain names")
}

/// What a server signs webhooks with.
fn webhook_secret(server: &Server) -> String {
    server.run(&["webhook", "secret"]).ok()
}

/// `serve` that is expected to end at once.
fn refused(store: &Path, arguments: &[&str]) -> Ran {
    let mut serve = raincheck();
    serve
        .args(["serve", "--listen", "127.0.0.1:0", "--store"])
        .arg(store)
        .args(arguments);
    Ran::of(&mut serve)
}

#[test]
fn a_store_is_encrypted_at_the_first_start_with_a_key_and_opened_with_it_only() {
    let server = Server::start(&[]);
    let secret = webhook_secret(&server);
    let folder = server.stop();
    let (file, _) = master_key(folder.path(), "master.key");
    let server = Server::start_in(folder, &["--master-key-file", text(&file)]);
    assert_eq!(webhook_secret(&server), secret);
    let folder = server.stop();
    let store = folder.path().join("store");
    let without = refused(&store, &[]);
    assert_eq!(without.code, 2, "{without:?}");
    for part in [
        "no master key was given",
        "--master-key-file FILE",
        "RAINCHECK_MASTER_KEY_FILE",
    ] {
        assert!(without.stderr.contains(part), "{part}: {without:?}");
    }
    let (other, _) = master_key(folder.path(), "other.key");
    let wrong = refused(&store, &["--master-key-file", text(&other)]);
    assert_eq!(wrong.code, 2, "{wrong:?}");
    assert!(wrong.stderr.contains("the one that was given is"), "{wrong:?}");
    let mut key = first_key(folder.path());
    let shut_out = Ran::of(&mut key);
    assert_eq!((shut_out.code, shut_out.text()), (2, ""), "{shut_out:?}");
    let made = Ran::of(key.env("RAINCHECK_MASTER_KEY_FILE", &file)).ok();
    let server = Server::start_in(folder, &["--master-key-file", text(&file)]);
    let mut list = server.command(&["key", "list", "-q"]);
    assert_eq!(Ran::of(list.env("RAINCHECK_API_KEY", &made)).ok(), made[4..12]);
    server.stop();
}

#[test]
fn a_master_key_is_replaced_while_the_server_is_stopped() {
    let folder = tempfile::tempdir().unwrap();
    let (old, _) = master_key(folder.path(), "old.key");
    let (new, _) = master_key(folder.path(), "new.key");
    let server = Server::start_in(folder, &["--master-key-file", text(&old)]);
    let secret = webhook_secret(&server);
    let store = server.store();
    let rotate = |old: &Path, new: &Path| {
        let mut rotate = raincheck();
        rotate.args(["master-key", "rotate", "--store"]).arg(&store);
        Ran::of(rotate.arg("--old-file").arg(old).arg("--new-file").arg(new))
    };
    assert_eq!(rotate(&old, &new).code, 7, "its server runs");
    let folder = server.stop();
    assert_eq!(rotate(&new, &new).code, 2);
    let missing = rotate(&old, &folder.path().join("not yet.key"));
    assert_eq!(missing.code, 2, "{missing:?}");
    let way_out = "raincheck master-key new > '";
    assert!(missing.stderr.contains(way_out), "{missing:?}");
    let id = rotate(&old, &new).ok();
    assert_eq!(id.len(), 16, "{id}");
    assert_eq!(refused(&store, &["--master-key-file", text(&old)]).code, 2);
    let (third, _) = master_key(folder.path(), "third.key");
    assert_eq!(rotate(&old, &third).code, 2, "it is under neither");
    let server = Server::start_in(folder, &["--master-key-file", text(&new)]);
    assert_eq!(webhook_secret(&server), secret);
    server.stop();
}

#[test]
fn the_readmes_master_key_is_made_used_and_replaced_in_that_order() {
    let readme = concat!(env!("CARGO_MANIFEST_DIR"), "/../../README.md");
    let readme = std::fs::read_to_string(readme).unwrap();
    let (_, rest) = readme
        .split_once("**Encrypt what the store keeps secret.**")
        .unwrap();
    let block = rest.split("```").nth(1).unwrap();
    let (before, rest) = block.split_once("raincheck serve ").unwrap();
    let (flags, after) = rest.split_once('\n').unwrap();
    let folder = tempfile::tempdir().unwrap();
    let typed = |folder: &Path, lines: &str| {
        let lines = lines
            .trim_start_matches("sh")
            .replace("./raincheck-data", "store");
        let binary = raincheck().get_program().to_str().unwrap().to_owned();
        let mut shell = Command::new("sh");
        shell.args(["-eu", "-c", &lines.replace("raincheck ", &format!("{binary} "))]);
        Ran::of(shell.current_dir(folder)).ok();
    };
    typed(folder.path(), before);
    let flags = flags.split_once(" #").map_or(flags, |(flags, _)| flags);
    let flags: Vec<_> = flags.split_whitespace().collect();
    let folder = Server::start_in(folder, &flags).stop();
    typed(folder.path(), after);
    Server::start_in(folder, &["--master-key-file", "new.key"]).stop();
}

#[test]
fn a_master_key_that_is_none_is_refused_and_not_shown() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("master.key");
    std::fs::write(&path, "hunter2-hunter2\n").unwrap();
    let store = folder.path().join("store");
    let ran = refused(&store, &["--master-key-file", text(&path)]);
    assert_eq!(ran.code, 2, "{ran:?}");
    assert!(
        ran.stderr.contains("raincheck master-key new") && !ran.stderr.contains("hunter2"),
        "{ran:?}"
    );
    let mut serve = raincheck();
    serve
        .args(["serve", "--listen", "127.0.0.1:0", "--store"])
        .arg(&store);
    let ran = Ran::of(serve.env("RAINCHECK_MASTER_KEY", "hunter2-hunter2"));
    assert_eq!(ran.code, 2, "{ran:?}");
    assert!(!ran.stderr.contains("hunter2"), "{ran:?}");
    assert!(!store.exists(), "nothing is made");
    let on_the_command_line = refused(&store, &["--master-key", "x"]);
    assert_eq!(
        on_the_command_line.code, 2,
        "a flag would show it to who lists processes"
    );
}

#[test]
fn the_configuration_shows_that_a_secret_is_set_and_not_what_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let (file, key) = master_key(folder.path(), "master.key");
    std::fs::write(
        folder.path().join("raincheck.toml"),
        format!("master_key_file = {:?}\n", text(&file)),
    )
    .unwrap();
    let show = |command: &mut Command| {
        Ran::of(
            command
                .current_dir(folder.path())
                .args(["config", "show", "--origin"]),
        )
    };
    let by_file = show(&mut raincheck());
    assert!(
        by_file.text().contains("master_key\t(set)\traincheck.toml:1\n"),
        "{by_file:?}"
    );
    let by_variable = show(raincheck().env("RAINCHECK_MASTER_KEY", &key));
    assert!(
        by_variable
            .text()
            .contains("master_key\t(set)\tRAINCHECK_MASTER_KEY\n"),
        "{by_variable:?}"
    );
    for ran in [by_file, by_variable] {
        assert!(
            !ran.text().contains(&key) && !ran.stderr.contains(&key),
            "{ran:?}"
        );
    }
}

/// Every file and folder below.
fn below(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).expect("the folder is there");
    entries.map(|entry| entry.expect("an entry").path()).collect()
}

#[test]
fn nobody_but_its_owner_reads_the_store_whatever_the_umask() {
    let server = Server::start_by(
        &["/bin/sh", "-c", "umask 000; exec \"$0\" \"$@\""],
        &["--queue", "q", "--dev"],
    );
    server.submit(&["q", "x=1"]);
    let mode = |path: &Path| std::fs::metadata(path).expect("it is there").permissions().mode() & 0o777;
    let store = server.store();
    assert_eq!(mode(&store), 0o700);
    let files = below(&store);
    assert!(
        files.iter().any(|path| path.ends_with("raincheck.db-wal")),
        "{files:?}"
    );
    for path in files {
        assert_eq!(mode(&path), 0o600, "{}", path.display());
    }
    server.stop();
}

#[test]
fn no_secret_is_in_what_a_server_and_its_commands_say_at_debug_level() {
    let folder = tempfile::tempdir().unwrap();
    let (file, master) = master_key(folder.path(), "master.key");
    let mut create = first_key(folder.path());
    let key = Ran::of(create.env("RAINCHECK_MASTER_KEY", &master)).ok();
    let server = Server::start_in(
        folder,
        &[
            "--master-key-file",
            text(&file),
            "--queue",
            "q",
            "--log",
            "trace",
            "--log-format",
            "text",
        ],
    );
    let secret = server.by(&key, &["webhook", "secret"]).ok();
    let rotated = server.by(&key, &["webhook", "rotate", "--yes"]).ok();
    let worker = server
        .by(
            &key,
            &["key", "create", "gpu", "--scope", "work", "--scope", "submit"],
        )
        .ok();
    let mut said = String::new();
    let planted = "planted-input-7d1f";
    for arguments in [
        &["submit", "q", "x=planted-input-7d1f"][..],
        &[
            "submit",
            "q",
            "x=1",
            "--callback",
            "http://127.0.0.1:9/hook?token=planted-query-7d1f",
        ],
        &["work", "q", "--exit-when-empty", "--", "cat"],
        &["job", "list"],
        &["audit", "list"],
        &["key", "list"],
        &["queue", "list"],
        &["config", "show"],
    ] {
        for key in [&key, &worker, &key[..61].to_owned()] {
            let ran = server.by(key, arguments);
            said.push_str(&ran.stderr);
            if !arguments.contains(&"work") {
                said.push_str(ran.text());
            }
        }
    }
    let folder = server.folder().join("client.key");
    std::fs::write(&folder, &key).unwrap();
    let mut list = server.command(&["key", "revoke", &worker[4..12], "--yes"]);
    let revoked = Ran::of(list.env("RAINCHECK_API_KEY_FILE", &folder));
    assert_eq!(revoked.code, 0, "{revoked:?}");
    said.push_str(&revoked.stderr);
    server.signal("TERM");
    let (status, log, _folder) = server.ended();
    assert!(status.success(), "{log}");
    assert!(log.contains("DEBUG"), "it says what it can: {log}");
    said.push_str(&log);
    let whsec = |text: &str| text.trim_start_matches("whsec_").to_owned();
    for (what, secret) in [
        ("the master key", master),
        ("a key", key[13..].to_owned()),
        ("a key", worker[13..].to_owned()),
        ("the signing secret", whsec(&rotated)),
        ("the former one", whsec(&secret)),
        ("an input", planted.to_owned()),
    ] {
        let place = said.find(&secret).map(|at| &said[at.saturating_sub(200)..at]);
        assert_eq!(place, None, "{what}");
    }
}
