"""The table of budgets: each with its figure, out of the runs that were made.

Invariant: a figure is the median of the undisturbed runs; where there was none it is the median of all, and marked.
"""
import statistics

import machine


class Runs:
    """The results, by row and who."""

    def __init__(self, records, best_queue):
        self.records, self.best_queue = records, best_queue
        self.marked = False

    def values(self, row, who, key, case=None):
        quiet, every = [], []
        for record in self.records:
            if record["row"] != row or record["who"] != who:
                continue
            found = record["result"] if case is None else record["result"].get(case, {})
            value = key(found) if callable(key) else found.get(key)
            if value is None:
                continue
            every.append(value)
            if found.get("other_cpus", 0) <= machine.QUIET:
                quiet.append(value)
        self.marked |= bool(every) and not quiet
        return quiet or every

    def get(self, row, who, key, case=None):
        values = self.values(row, who, key, case)
        return statistics.median(values) if values else None


def over(a, b):
    return a / b if a is not None and b else None


def cpu(found):
    """CPU seconds of server and load for 1,000 jobs."""
    both = (found.get("server_us_per_job"), found.get("client_us_per_job"))
    return None if None in both else sum(both) / 1000


def lines(runs):
    """(row, work, budget, figure, shown as, met) for each budget."""
    get, out = runs.get, []

    def line(row, work, budget, figure, shown, met, detail=""):
        runs.marked = False
        value = figure()
        if value is None:
            return out.append((row, work, budget, "not measured", ""))
        star = "*" if runs.marked else ""
        text = shown.format(value) + star + (f" ({detail()})" if detail else "")
        out.append((row, work, budget, text, "yes" if met(value) else "**no**"))

    limit_cpu = lambda: get("submit", "limit", "server_us_per_job")
    limit_rate = lambda: get("submit", "limit", "jobs_per_s")
    our_rate = lambda: get("submit", "raincheck", "jobs_per_s")
    our_cpu = lambda: get("submit", "raincheck", "server_us_per_job")
    keyed = lambda: get("submit", "raincheck bench", "server_us_per_job", "submit, a key each")
    python_rate = lambda: get("submit", "python", "jobs_per_s")
    line("submit", "durable submit, CPU of the server for a job", "at most 1.3 x the limit's",
         lambda: over(our_cpu(), limit_cpu()), "{:.2f} x", lambda v: v <= 1.3,
         lambda: f"{our_cpu():.1f} µs against {limit_cpu():.1f}")
    line("submit", "durable submit, jobs/s", "no fewer than the limit", lambda: over(our_rate(), limit_rate()), "{:.2f} x",
         lambda v: v >= 1, lambda: f"{our_rate():,.0f} against {limit_rate():,.0f}")
    line("submit", "durable submit, jobs/s", "at least 4 x the Python queue in memory",
         lambda: over(our_rate(), python_rate()), "{:.1f} x", lambda v: v >= 4,
         lambda: f"{our_rate():,.0f} against {python_rate():,.0f}")
    line("submit", "with an idempotency key each, CPU of the server", "at most 1.6 x the limit's",
         lambda: over(keyed(), limit_cpu()), "{:.2f} x", lambda v: v <= 1.6,
         lambda: f"{keyed():.1f} µs against {limit_cpu():.1f}")

    whole = lambda: get("cycle", "raincheck", "jobs_per_second", "cycle, long-poll")
    python = lambda: max(filter(None, (get("cycle", f"python, {how}", "jobs_per_s") for how in ("long-poll", "polling"))),
                         default=None)
    line("cycle", "submit, work and redeem, 64 clients", "at least 2.5 x the Python queue in memory",
         lambda: over(whole(), python()), "{:.1f} x", lambda v: v >= 2.5,
         lambda: f"{whole():,.0f} jobs/s against {python():,.0f}")

    name, best, best_cpu = runs.best_queue
    worked = lambda: get("arrays", "raincheck", "jobs_per_second", "arrays, submit and work")
    spent = lambda: get("arrays", "raincheck, 200,000", cpu, "arrays, submit and work")
    line("arrays", "20,000 jobs in arrays, worked in batches, jobs/s", f"at least 2.5 x the best job system ({name})",
         lambda: over(worked(), best), "{:.1f} x", lambda v: v >= 2.5,
         lambda: f"{worked():,.0f} against {best:,.0f}")
    line("arrays", "the same, CPU of everything for 1,000 jobs", "at most half of that system's",
         lambda: over(spent(), best_cpu), "{:.2f} x", lambda v: v <= 0.5,
         lambda: f"{spent() * 1000:.0f} ms against {best_cpu * 1000:.0f}")
    again = lambda: get("arrays", "nats", "e2e_s")
    if again() is not None:
        line("arrays", "against NATS JetStream in the same run, jobs/s", "at least 2.5 x", lambda: over(worked(), again()),
             "{:.1f} x", lambda v: v >= 2.5, lambda: f"{worked():,.0f} against {again():,.0f}")
        cost = lambda: get("arrays", "nats", "cpu_per_1k")
        line("arrays", "the same, CPU of everything for 1,000 jobs", "at most half", lambda: over(spent(), cost()),
             "{:.2f} x", lambda v: v <= 0.5, lambda: f"{spent() * 1000:.0f} ms against {cost() * 1000:.0f}")

    upload = lambda: get("batch", "raincheck", "server_us_per_job", "batch, upload")
    single = lambda: get("batch", "raincheck, one by one", "server_us_per_job", "submit, plain")
    line("batch", "100,000 jobs as one NDJSON batch, CPU of the server for a job", "at most half of a single submit's",
         lambda: over(upload(), single()), "{:.2f} x", lambda v: v <= 0.5,
         lambda: f"{upload():.1f} µs against {single():.1f}")

    ours, theirs = (lambda who=who: get("rate", who, "p50_us") for who in ("raincheck", "limit"))
    line("rate", "200 jobs/s: answer, p50", "at most 2 x the limit's", lambda: over(ours(), theirs()), "{:.2f} x",
         lambda v: v <= 2, lambda: f"{ours() / 1000:.2f} ms against {theirs() / 1000:.2f}")
    result = lambda key: get("rate", "raincheck bench", key, "rate, result at 200/s")
    line("rate", "200 jobs/s: result by long-poll, p50", "under 1.6 ms", lambda: result("p50_ms"), "{:.2f} ms",
         lambda v: v < 1.6)
    line("rate", "200 jobs/s: result by long-poll, p99", "under 4 ms", lambda: result("p99_ms"), "{:.2f} ms", lambda v: v < 4)

    backlog(runs, line)

    streamed = lambda: get("stream", "raincheck", "server_us_per_job", "stream, 1000 readers, 50/s")
    bare = lambda: get("stream", "bare", "server_us_per_job", "stream, bare, 1000 readers, 50/s")
    line("stream", "1,000 readers of 50 pieces of text a second, CPU of the server for a piece at a reader",
         "at most 2 x that of bare hyper", lambda: over(streamed(), bare()), "{:.2f} x", lambda v: v <= 2,
         lambda: f"{streamed():.1f} µs against {bare():.1f}")
    line("webhooks", "webhooks to a receiver on this machine, the jobs worked in the same time", "5,000/s",
         lambda: get("webhooks", "raincheck", "jobs_per_second", "webhooks, work and tell"), "{:,.0f}/s",
         lambda v: v >= 5000)
    line("waiters", "10,000 idle long-polls, resident each", "at most 12 KiB",
         lambda: get("waiters", "raincheck", "kib_each", "waiters, 10000 idle"), "{:.1f} KiB", lambda v: v <= 12)
    line("waiters", "5,000 waiters of one job, the last told", "within 150 ms",
         lambda: get("waiters", "raincheck", "last_ms", "waiters, 5000 of one job"), "{:.0f} ms", lambda v: v <= 150)
    line("size", "binary", "under 25 MB", lambda: get("size", "raincheck", "mib", "size, binary"), "{:.1f} MiB",
         lambda v: v < 25e6 / 2**20)
    line("size", "idle server, resident", "under 30 MB", lambda: get("size", "raincheck", "mib", "size, idle server"),
         "{:.1f} MiB", lambda v: v < 30e6 / 2**20)
    return out


def backlog(runs, line):
    get, one, four = runs.get, "1000000 waiting, 1000000 kept", "4000000 waiting, 1000000 kept"
    for what in ("submit", "cycle", "arrays", "answer at a pace", "result at a pace"):
        share = lambda row, case: get(row, "raincheck", "share_of_empty", f"backlog, {what}, {case}")
        line("backlog", f"{what}, 1,000,000 waiting and as many kept", "at least 70 % of empty",
             lambda: share("backlog", one), "{:.0%}", lambda v: v >= 0.7)
        line("backlog-4m", f"{what}, 4,000,000 waiting", "as with 1,000,000 (within 15 %)",
             lambda: over(share("backlog-4m", four), share("backlog", one)), "{:.0%}", lambda v: v >= 0.85,
             lambda: f"{share('backlog-4m', four):.0%} of empty")
    line("backlog", "submit while pruning, p99", "under 20 ms",
         lambda: get("backlog", "raincheck", "p99_ms", "backlog, submit while pruning"), "{:.1f} ms", lambda v: v < 20)
    line("backlog", "a waiting job, resident", "at most 64 bytes",
         lambda: get("backlog", "raincheck", "bytes_each", "backlog, memory"), "{:.0f} bytes", lambda v: v <= 64)
    line("backlog", "start with 1,000,000 waiting", "ready in under 2 s",
         lambda: get("backlog", "raincheck", "ready_ms", "backlog, start with 1000000 waiting"), "{:.0f} ms",
         lambda v: v < 2000)


def markdown(runs):
    rows = ["| row | work | budget | measured | met |", "|---|---|---|---|---|"]
    rows += ["| " + " | ".join(f"`{cell}`" if n == 0 else cell for n, cell in enumerate(line)) + " |" for line in lines(runs)]
    if any("*" in line[3] for line in lines(runs)):
        rows += ["", "\\* every run was disturbed: something else kept more than a quarter of a CPU busy."]
    return "\n".join(rows).replace("*", "\\*").replace("\\*\\*no\\*\\*", "**no**").replace("\\\\*", "\\*")
