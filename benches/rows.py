"""What is measured for each row of the table of budgets: who is measured, and how.

Invariant: in one round everybody does the same work with the same load; who begins changes from round to round.
"""
import os
import re
import tempfile
from pathlib import Path

import machine

CONNECTIONS = ["-c", "64"]


class Peers:
    """The programs that we are compared with: their sources, and where they are built."""

    def __init__(self, sources, built):
        self.sources, self.built = Path(sources), Path(built)
        release = self.built / "target" / "release"
        self.limit_binary, self.load_binary = release / "limit", release / "load"
        self.python_binary = self.built / "venv" / "bin" / "python"
        self.log = self.built / "limit.log"

    def missing(self):
        needed = [self.limit_binary, self.load_binary, self.python_binary, self.sources / "python" / "job_server.py"]
        return [str(path) for path in needed if not path.exists()]

    def limit(self):
        return machine.server([self.limit_binary, "durable", "--log", str(self.log), "--threads", "1"])

    def python(self):
        return machine.server([self.python_binary, "-B", str(self.sources / "python" / "job_server.py")])

    def load(self, mode, url, pid, secs, *more):
        command = [self.load_binary, mode, url, "-d", secs, "--warmup", "0.5", "--server-pid", pid, *more]
        found = machine.run(command)
        if found["errors"]:
            raise RuntimeError(f"{found['errors']} requests of {mode} failed")
        found["other_cpus"] = found["other_cpu_s"] / found["wall_s"]
        return found

    def best_queue(self):
        """The best of the job systems, as their own page of results has it: name, jobs/s, CPU seconds per 1,000."""
        best = ("none", 0.0, 0.0)
        for line in (self.sources / "RESULTS.md").read_text().splitlines():
            cells = [cell.strip() for cell in line.split("|")]
            # configuration, mode, one by one, bulk, end to end, CPU s/1k, …
            if len(cells) > 8 and re.fullmatch(r"[\d,]+", cells[5]) and re.fullmatch(r"\d+\.\d+", cells[6]):
                rate = float(cells[5].replace(",", ""))
                best = max(best, (cells[1], rate, float(cells[6])), key=lambda row: row[1])
        return best


class Rows:
    """Every row: a name and its steps, each who and a function that measures once."""

    def __init__(self, peers, binary, quick):
        self.peers, self.binary, self.quick = peers, binary, quick
        self.secs = "0.5" if quick else "4"

    def names(self):
        return ["size", "submit", "cycle", "arrays", "batch", "rate", "waiters", "stream", "webhooks", "backlog", "backlog-4m"]

    def rounds(self, name, rounds):
        return 1 if name.startswith("backlog") or name == "size" else rounds

    def steps(self, name):
        return getattr(self, "row_" + name.replace("-", "_"))()

    def bench(self, *words, pin=True, patience=400):
        """`raincheck bench`: its rows, by workload and case."""
        words = [self.binary, "bench", *words, "--json", *(["--quick"] if self.quick else []),
                 *([f"--pin={machine.SERVER_CORE},{machine.CLIENT_CORE}"] if pin else [])]
        found = machine.run(words, core=None, patience=patience)
        return {f"{row['workload']}, {row['case']}": row for row in found["rows"]}

    def row_size(self):
        return [("raincheck", lambda: self.bench("size"))]

    def row_submit(self):
        def submitted(started, path):
            with started as (url, pid):
                return self.peers.load("submit", url + path, pid, self.secs, *CONNECTIONS)
        return [
            ("python", lambda: submitted(self.peers.python(), "/jobs")),
            ("limit", lambda: submitted(self.peers.limit(), "/jobs")),
            ("raincheck", lambda: submitted(machine.raincheck(self.binary), "/v1/queues/q/jobs")),
            ("raincheck bench", lambda: self.bench("submit", "--seconds", self.secs)),
        ]

    def row_cycle(self):
        def python(*how):
            with self.peers.python() as (url, pid):
                return self.peers.load("e2e", url + "/jobs", pid, self.secs, *CONNECTIONS, *how)
        return [
            ("python, long-poll", lambda: python("--wait", "30")),
            ("python, polling", lambda: python("--poll-ms", "1")),
            ("raincheck", lambda: self.bench("cycle", "--seconds", self.secs)),
        ]

    def row_arrays(self):
        steps = [
            # As the job systems were measured: on both cores, 20,000 jobs.
            ("raincheck", lambda: self.bench("arrays", "--jobs", "20000", pin=False)),
            # The same longer, because the kernel counts CPU in steps of 10 ms.
            ("raincheck, 200,000", lambda: self.bench("arrays", "--jobs", "2000" if self.quick else "200000", pin=False)),
            ("raincheck, pinned", lambda: self.bench("arrays", "--jobs", "2000" if self.quick else "200000")),
        ]
        return steps + ([("nats", self.nats)] if self.has_nats() else [])

    def row_batch(self):
        jobs = "2000" if self.quick else "100000"
        # Single submits in the same run: what a batch is told against.
        return [
            ("raincheck", lambda: self.bench("batch", "--jobs", jobs)),
            ("raincheck, one by one", lambda: self.bench("submit", "--seconds", self.secs)),
        ]

    def nats_binary(self):
        return os.environ.get("NATS_BIN") or next((str(path) for path in self.peers.built.glob("**/nats-server")
                                                   if os.access(path, os.X_OK) and path.is_file()), "nats-server")

    def has_nats(self):
        return (self.peers.built / "venv" / "brokers" / "bin" / "python").exists() and (
            os.path.isabs(self.nats_binary()))

    def nats(self):
        """The fastest of the job systems in the same run, by their own harness."""
        folder = self.peers.sources / "queues" / "brokers"
        env = {**os.environ, "BROKER": "nats", "PEERS": str(self.peers.built), "NATS_BIN": self.nats_binary(),
               "PYTHONDONTWRITEBYTECODE": "1", "PEER_OFFSET": "500"}
        found = machine.run([folder / "run", "--skip-enq", "--n", "2000" if self.quick else "20000"], core=None,
                            patience=120, env=env, cwd=folder)
        if "error" in found:
            raise RuntimeError(found["error"])
        return found

    def row_rate(self):
        def paced(started, path):
            with started as (url, pid):
                return self.peers.load("submit", url + path, pid, "1" if self.quick else "6", *CONNECTIONS,
                                       "--rate", "200")
        return [
            ("limit", lambda: paced(self.peers.limit(), "/jobs")),
            ("raincheck", lambda: paced(machine.raincheck(self.binary), "/v1/queues/q/jobs")),
            ("raincheck bench", lambda: self.bench("rate", "--rate", "200", "--seconds", "1" if self.quick else "6")),
        ]

    def row_waiters(self):
        counts = ("200", "100") if self.quick else ("10000", "5000")
        return [("raincheck", lambda: self.bench("waiters", "--waiters", counts[0], "--told", counts[1]))]

    def row_stream(self):
        readers = "100" if self.quick else "1000"
        def bare():
            # Built beside our server: cargo build --release --package raincheck-cli --example bare
            with machine.server([Path(self.binary).parent / "examples" / "bare"]) as (url, pid):
                return self.bench("stream", "--url", url, "--bare", "--server-pid", pid, "--readers", readers,
                                  "--seconds", "1" if self.quick else "5")
        return [
            ("bare", bare),
            ("raincheck", lambda: self.bench("stream", "--readers", readers, "--seconds", "1" if self.quick else "5")),
        ]

    def row_webhooks(self):
        # The receiver has a core of its own, as a receiver elsewhere has.
        return [("raincheck", lambda: self.bench("webhooks", "--jobs", "500" if self.quick else "20000"))]

    def backlog(self, waiting, finished):
        if self.quick:
            waiting, finished = 2000, 2000
        return self.bench("backlog", "--waiting", waiting, "--finished", finished, "--jobs", "2000" if self.quick else
                          "50000", "--seconds", "0.3" if self.quick else "3", patience=600)

    def row_backlog(self):
        return [("raincheck", lambda: self.backlog(1_000_000, 1_000_000))]

    def row_backlog_4m(self):
        return [("raincheck", lambda: self.backlog(4_000_000, 1_000_000))]
