"""Starts servers and clients, each on its core, and ends what it started.

Invariant: every process is ended by its own pid, by the code that started it; every wait is bounded.
"""
import fcntl
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path

SERVER_CORE, CLIENT_CORE = 0, 1
# A run is disturbed when the rest of the machine kept more CPUs than this busy.
QUIET = 0.25


def on_core(core):
    """For Popen: keeps the child on one core."""
    return None if core is None else lambda: os.sched_setaffinity(0, {core})


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def until_open(port, process, patience=20.0):
    end = time.monotonic() + patience
    while time.monotonic() < end:
        if process.poll() is not None:
            raise RuntimeError(f"the server ended with {process.returncode}")
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            time.sleep(0.02)
    raise RuntimeError("the server does not listen")


def end(process):
    process.terminate()
    try:
        process.wait(20)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


@contextmanager
def server(command, core=SERVER_CORE):
    """A server that takes --port; gives its URL and pid."""
    port = free_port()
    process = subprocess.Popen([*command, "--port", str(port)], preexec_fn=on_core(core), stdin=subprocess.DEVNULL,
                               stdout=subprocess.DEVNULL)
    try:
        until_open(port, process)
        yield f"http://127.0.0.1:{port}", process.pid
    finally:
        end(process)


@contextmanager
def raincheck(binary, core=SERVER_CORE, group=None, words=("serve", "--queue", "q")):
    """Our server with one queue `q`, or what these words start, over a new store, from its start in this cgroup; gives its URL
    and pid."""
    def placed():
        if group is not None:
            (group / "cgroup.procs").write_text(str(os.getpid()))
        if core is not None:
            os.sched_setaffinity(0, {core})

    folder = tempfile.mkdtemp(prefix="raincheck-benches-")
    command = [binary, *words, "--quiet", "--listen", "127.0.0.1:0", "--store", f"{folder}/store", "--log", "warn"]
    env = {name: value for name, value in os.environ.items() if not name.startswith("RAINCHECK_")}
    process = subprocess.Popen(command, preexec_fn=placed, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                               env=env, text=True)
    try:
        url = process.stdout.readline().strip()
        if not url:
            raise RuntimeError("raincheck serve did not start")
        yield url, process.pid
    finally:
        end(process)
        process.stdout.close()
        shutil.rmtree(folder, ignore_errors=True)


def run(command, core=CLIENT_CORE, patience=400, env=None, cwd=None):
    """Runs a client to its end; the JSON on the last line that it printed."""
    done = subprocess.run([str(word) for word in command], preexec_fn=on_core(core), stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, timeout=patience, text=True, env=env, cwd=cwd)
    lines = done.stdout.strip().splitlines()
    if done.returncode or not lines:
        raise RuntimeError(f"{Path(str(command[0])).name} ended with {done.returncode}")
    return json.loads(lines[-1])


def go_first():
    """As root: a scheduler group of its own, before the machine's other work. `nice` alone does nothing across groups.

    A group comes with a session, and only a new process may begin one; the old one waits for it and passes signals on.
    """
    child = os.fork()
    if child:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda number, _: os.kill(child, number))
        sys.exit(abs(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])))
    os.setsid()
    try:
        Path("/proc/self/autogroup").write_text("-15")
        os.nice(-15)
    except OSError:
        print("not root: whatever else runs here has the same priority", file=sys.stderr)


@contextmanager
def alone(lock):
    """Holds the lock that measurements on this machine share."""
    with open(lock, "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
