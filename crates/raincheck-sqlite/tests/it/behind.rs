//! The thread that moves the log does not take the processor from those that answer.

use std::path::Path;

use crate::kit::open;

/// The nice of each thread of this process that has this name (proc(5): the name ends with the last parenthesis, and nice
/// is the 17th field after it).
fn nice_of(name: &str) -> Vec<i32> {
    let tasks = std::fs::read_dir(Path::new("/proc/self/task")).expect("Linux has it");
    // A thread of another test may end while this looks.
    let stats = tasks.filter_map(|task| std::fs::read_to_string(task.ok()?.path().join("stat")).ok());
    let of = |stat: String| {
        let (before, fields) = stat.rsplit_once(')')?;
        let nice = fields.split_whitespace().nth(16)?.parse().ok()?;
        before.ends_with(&format!("({name}")).then_some(nice)
    };
    stats.filter_map(of).collect()
}

#[test]
#[cfg(target_os = "linux")]
fn the_thread_that_moves_the_log_stands_behind_the_writer() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).unwrap();
    // Threads take their names and places when they begin; those of other tests are as good.
    let said = (0..100_000).any(|_| {
        std::thread::yield_now();
        let writer = nice_of("writer").into_iter().min();
        writer.is_some_and(|writer| nice_of("checkpoint").contains(&(writer + 10).min(19)))
    });
    assert!(said, "{:?}", nice_of("checkpoint"));
    drop(store);
}
