"""Kill a run of the workflow at random moments, start it again, and see that nothing was lost.

    python tests/faults/harness.py --kills 200 --seed 1

First one run is left in peace. Then, round after round, a run from scratch is killed with
``kill -9`` again and again, each time either whole (Snakemake and all its jobs) or one job alone,
and started again as docs/reruns.md says, until it is done. Then every table must be byte-equal to
those of the run in peace, and what was finished before a kill must not have been made again.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import psutil

ROOT = Path(__file__).parents[2]
for name in ("workflow/scripts", "tests/support", "tests/workflow", "tests/faults"):
    folder = ROOT / name
    if str(folder) not in sys.path:
        sys.path.append(str(folder))

from progress import jobs, made, sleep_until, tables, within  # noqa: E402

from flow import PROTOCOLS, SMALL, Flow  # noqa: E402
from sfqa.identity import random_generator  # noqa: E402

#: Eight videos, the three networks of the demo, a regressor of each kind: every rule of the demo.
SOAK: dict[str, Any] = {
    **SMALL,
    "materials": {**SMALL["materials"], "clip_sec": [3.0, 4.0]},
    "features": {
        "slowfast": {"weights": "random", "options": {"every_sec": 4}},
        "clip": {"weights": "random", "options": {"model": "ViT-S-32-alt", "frames": 2}},
        "lse": {"weights": "random", "options": {"detect_every": 25}},
    },
    "regression": {
        "protocols": PROTOCOLS,
        "metrics": {
            "LSE-C": {"kind": "zero_shot", "group": "SyncNet", "inputs": ["lse.lse_c"]},
            "ridge": {"kind": "regressor", "head": "ridge", "inputs": ["slowfast", "clip.image"]},
            "mlp": {"kind": "regressor", "head": "mlp", "inputs": ["clip.image"]},
        },
    },
}
#: Kills of a round at the pace of :func:`_delay`; then they come ever later, so that it ends.
PER_ROUND = 36
_FAILED = re.compile(r"^Error in (?:rule|checkpoint) (\w+):", re.MULTILINE)
#: One kill of a whole run in so many comes while Snakemake reads, plans or starts its first job.
_EARLY = 0.2
#: Share of the kills that take the whole run.
_WHOLE = 1 / 3
_END_SEC = 60.0

Say = Callable[[str], None]


class LostError(AssertionError):
    """What a kill must not do; the message says with which seed and round to see it again."""


@dataclass(frozen=True)
class Kill:
    """One ``kill -9``: whom, when, and which rules were at work."""

    seed: int
    round: int
    number: int
    kind: str
    rule: str
    running: tuple[str, ...]
    after_sec: float


@dataclass(frozen=True)
class Peace:
    """A run that nobody disturbed: what it made, and how long it took on this machine now."""

    tables: dict[str, bytes]
    rows: int
    things: int
    start_sec: float
    work_sec: float


@dataclass
class Round:
    """One run from scratch to its end: its kills, and what was made twice."""

    number: int
    kills: list[Kill] = field(default_factory=list)
    starts: int = 0
    rows_again: int = 0
    files_again: list[str] = field(default_factory=list)
    left_files: int = 0
    left_bytes: int = 0

    @property
    def again(self) -> int:
        """Rows, videos and fits that were finished and were made again all the same."""
        return self.rows_again + len(self.files_again)


def in_peace(folder: Path, config: dict[str, Any], targets: tuple[str, ...] = ()) -> Peace:
    """Run once undisturbed; note when the first job began and how long the jobs took."""
    flow = Flow(folder, config)
    begun = time.monotonic()
    process = _start(flow, targets)
    while process.poll() is None and not jobs(process):
        time.sleep(0.05)
    first = time.monotonic()
    assert process.wait() == 0, _said(flow)[-6000:] + flow.logs()
    all_made, work_sec = made(flow), time.monotonic() - first
    rows = sum(all_made.rows.values())
    return Peace(tables(flow), rows, all_made.things, first - begun, work_sec)


def soak(
    folder: Path,
    config: dict[str, Any],
    kills: int,
    seed: int,
    first_round: int = 1,
    targets: tuple[str, ...] = (),
    by_progress: bool = False,
    minutes: float = math.inf,
    say: Say = print,
) -> list[Round]:
    """Spend the kills over rounds from scratch in ``folder``; return the rounds, all of them whole.

    Moments are drawn in time; with ``by_progress`` in things made, one in each of as many equal
    parts of the run as a round has kills (:data:`PER_ROUND` at most), so that long jobs do not
    take them all, and each round spends its number on any machine. The kills are written to
    ``folder/kills.jsonl`` as they happen; after ``minutes`` there are no more and the last round
    ends. Raises :class:`LostError` where a round ends with other tables, or with more made twice
    than it had kills; its folder stays. While there is a file ``folder/pause``, no run is started.
    """
    folder.mkdir(parents=True, exist_ok=True)
    peace = in_peace(folder / "peace", config, targets)
    say(
        f"in peace: {peace.start_sec:.0f} s to the first job, {peace.work_sec:.0f} s of jobs, "
        f"{len(peace.tables)} tables, {peace.rows} feature rows"
    )
    rounds: list[Round] = []
    end = time.monotonic() + 60 * minutes
    while (left := kills - sum(len(r.kills) for r in rounds)) > 0 and time.monotonic() < end:
        number = first_round + len(rounds)
        flow = Flow(folder / f"round{number}", config)
        begun = time.monotonic()
        most = min(left, PER_ROUND) if by_progress else left
        fire = Fire(flow, peace, seed, number, most, targets, folder / "kills.jsonl", by_progress)
        fire.end = end
        done = fire.play()
        check(done, flow, peace, seed)
        rounds.append(done)
        say(
            f"round {number}: {len(done.kills)} kills, {done.starts} starts, equal tables, "
            f"{done.rows_again} rows and {len(done.files_again)} files made twice, "
            f"{done.left_files} files left over ({done.left_bytes} bytes), "
            f"{time.monotonic() - begun:.0f} s; {kills - left + len(done.kills)} of {kills}"
        )
        shutil.rmtree(flow.folder)
    return rounds


class Fire:
    """One round: starts, kills and starts again until the run is done."""

    def __init__(
        self, flow: Flow, peace: Peace, seed: int, number: int, kills: int,
        targets: tuple[str, ...], log: Path, by_progress: bool = False,
    ) -> None:  # fmt: skip
        self.flow, self.peace, self.targets, self.log = flow, peace, targets, log
        self.seed, self.most, self.by_progress = seed, kills, by_progress
        self.mean_sec = peace.work_sec / min(PER_ROUND, kills + 1)
        self.end = math.inf
        self.round = Round(number)
        self.seen = made(flow)

    def play(self) -> Round:
        """Return the round when its run has ended well."""
        while True:
            while (self.log.parent / "pause").exists():
                time.sleep(1)
            process = _start(self.flow, self.targets)
            begun, earlier, killed = time.monotonic(), len(self.round.kills), None
            self.round.starts += 1
            while process.poll() is None and killed != "run" and self._more():
                killed = self._kill(process, begun) or killed
            code = process.wait()
            self._nobody_left()
            self.compare()
            if code == 0:
                return self.round
            # Of the jobs, none may fail but those that were killed.
            rules = {kill.rule for kill in self.round.kills[earlier:]}
            failed = set(_FAILED.findall(_said(self.flow)))
            if killed is None or failed - rules:
                raise LostError(f"{self._where()}: a run fails by itself\n{_ends(self.flow)}")
            if killed == "run":
                self.flow.run("--unlock")

    def _kill(self, process: subprocess.Popen[bytes], begun: float) -> str | None:
        """Wait for the drawn moment and kill; None where the run ended before."""
        number = len(self.round.kills) + 1
        draw = random_generator("kills", self.seed, self.round.number, number)
        kind = "run" if draw.random() < _WHOLE else "job"
        early = draw.random() < _EARLY and kind == "run" and not jobs(process)
        chance, choice = draw.random(), draw.random()
        if self.by_progress:
            part = (number - 1 + chance) / self.most * self.peace.things
            sleep_until(lambda: made(self.flow).things >= part, process)
        elif early:
            sleep_until(lambda: False, process, self.peace.start_sec * chance)
        else:
            sleep_until(lambda: bool(jobs(process)), process)
            sleep_until(lambda: False, process, self._delay(chance, number))
        if kind == "job":
            sleep_until(lambda: bool(jobs(process)), process)
        at_work = jobs(process)
        if process.poll() is not None or (kind == "job" and not at_work):
            return None
        moment, rule = time.monotonic() - begun, "snakemake"
        if kind == "run":
            stop = partial(os.killpg, process.pid, signal.SIGKILL)
        else:
            rule, job = at_work[int(choice * len(at_work))]
            stop = partial(job.send_signal, signal.SIGKILL)
        try:
            stop()
        except (ProcessLookupError, psutil.NoSuchProcess):
            return None
        running = tuple(name for name, _ in at_work)
        kill = Kill(self.seed, self.round.number, number, kind, rule, running, round(moment, 2))
        self.round.kills.append(kill)
        with open(self.log, "a") as out:
            out.write(json.dumps(asdict(kill)) + "\n")
        return kind

    def _more(self) -> bool:
        return len(self.round.kills) < self.most and time.monotonic() < self.end

    def _delay(self, chance: float, number: int) -> float:
        """Seconds of work until a kill: uniform, on average a share of the whole work."""
        late = 1.3 ** max(0, number - PER_ROUND + 3)
        return 2 * chance * self.mean_sec * late

    def compare(self) -> None:
        """See which of the files that were finished at the last look have been made again."""
        now = made(self.flow)
        lost = self.seen.rows - now.rows
        if lost:
            raise LostError(f"{self._where()}: feature rows are gone: {sorted(lost)[:3]}")
        before = self.seen.files
        self.round.files_again += [n for n, file in before.items() if now.files.get(n) != file]
        self.round.rows_again = sum(now.rows.values()) - len(now.rows)
        self.seen = now

    def _nobody_left(self) -> None:
        """Wait for the last process of a run: one that goes on would work beside the next run."""
        end = time.monotonic() + _END_SEC
        while left := list(within(self.flow.folder)):
            if time.monotonic() > end:
                raise LostError(f"{self._where()}: processes outlive their run: {left}")
            time.sleep(0.05)

    def _where(self) -> str:
        last = self.round.kills[-1] if self.round.kills else "no kill"
        return f"seed {self.seed}, round {self.round.number}, after {last}, in {self.flow.folder}"


def check(done: Round, flow: Flow, peace: Peace, seed: int) -> None:
    """Raise :class:`LostError` where a finished round is not as the run in peace was."""
    where = f"seed {seed}, round {done.number}, in {flow.folder}"
    ours = tables(flow)
    other = [n for n in peace.tables.keys() | ours if ours.get(n) != peace.tables.get(n)]
    if other:
        raise LostError(f"{where}: tables differ from the run in peace: {sorted(other)}")
    if done.again > len(done.kills):
        raise LostError(f"{where}: {done.again} made twice, {len(done.kills)} kills: {done}")
    rows = sum(made(flow).rows.values()) - done.rows_again
    if rows != peace.rows:
        raise LostError(f"{where}: {rows} feature rows are kept, {peace.rows} in peace")
    left = [p for p in flow.results.rglob(".*") if p.is_file() and p.name != ".watch.json"]
    done.left_files, done.left_bytes = len(left), sum(p.stat().st_size for p in left)


def _start(flow: Flow, targets: tuple[str, ...]) -> subprocess.Popen[bytes]:
    with open(flow.folder / "said.log", "w") as out:
        return subprocess.Popen(
            flow.command(*targets), cwd=flow.folder, stdout=out, stderr=subprocess.STDOUT,
            start_new_session=True,
        )  # fmt: skip


def _said(flow: Flow) -> str:
    return (flow.folder / "said.log").read_text()


def _ends(flow: Flow) -> str:
    return _said(flow)[-4000:] + flow.logs()


def summary(rounds: list[Round]) -> str:
    """A table of what was killed and what was made twice.

    >>> print(summary([Round(1, [Kill(1, 1, 1, "job", "predict", ("predict",), 2.0)], 2)]))
    | kills of | number |
    |:--|--:|
    | job: predict | 1 |
    | **all** | 1 |
    <BLANKLINE>
    1 rounds, 2 starts, 1 kills: 0 feature rows and 0 videos or fits made twice; all tables equal
    """
    kills = [kill for done in rounds for kill in done.kills]
    names = Counter(_name(kill) for kill in kills)
    lines = ["| kills of | number |", "|:--|--:|"]
    lines += [f"| {name} | {count} |" for name, count in sorted(names.items())]
    rows, files = sum(r.rows_again for r in rounds), sum(len(r.files_again) for r in rounds)
    lines += [
        f"| **all** | {len(kills)} |", "",
        f"{len(rounds)} rounds, {sum(r.starts for r in rounds)} starts, {len(kills)} kills: "
        f"{rows} feature rows and {files} videos or fits made twice; all tables equal",
    ]  # fmt: skip
    return "\n".join(lines)


def _name(kill: Kill) -> str:
    """Who was killed; of a run, beside which jobs."""
    if kill.kind == "job":
        return f"job: {kill.rule}"
    return f"run, {' and '.join(sorted(set(kill.running))) or 'between jobs'}"


def main() -> int:
    """Read the command line, soak, print the summary; 1 where something was lost."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--round", type=int, default=1, help="the first round: repeats one alone")
    parser.add_argument("--minutes", type=float, default=math.inf, help="no kills after so many")
    parser.add_argument("--by-progress", action="store_true", help="moments by what is made")
    parser.add_argument("--folder", type=Path, help="where to run; by default a temporary folder")
    given = parser.parse_args()
    folder = given.folder or Path(tempfile.mkdtemp(prefix="kills-"))

    def say(line: str) -> None:
        print(time.strftime("%H:%M:%S"), line, flush=True)

    try:
        rounds = soak(
            folder, SOAK, given.kills, given.seed, given.round,
            by_progress=given.by_progress, minutes=given.minutes, say=say,
        )  # fmt: skip
    except AssertionError as error:
        print(error, file=sys.stderr)
        return 1
    print(summary(rounds))
    if not given.folder:
        shutil.rmtree(folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
