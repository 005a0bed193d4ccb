//! What programs may take, where they work and as whom, with real programs under the real binary.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::rig::{Ran, Server, raincheck, started_by, until};

/// A server with this file, and a place for temporary files of its own.
fn server(file: &str, arguments: &[&str]) -> Server {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("tmp")).unwrap();
    std::fs::write(folder.path().join("raincheck.toml"), file).unwrap();
    again(folder, arguments)
}

fn again(folder: TempDir, arguments: &[&str]) -> Server {
    let mut command = raincheck();
    command.env("TMPDIR", folder.path().join("tmp"));
    Server::start_as(command, folder, arguments)
}

/// A queue that runs this without a shell, once, and what else is said of it.
fn queue(name: &str, argv: &[&str], more: &str) -> String {
    let argv = serde_json::to_string(argv).unwrap();
    format!("[queues.{name}]\nworker = {{ process = {argv} }}\nmax_attempts = 1\n{more}\n")
}

fn shell(name: &str, script: &str, more: &str) -> String {
    queue(name, &["sh", "-c", script], more)
}

/// What a job of this queue prints.
fn printed(server: &Server, queue: &str) -> String {
    server.run(&["submit", queue, "--wait"]).ok()
}

/// Why a job of this queue fails.
fn failure(server: &Server, queue: &str) -> String {
    let id = server.submit(&[queue]);
    server.until(&id, "failed");
    let job = server.run(&["job", "get", &id, "--json"]).json();
    job["error"]["detail"].as_str().unwrap().to_owned()
}

/// What servers and workers left where temporary files lie.
fn left(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder.join("tmp")).expect("the folder is there");
    entries
        .map(|entry| entry.expect("the folder can be read").path())
        .collect()
}

#[test]
fn a_program_that_takes_more_than_it_may_fails_and_its_job_says_why() {
    let many = [["paste"].as_slice(), &["/dev/null"; 40]].concat();
    let file = [
        shell("cpu", "while :; do :; done", "program_cpu = \"1s\""),
        queue(
            "memory",
            &["tail", "-n", "1", "/dev/zero"],
            "program_memory = \"64MiB\"",
        ),
        queue("files", &many, "program_open_files = 16"),
        queue(
            "size",
            &["dd", "if=/dev/zero", "of=big", "bs=64k"],
            "program_file_size = \"256KiB\"",
        ),
        shell(
            "within",
            "cat /dev/zero > bigger; exit",
            "program_file_size = \"256KiB\"",
        ),
        shell("free", "ulimit -t -v -f", ""),
    ];
    let server = server(&file.concat(), &[]);
    let cpu = "the program was ended by signal 24 (SIGXCPU) (it took more CPU time than its limit of 1s)";
    assert_eq!(failure(&server, "cpu"), cpu);
    let memory = failure(&server, "memory");
    assert!(
        memory.contains("exited with code 1: ") && memory.contains("memory exhausted"),
        "{memory}"
    );
    let files = failure(&server, "files");
    assert!(
        files.contains("exited with code 1: ") && files.contains("Too many open files"),
        "{files}"
    );
    let size =
        "the program was ended by signal 25 (SIGXFSZ) (it wrote a larger file than its limit of 256KiB)";
    assert_eq!(failure(&server, "size"), size);
    assert_eq!(
        std::fs::metadata(server.folder().join("big")).unwrap().len(),
        256 << 10
    );
    let within = failure(&server, "within");
    assert!(
        within.contains("code 153 (it wrote a larger file than its limit of 256KiB)"),
        "{within}"
    );
    server.stop();
}

#[test]
fn limits_of_all_programs_hold_for_every_queue_that_says_none_of_its_own() {
    let file = [
        "program_open_files = 64\n".to_owned(),
        shell("shared", "ulimit -n; ulimit -t", ""),
        shell("own", "ulimit -n; ulimit -t", "program_open_files = 32"),
    ];
    let server = server(
        &file.concat(),
        &["--program-cpu", "90s", "--set", "shared.program_cpu=none"],
    );
    assert_eq!(printed(&server, "shared"), "64\nunlimited");
    assert_eq!(printed(&server, "own"), "32\n90");
    // Nobody says them over the API.
    let refused = server.run(&["queue", "set", "other", "program_cpu=1s"]);
    assert!(
        refused.code != 0 && refused.stderr.contains("program_cpu"),
        "{refused:?}"
    );
    // The next program follows what the file says now.
    let now = [file[1].as_str(), &file[2].replace("= 32", "= 48")].concat();
    std::fs::write(server.folder().join("raincheck.toml"), now).unwrap();
    server.signal("HUP");
    server.logged("the configuration was read again", 1);
    assert_eq!(printed(&server, "own"), "48\n90");
    server.stop();
}

#[test]
fn each_attempt_has_a_folder_to_itself_which_goes_with_it() {
    let look =
        "pwd; echo $TMPDIR; stat -c %a $TMPDIR; touch $TMPDIR/left; mkdir -p $TMPDIR/a/b; chmod 0 $TMPDIR/a";
    let file = [
        shell("here", look, ""),
        shell("private", look, "program_folder = \"private\""),
        shell("fixed", look, "program_folder = \"tmp\"\nprogram_open_files = 64"),
    ];
    let server = server(&file.concat(), &[]);
    let here = std::fs::canonicalize(server.folder()).unwrap();
    let mut seen = Vec::new();
    for (queue, place) in [
        ("here", Some(here.clone())),
        ("private", None),
        ("fixed", Some(here.join("tmp"))),
    ] {
        let told = printed(&server, queue);
        let lines: Vec<_> = told.lines().collect();
        let [workplace, own, "700"] = lines[..] else {
            panic!("{queue}: {told}")
        };
        let own = PathBuf::from(own);
        let place = place.unwrap_or_else(|| {
            std::fs::canonicalize(own.parent().unwrap())
                .unwrap()
                .join(own.file_name().unwrap())
        });
        assert_eq!(Path::new(workplace), place, "{queue}");
        assert!(!own.exists(), "{queue}: {told}");
        assert!(!seen.contains(&own), "{queue}: {told}");
        seen.push(own);
    }
    let folder = server.stop();
    assert!(left(folder.path()).is_empty(), "{:?}", left(folder.path()));
}

#[test]
fn what_a_killed_server_left_of_its_programs_goes_with_the_next_start() {
    let file = shell(
        "q",
        "echo $TMPDIR > where.new; touch $TMPDIR/left; mv where.new where; exec sleep 1000",
        "",
    );
    let server = server(&file, &[]);
    server.submit(&["q"]);
    let told = server.folder().join("where");
    until("the program's start", || told.exists());
    let own = PathBuf::from(std::fs::read_to_string(told).unwrap().trim());
    assert!(own.join("left").exists());
    let folder = server.kill();
    assert!(own.join("left").exists());
    let server = again(folder, &[]);
    assert!(!own.exists());
    assert_eq!(left(server.folder()).len(), 1, "its own");
    server.stop();
}

#[test]
fn no_program_leaves_a_core_or_gains_privileges_unless_it_may() {
    let look = shell(
        "q",
        "ulimit -c; grep NoNewPrivs /proc/self/status | tr -d '\\t'",
        "",
    );
    let server = self::server(&look, &[]);
    assert_eq!(printed(&server, "q"), "0\nNoNewPrivs:1");
    server.stop();
    let server = self::server(&look, &["--program-new-privileges"]);
    assert_eq!(printed(&server, "q"), "0\nNoNewPrivs:0");
    server.stop();
}

#[test]
fn programs_run_as_another_user_where_root_says_so_and_nowhere_else() {
    let unknown = Ran::of(raincheck().args(["serve", "--program-user", "nobody-at-all"]));
    assert_eq!(unknown.code, 2, "{unknown:?}");
    assert!(unknown.stderr.contains("this machine has no user"), "{unknown:?}");
    if !rustix::process::geteuid().is_root() {
        let refused = Ran::of(raincheck().args(["serve", "--program-user", "1:1"]));
        assert_eq!(refused.code, 2, "{refused:?}");
        assert!(
            refused.stderr.contains("only where root starts this"),
            "{refused:?}"
        );
        return;
    }
    let look = "id -u; id -G; touch mine; stat -c %u:%g:%a .; echo $HOME";
    let more = "program_user = \"nobody:1\"\nprogram_folder = \"private\"\n";
    let file = [
        shell("free", look, more),
        shell("limited", look, &format!("{more}program_open_files = 64")),
    ];
    let server = server(&file.concat(), &[]);
    std::process::Command::new("chmod")
        .arg("a+x")
        .arg(server.folder())
        .status()
        .unwrap();
    for queue in ["free", "limited"] {
        let told = printed(&server, queue);
        let lines: Vec<_> = told.lines().collect();
        let [uid, "1", owner, home] = lines[..] else {
            panic!("{queue}: {told}")
        };
        assert_eq!(owner, format!("{uid}:1:700"), "{queue}");
        assert!(
            uid != "0" && !home.is_empty() && home != "/root",
            "{queue}: {told}"
        );
    }
    let folder = server.stop();
    assert!(left(folder.path()).is_empty(), "{:?}", left(folder.path()));
}

#[test]
fn a_worker_holds_its_program_to_the_same() {
    let server = server("[queues.q]\nmax_attempts = 1\n", &[]);
    let work = |arguments: &[&str]| {
        let id = server.submit(&["q"]);
        let mut words = vec!["work", "q", "--max-jobs", "1"];
        words.extend(arguments);
        let mut command = server.command(&words);
        Ran::of(command.env("TMPDIR", server.folder().join("tmp"))).ok();
        server.run(&["job", "get", &id, "--json"]).json()
    };
    let busy = work(&["--program-cpu", "1s", "--", "sh", "-c", "while :; do :; done"]);
    let detail = busy["error"]["detail"].as_str().unwrap();
    assert!(detail.contains("(SIGXCPU)"), "{busy}");
    let look = "[ $(pwd) -ef $TMPDIR ] && ulimit -c > here && [ $(cat here) = 0 ]";
    let done = work(&["--program-folder", "private", "--", "sh", "-c", look]);
    assert_eq!(done["state"], "succeeded", "{done}");
    // The server's own is there as long as it is.
    assert_eq!(left(server.folder()).len(), 1);
    let folder = server.stop();
    assert!(left(folder.path()).is_empty(), "{:?}", left(folder.path()));
}

#[test]
fn a_server_opens_as_many_files_as_it_may_and_its_programs_as_many_as_without_it() {
    const FEW: [&str; 4] = ["sh", "-c", "ulimit -Sn 300; exec \"$@\"", "sh"];
    let hard = std::process::Command::new("sh")
        .args(["-c", "ulimit -Hn"])
        .output();
    let hard = String::from_utf8(hard.unwrap().stdout).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let file = [
        // It is given back just after the start.
        shell(
            "free",
            "until [ $(ulimit -Sn) = 300 ]; do sleep 0.02; done; echo so",
            "",
        ),
        shell("own", "ulimit -Sn", "program_open_files = 40"),
    ];
    std::fs::write(folder.path().join("raincheck.toml"), file.concat()).unwrap();
    let server = Server::start_as(started_by(&FEW), folder, &[]);
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", server.pid())).unwrap();
    let files = limits
        .lines()
        .find(|line| line.starts_with("Max open files"))
        .unwrap();
    let soft = files.split_whitespace().nth(3).unwrap();
    match hard.trim().parse::<u64>() {
        Ok(hard) => assert_eq!(soft, hard.min(1 << 20).to_string(), "{files}"),
        Err(_) => assert_eq!(soft, "1048576", "{files}"),
    }
    assert_eq!(printed(&server, "free").trim(), "so");
    assert_eq!(printed(&server, "own").trim(), "40");
}
