//! The guides in `docs/guides`: what is to be typed is typed, with the real binary. What a block may be, and what is done with it, is
//! said in the first of them.
//!
//! Invariant: a block of another kind than those is a mistake; what a machine cannot try is said, not passed over.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
#![expect(
    clippy::print_stderr,
    reason = "whoever runs the tests shall know what was skipped"
)]

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, Stdio};

use rustix::process::{Pid, Signal, kill_process_group};

use crate::nginx::around;
use crate::rig::raincheck;

/// The page's own folder of guides.
const GUIDES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/guides/src/");

/// A fenced block.
struct Block {
    kind: String,
    text: String,
}

fn blocks(page: &str) -> Vec<Block> {
    let markdown = fs::read_to_string(format!("{GUIDES}{page}")).unwrap();
    let (mut blocks, mut open) = (Vec::new(), None::<Block>);
    for line in markdown.lines() {
        match (&mut open, line.strip_prefix("```")) {
            (None, Some(kind)) => {
                let (kind, text) = (kind.to_owned(), String::new());
                open = Some(Block { kind, text });
            }
            (Some(_), Some(_)) => blocks.extend(open.take()),
            (Some(block), None) => {
                block.text += line;
                block.text.push('\n');
            }
            (None, None) => {}
        }
    }
    assert!(open.is_none(), "{page}: a block does not end");
    blocks
}

/// The text of a page's first block of this kind.
pub(crate) fn block(page: &str, kind: &str) -> String {
    let found = blocks(page).into_iter().find(|block| block.kind == kind);
    found
        .unwrap_or_else(|| panic!("{page} has no block of {kind}"))
        .text
}

/// The file that a block is, by the comment in its first line.
fn named(block: &Block) -> Option<&str> {
    let first = block.text.lines().next()?;
    let name = first.strip_prefix("# ").or_else(|| first.strip_prefix("// "))?;
    let plain = !name.contains(' ') && name.contains('.');
    plain.then_some(name)
}

/// The text of the page's file of this name.
pub(crate) fn file(page: &str, name: &str) -> String {
    let found = blocks(page).into_iter().find(|block| named(block) == Some(name));
    found.unwrap_or_else(|| panic!("{page} has no {name}")).text
}

/// The file of this name that the page's shell writes by `cat > NAME <<'END'`.
pub(crate) fn heredoc(page: &str, name: &str) -> String {
    let begin = format!("cat > {name} <<'END'\n");
    let texts = blocks(page).into_iter().filter(|block| block.kind == "sh");
    let mut found = texts.filter_map(|block| {
        let (_, rest) = block.text.split_once(&begin)?;
        Some(rest.split_once("END\n")?.0.to_owned())
    });
    found.next().unwrap_or_else(|| panic!("{page} writes no {name}"))
}

/// Whether this program is on the machine.
pub(crate) fn there(program: &str, page: &str) -> bool {
    let found = Command::new("sh")
        .args(["-c", &format!("command -v {program}")])
        .output();
    let there = found.is_ok_and(|found| found.status.success());
    if !there {
        eprintln!("SKIPPED: {page}: {program} is missing");
    }
    there
}

/// Runs a script in the page's folder with everything that it starts, and gives back what it printed.
fn run(page: &str, folder: &Path, script: &str) -> String {
    let bin = folder.join("bin");
    fs::create_dir(&bin).unwrap();
    std::os::unix::fs::symlink(raincheck().get_program(), bin.join("raincheck")).unwrap();
    let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap());
    // A port that was free a moment ago; the guides' own may be taken.
    let port = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let at = format!("127.0.0.1:{port}");
    let mut command = Command::new("sh");
    for (name, value) in raincheck().get_envs() {
        if value.is_none() {
            command.env_remove(name);
        }
    }
    let mut shell = command
        .args(["-eu", "-c", &script.replace("localhost:7246", &at)])
        .env("PATH", path)
        .env("RAINCHECK_LISTEN", &at)
        .env("RAINCHECK_URL", format!("http://{at}"))
        .env("NO_PROXY", "*")
        .current_dir(folder)
        .stdin(Stdio::null())
        .stdout(fs::File::create(folder.join("printed")).unwrap())
        .stderr(fs::File::create(folder.join("said")).unwrap())
        .process_group(0)
        .spawn()
        .unwrap();
    let status = shell.wait().unwrap();
    let group = Pid::from_raw(i32::try_from(shell.id()).unwrap()).unwrap();
    // What it left running in the background; nothing, where the page starts nothing.
    let _ = kill_process_group(group, Signal::KILL);
    if page == "systemd.md" {
        // It goes on with the machine's own service, on the same port.
        let free = TcpStream::connect(&at).is_err();
        assert!(free, "{page} leaves its server running");
    }
    let read = |name| fs::read_to_string(folder.join(name)).unwrap_or_default();
    let printed = read("printed");
    let (said, server) = (read("said"), read("server.log"));
    assert!(status.success(), "{page}: {printed}\n{said}\n{server}");
    printed
}

/// Tries everything on a page.
fn check(page: &str) {
    let (folder, blocks) = (tempfile::tempdir().unwrap(), blocks(page));
    let mut script = String::new();
    let mut promised = Vec::new();
    for block in &blocks {
        if let Some(name) = named(block) {
            fs::write(
                folder.path().join(name),
                block.text.replace("localhost:7246", "127.0.0.1:PORT"),
            )
            .unwrap();
        }
        match &*block.kind {
            "sh" => script += &block.text,
            "text" => promised.extend(block.text.lines()),
            "sh,host" => parsed(page, &block.text),
            "nginx" => by_nginx(page, folder.path()),
            "ini" => by_systemd(page, folder.path(), named(block).unwrap()),
            "yaml" => by_kubectl(page, folder.path(), named(block).unwrap()),
            "python" | "js" | "dockerfile" => {
                assert!(named(block).is_some(), "{page}: a program without a name")
            }
            "python,before" | "js,before" | "rust" | "rust,no_run" | "toml" => {}
            other => panic!("{page}: what is a block of {other:?}?"),
        }
    }
    if script.is_empty() || !["curl", "python3"].iter().all(|program| there(program, page)) {
        return;
    }
    if script.contains("node ") && !there("node", page) {
        return;
    }
    // Programs on the page learn the port as its shell does.
    let ports = "for file in *.py *.mjs; do [ ! -f $file ] || sed -i \"s/127.0.0.1:PORT/$RAINCHECK_LISTEN/\" $file; done\n";
    let printed = run(page, folder.path(), &(ports.to_owned() + &script));
    for line in promised {
        // A short one would be found in anything.
        let kept = |said: &str| said == line || (line.len() > 8 && said.contains(line));
        assert!(
            printed.lines().any(kept),
            "{page} promises {line:?}, printed was:\n{printed}"
        );
    }
}

fn parsed(page: &str, script: &str) {
    let shell = Command::new("sh").args(["-n", "-c", script]).status();
    assert!(shell.unwrap().success(), "{page}: {script}");
}

/// Whether nginx takes the block; what it does by it has a test of its own.
fn by_nginx(page: &str, folder: &Path) {
    if !there("nginx", page) {
        return;
    }
    let own = format!("include {};", folder.join("raincheck.conf").display());
    fs::write(folder.join("nginx.conf"), around(&own, folder)).unwrap();
    let tested = Command::new("nginx")
        .arg("-t")
        .arg("-c")
        .arg(folder.join("nginx.conf"))
        .output()
        .unwrap();
    assert!(tested.status.success(), "{page}: {tested:?}");
}

fn by_systemd(page: &str, folder: &Path, name: &str) {
    if !there("systemd-analyze", page) {
        return;
    }
    let unit = fs::read_to_string(folder.join(name)).unwrap();
    let binary = raincheck().get_program().to_str().unwrap().to_owned();
    let unit = unit.replace("/usr/local/bin/raincheck", &binary);
    fs::write(folder.join(name), unit).unwrap();
    let verified = Command::new("systemd-analyze")
        .args(["verify", "--man=no"])
        .arg(folder.join(name))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&verified.stderr).into_owned();
    assert!(
        verified.status.success() && !said.contains(name),
        "{page}: {said}"
    );
}

fn by_kubectl(page: &str, folder: &Path, name: &str) {
    if !there("kubectl", page) {
        return;
    }
    let within = folder.join(format!("{name}.d"));
    fs::create_dir(&within).unwrap();
    let text = fs::read_to_string(folder.join(name)).unwrap();
    if name == "kustomization.yaml" {
        let base = concat!(env!("CARGO_MANIFEST_DIR"), "/../../deploy/kubernetes");
        let copied = Command::new("cp")
            .args(["-r", base])
            .arg(within.join("base"))
            .status();
        assert!(copied.unwrap().success());
        fs::write(within.join("raincheck.toml"), heredoc(page, "raincheck.toml")).unwrap();
        fs::write(within.join(name), text).unwrap();
    } else {
        fs::write(within.join(name), text).unwrap();
        fs::write(
            within.join("kustomization.yaml"),
            format!("resources: [{name}]\n"),
        )
        .unwrap();
    }
    let built = Command::new("kubectl")
        .arg("kustomize")
        .arg(&within)
        .output()
        .unwrap();
    assert!(
        built.status.success(),
        "{page}: {}",
        String::from_utf8_lossy(&built.stderr)
    );
    // From PyPI: Kubernetes' own schemas, which know every field.
    if there("kubernetes-validate", page) {
        fs::write(within.join("built.yaml"), &built.stdout).unwrap();
        let mut validate = Command::new("kubernetes-validate");
        let validated = validate
            .arg("--strict")
            .arg(within.join("built.yaml"))
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&validated.stderr);
        assert!(validated.status.success(), "{page}: {said}");
    }
}

macro_rules! guides {
    ($($test:ident: $page:literal;)+) => {
        $(
            #[test]
            fn $test() {
                check($page);
            }
        )+

        #[test]
        fn every_guide_is_in_the_book_and_is_tried() {
            let summary = fs::read_to_string(format!("{GUIDES}SUMMARY.md")).unwrap();
            let mut pages: Vec<_> = fs::read_dir(GUIDES)
                .unwrap()
                .map(|entry| entry.unwrap().file_name().into_string().unwrap())
                .filter(|name| name != "SUMMARY.md" && name != "README.md")
                .collect();
            pages.sort();
            for page in &pages {
                assert!(summary.contains(&format!("({page})")), "{page} is not in the book");
            }
            let mut tried = vec![$($page),+];
            tried.sort_unstable();
            assert_eq!(pages, tried);
        }
    };
}

guides! {
    what_the_guide_from_celery_says_works: "from-celery.md";
    what_the_guide_from_bullmq_says_works: "from-bullmq.md";
    what_the_guide_from_a_hand_made_queue_says_works: "from-a-hand-made-queue.md";
    what_the_guide_to_nginx_says_works: "nginx.md";
    what_the_guide_to_systemd_says_works: "systemd.md";
    what_the_guide_to_kubernetes_says_works: "kubernetes.md";
    what_the_guide_to_the_library_says_is_of_known_kinds: "library.md";
}

/// Answers one request with this, and says that the connection is over.
fn answer(stream: TcpStream, head: &str) {
    let mut reader = BufReader::new(stream);
    let mut length = 0;
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).unwrap() <= 2 {
            break;
        }
        if let Some(value) = line.to_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
    }
    reader.read_exact(&mut vec![0; length]).unwrap();
    let answer = format!("HTTP/1.1 {head}\r\nConnection: close\r\nContent-Length: 9\r\n\r\nno such q");
    // One that has left needs none.
    let _ = reader.get_mut().write_all(answer.as_bytes());
}

#[test]
fn the_worker_of_the_guide_from_bullmq_waits_as_it_is_told_and_ends_where_it_is_refused() {
    let page = "from-bullmq.md";
    if !there("node", page) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("worker.mjs"), file(page, "worker.mjs")).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    // Its four loops are told to wait, each once, and then that there is no such queue.
    let served = std::thread::spawn(move || {
        let mut asked = Vec::new();
        for stream in listener.incoming() {
            let stream = stream.unwrap();
            asked.push(crate::rig::now());
            let wait = "429 Too Many Requests\r\nRetry-After: 1";
            answer(stream, if asked.len() <= 4 { wait } else { "404 Not Found" });
            if asked.len() == 5 {
                break;
            }
        }
        asked
    });
    let worker = Command::new("timeout")
        .args(["60", "node", "worker.mjs"])
        .env("RAINCHECK_URL", url)
        .current_dir(folder.path())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&worker.stderr);
    assert_eq!(worker.status.code(), Some(1), "{said}");
    assert!(said.contains("is refused: 404 no such q"), "{said}");
    let asked = served.join().unwrap();
    let waited = asked[4] - asked[0];
    assert!(waited.as_millis() >= 900, "asked again after {waited:?}");
}

/// What is in a line behind `](`, where that is a link to a file.
fn links(line: &str) -> impl Iterator<Item = &str> {
    let ends = line.split("](").skip(1);
    let links = ends.filter_map(|rest| rest.split([')', '#']).next());
    links.filter(|link| !link.is_empty() && !link.contains("://"))
}

#[test]
fn no_link_of_a_guide_leads_out_of_the_book() {
    for page in fs::read_dir(GUIDES).unwrap() {
        let page = page.unwrap().path();
        let text = fs::read_to_string(&page).unwrap();
        for link in text.lines().flat_map(links) {
            // The book is a folder of its own, and has nothing of what lies around the pages here.
            let inside = !link.starts_with("..") && Path::new(GUIDES).join(link).is_file();
            assert!(inside, "{}: {link}", page.display());
        }
    }
    assert_eq!(
        links("a [b](c.md#d) [e](../f.md) [g](https://h) [i](#j)").collect::<Vec<_>>(),
        ["c.md", "../f.md"]
    );
}

#[test]
fn the_guides_are_a_book() {
    if !there("mdbook", "the book") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let mut build = Command::new("mdbook");
    build
        .arg("build")
        .arg("--dest-dir")
        .arg(folder.path())
        .arg(Path::new(GUIDES).join(".."));
    let built = build.output().unwrap();
    assert!(
        built.status.success(),
        "{}",
        String::from_utf8_lossy(&built.stderr)
    );
    assert!(folder.path().join("from-celery.html").is_file());
}
