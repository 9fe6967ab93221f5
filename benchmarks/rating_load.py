"""The rating server under load, killed while it works: is every acknowledged score there, once?

By default the paper's size: 100 raters at once give 31,104 ratings on two dimensions, each after
fetching its video, while the organiser's page is open. The server is killed (SIGKILL) 20 times and
started again; clients do what the page does, they send again until they are answered. After every
kill, and at the end, each acknowledged answer is looked for in the database. Exit status 1 if one
is lost, changed or there twice. With --crowd the raters enrol by one link; with --idle strangers
hold connections open that send half a request or nothing, and open each again that is closed.

Raters come at a fixed rate together (--rate), about 30 times faster than people: as fast as
possible would measure the queue of clients, not the server.
"""

from __future__ import annotations

import argparse
import hashlib
import http.client
import json
import os
import random
import resource
import signal
import socket
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import _common as common
import pyarrow as pa
import pyarrow.parquet as pq
import yaml
from _idle_connections import IdleConnections

DIMENSIONS = ("visual_quality", "audio_visual_consistency")
PER_SAMPLE = 6
TARGET_SEC = 0.100
SCRIPTS = Path(__file__).resolve().parents[1] / "workflow" / "scripts"


def scores_of(identity: str) -> dict[str, int]:
    """Return the scores that a presentation is given: known beforehand, so nothing can mix them."""
    drawn = hashlib.sha256(identity.encode()).digest()
    return {name: 1 + drawn[n] % 5 for n, name in enumerate(DIMENSIONS)}


def make_study(
    folder: Path, raters: int, records: int, video_bytes: int, crowd: bool
) -> dict[str, str]:
    """Write a study without breaks, its videos 0.2 s long, and return the links' tokens.

    With ``crowd`` the raters have no links of their own, and one link for all is created.
    """
    from sfqa.ratings.screen import database, links, study_tables
    from sfqa.tables import PLAN, STUDY_MEDIA

    (folder / "study.yaml").write_text(
        yaml.safe_dump({"dimensions": [{"name": n} for n in DIMENSIONS], "breaks": {"seconds": 0}})
    )
    count = -(-records // PER_SAMPLE)
    while any(k * count % raters == 0 for k in range(1, PER_SAMPLE)):
        count += 1  # otherwise a rater would see a sample twice
    samples = [f"s{n:05d}" for n in range(count)]
    plan = [
        {
            "rater": f"r{n % raters + 1:03d}", "session": 1, "position": n // raters + 1,
            "sample_id": samples[n % len(samples)], "role": "test", "block": 1, "seconds": 0.2,
        }
        for n in range(records)
    ]  # fmt: skip
    pq.write_table(pa.Table.from_pylist(plan), folder / PLAN.file_name)
    (folder / "video.mp4").write_bytes(random.Random(0).randbytes(video_bytes))
    media = [{"sample_id": name, "video": "video.mp4"} for name in samples]
    pq.write_table(pa.Table.from_pylist(media), folder / STUDY_MEDIA.file_name)
    connection = database.open_database(folder / "study.db")
    try:
        database.sync_plan(connection, study_tables.read_plan(folder / PLAN.file_name))
        connection.execute("BEGIN")
        if crowd:
            tokens = {"crowd": links.create_crowd_link(connection)}
        else:
            tokens = {
                r: links.create_rater_link(connection, r)
                for r in links.list_unlinked_raters(connection)
            }
        tokens["organiser"] = links.create_organiser_link(connection)
        connection.execute("COMMIT")
    finally:
        connection.close()
    return tokens


class Server:
    """``sfqa rate serve`` in a process of its own, that can be killed and started again."""

    def __init__(self, folder: Path, package: Path) -> None:
        self.folder, self.package = folder, package
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> float:
        """Start it and return the seconds until it answered."""
        begun = time.perf_counter()
        with open(self.folder / "server.log", "ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "sfqa", "rate", "serve", str(self.folder),
                 "--port", str(self.port)],
                env={**os.environ, "PYTHONPATH": str(self.package)}, stdout=log, stderr=log,
            )  # fmt: skip
        while True:
            if self.process.poll() is not None:
                raise SystemExit((self.folder / "server.log").read_text()[-2000:])
            try:
                connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
                connection.request("GET", "/static/icon.svg")
                connection.getresponse().read()
                connection.close()
                return time.perf_counter() - begun
            except OSError:
                time.sleep(0.02)

    def kill(self) -> None:
        """Kill it as a power cut would: no handler runs."""
        assert self.process is not None
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()


@dataclass
class Run:
    """What all raters share: who was acknowledged what, and how long it took."""

    port: int
    period: float
    acknowledged: set[str] = field(default_factory=set)
    first_try: list[float] = field(default_factory=list)
    retried: list[float] = field(default_factory=list)
    repeated: int = 0
    refused: list[str] = field(default_factory=list)
    stop: threading.Event = field(default_factory=threading.Event)


class Client:
    """One rater's browser: a connection that is made anew when it breaks.

    ``token`` is that of the rater's link; with ``person`` it is that of the crowd's link.
    """

    def __init__(self, run: Run, token: str, person: str = "") -> None:
        self.run, self.page, self.person = run, f"/{'e' if person else 'r'}/{token}", person
        self.connection: http.client.HTTPConnection | None = None

    def ask(self, method: str, path: str, body: Any = None) -> tuple[int, bytes]:
        """Return status and body of one request; raises ``OSError`` where none came."""
        if self.connection is None:
            self.connection = http.client.HTTPConnection("127.0.0.1", self.run.port, timeout=30)
        data = None if body is None else json.dumps(body).encode()
        head = {} if body is None else {"content-type": "application/json"}
        try:
            self.connection.request(method, f"{self.page}{path}", data, head)
            answer = self.connection.getresponse()
            return answer.status, answer.read()
        except (OSError, http.client.HTTPException) as error:
            self.connection.close()
            self.connection = None
            raise OSError(str(error)) from error

    def insist(self, method: str, path: str, body: Any = None) -> tuple[dict[str, Any], int]:
        """Ask until there is an answer, as the page does; returns it and how many tries it took."""
        tries = 0
        while not self.run.stop.is_set():
            tries += 1
            try:
                status, got = self.ask(method, path, body)
            except OSError:
                time.sleep(0.05 + 0.1 * random.random())
                continue
            if status < 300:
                return (json.loads(got) if method == "POST" else {}), tries
            if status < 500:
                self.run.refused.append(f"{status} {method} {path.split('/')[1]} {got[:200]!r}")
                raise SystemExit
            time.sleep(0.05)
        raise SystemExit

    def rate_all(self, offset: float) -> None:
        """Take part: rate every video of the plan, one per period."""
        time.sleep(offset)
        if self.person:
            body, _ = self.insist("POST", "/join", {"ids": {"rater": self.person}})
            self.page = body["path"]
        self.insist("POST", "/consent", {"language": "en"})
        state, _ = self.insist("POST", "/begin", {})
        due = time.perf_counter()
        while state["stage"] == "rate":
            identity = state["presentation"]["id"]
            self.insist("GET", f"/media/{identity}/video")
            # Late raters catch up at twice the rate, so that a restart makes no lasting queue.
            now = time.perf_counter()
            due = max(due + self.run.period * (0.5 + random.random()), now - self.run.period)
            time.sleep(max(0.0, due - now))
            state = self.score(identity)

    def score(self, identity: str) -> dict[str, Any]:
        """Send one answer until it is acknowledged, and note how long that took."""
        body = {
            "presentation": identity,
            "scores": scores_of(identity),
            "details": {"plays": 1, "play_sec": 0.2, "window_width": 1280, "window_height": 720},
        }
        begun = time.perf_counter()
        got, tries = self.insist("POST", "/score", body)
        took = time.perf_counter() - begun
        self.run.acknowledged.add(identity)
        (self.run.first_try if tries == 1 else self.run.retried).append(took)
        self.run.repeated += got["repeated"]
        return got["state"]


def watch(run: Run, token: str) -> None:
    """Ask for the organiser's page's state every 10 s, as that page does."""
    while not run.stop.wait(10.0):
        try:
            connection = http.client.HTTPConnection("127.0.0.1", run.port, timeout=30)
            connection.request("GET", f"/o/{token}/state")
            connection.getresponse().read()
            connection.close()
        except (OSError, http.client.HTTPException):
            continue


def missing(folder: Path, acknowledged: set[str]) -> list[str]:
    """Return what is wrong with the database, given what was acknowledged before."""
    connection = sqlite3.connect(folder / "study.db")
    wrong = [r[0] for r in connection.execute("PRAGMA integrity_check") if r[0] != "ok"]
    found: dict[str, dict[str, int]] = {}
    for identity, name, score in connection.execute("SELECT * FROM scores"):
        if name in found.setdefault(identity, {}):
            wrong.append(f"{identity}: {name} is there twice")
        found[identity][name] = int(score)
    answers = [row[0] for row in connection.execute("SELECT presentation FROM answers")]
    connection.close()
    wrong += [f"{one}: lost" for one in acknowledged - set(answers)]
    wrong += [f"{one}: changed" for one, given in found.items() if given != scores_of(one)]
    if len(answers) != len(set(answers)) or set(answers) != set(found):
        wrong.append("answers and scores do not belong together")
    return wrong


def exported(folder: Path) -> tuple[int, int]:
    """Return the rows of the exported table, and how many (rater, sample, dimension) it has."""
    from sfqa.tables import SCORE_DETAILS

    subprocess.run(
        [sys.executable, "-m", "sfqa", "rate", "export", str(folder)],
        env={**os.environ, "PYTHONPATH": str(SCRIPTS)}, check=True, stdout=subprocess.DEVNULL,
    )  # fmt: skip
    table = pq.read_table(folder / SCORE_DETAILS.file_name).to_pylist()
    return len(table), len({(r["rater"], r["sample_id"], r["dimension"]) for r in table})


def main() -> int:
    """Run it and print its figures."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--raters", type=int, default=100, metavar="N", help="at once (100)")
    add("--records", type=int, default=31104, metavar="N", help="ratings, two scores each (31104)")
    add("--kills", type=int, default=20, metavar="N", help="times the server is killed (20)")
    add("--rate", type=float, default=200.0, metavar="N", help="ratings per second, all (200)")
    add("--video-bytes", type=int, default=200_000, metavar="N", help="size of a video (200000)")
    add("--crowd", action="store_true", help="the raters enrol by one link for all")
    add("--idle", type=int, default=0, metavar="N", help="idle connections of strangers (0)")
    add("--package", type=Path, default=SCRIPTS, metavar="FOLDER",
        help="folder with the package sfqa of the server, to measure another version")  # fmt: skip
    add("--small", action="store_true", help="6 raters, 150 ratings, 3 kills: a few seconds")
    args = parser.parse_args()
    if args.small:
        args.raters, args.records, args.kills, args.rate = 6, 150, 3, 60.0
    with tempfile.TemporaryDirectory(prefix="sfqa-rating-load-") as name:
        return measure(Path(name), args)


def make_client(run: Run, tokens: dict[str, str], number: int) -> Client:
    """Return the client of a rater, who has a link or enrols by the one for all."""
    if "crowd" in tokens:
        return Client(run, tokens["crowd"], f"person{number}")
    return Client(run, tokens[f"r{number + 1:03d}"])


def measure(folder: Path, args: argparse.Namespace) -> int:
    """Load the server, kill it, look for what it promised; returns the exit status."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))  # for the clients' connections
    tokens = make_study(folder, args.raters, args.records, args.video_bytes, args.crowd)
    server = Server(folder, args.package)
    starts, wrong = [server.start()], []
    run = Run(server.port, args.raters / args.rate)
    threads = [
        threading.Thread(
            target=make_client(run, tokens, n).rate_all,
            args=(run.period * n / args.raters,), daemon=True,
        )
        for n in range(args.raters)
    ]  # fmt: skip
    begun = time.perf_counter()
    threading.Thread(target=watch, args=(run, tokens["organiser"]), daemon=True).start()
    idle = IdleConnections(run.port, args.idle, run.stop)
    if args.idle:
        threading.Thread(target=idle.hold, daemon=True).start()
    for thread in threads:
        thread.start()
    try:
        for number in range(args.kills):
            at = args.records * (number + 0.5) / args.kills
            while len(run.acknowledged) < at and any(t.is_alive() for t in threads):
                time.sleep(0.002)
            promised = set(run.acknowledged)  # before the kill: all of these were acknowledged
            server.kill()
            wrong += missing(folder, promised)
            starts.append(server.start())
        for thread in threads:
            thread.join()
        whole = time.perf_counter() - begun
    finally:
        run.stop.set()
        server.kill()
    used = resource.getrusage(resource.RUSAGE_CHILDREN)  # all servers, their starts included
    wrong += missing(folder, run.acknowledged) + run.refused
    rows, distinct = exported(folder)
    scores = len(DIMENSIONS) * len(run.acknowledged)
    first = sorted(run.first_try)
    p50, p95, p99 = (first[min(len(first) - 1, int(q * len(first)))] for q in (0.5, 0.95, 0.99))
    down = sum(starts[1:])
    print(f"{args.raters} raters at once, {args.records} ratings, {args.kills} x kill -9")
    if args.idle:
        print(f"  {args.idle} idle connections at a time; open: median "
              f"{statistics.median(idle.open_counts):.0f}, most {max(idle.open_counts)}; "
              f"closed by the server or a kill and opened again {idle.reopened}")  # fmt: skip
    print(f"  {common.cores()} cores, load {os.getloadavg()[0]:.1f}")
    print(f"  {whole:.1f} s, of these {down:.1f} s without a server; one start "
          f"{statistics.median(starts):.2f} s (most {max(starts):.2f} s)")  # fmt: skip
    print(f"  {len(run.acknowledged) / (whole - down):.0f} ratings/s while it ran")
    print(f"  server CPU {used.ru_utime + used.ru_stime:.0f} s, its {len(starts)} starts included")
    print(f"  answered at the first try: {len(first)}; p50 {1000 * p50:.1f} ms, "
          f"p95 {1000 * p95:.1f} ms, p99 {1000 * p99:.1f} ms, "
          f"most {1000 * first[-1]:.0f} ms")  # fmt: skip
    print(f"  cut off by a kill and sent again: {len(run.retried)}, of these stored before: "
          f"{run.repeated}; longest wait {max(run.retried, default=0):.1f} s")  # fmt: skip
    print(f"  p95 of a score under {1000 * TARGET_SEC:.0f} ms: {common.word(p95 < TARGET_SEC)}")
    lost = args.records - len(run.acknowledged)
    twice = rows - distinct
    print(f"ACKNOWLEDGED {len(run.acknowledged)} of {args.records}; exported {rows} scores of "
          f"{scores}; twice {twice}; wrong {len(wrong)}")  # fmt: skip
    for sentence in wrong[:10]:
        print(f"  {sentence}")
    return int(bool(wrong) or bool(lost) or bool(twice) or rows != scores)


if __name__ == "__main__":
    sys.exit(main())
