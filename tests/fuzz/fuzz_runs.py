"""Run samples through a child process and collect what became of each, whatever happens to it."""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sfqa import media

HERE = Path(__file__).parent

#: Seconds within which every file must have its row. Half a second is usual; 25 are needed, where
#: nothing else is running, for an hour of stills or silence that broken times ask for.
LIMIT_SEC = 150.0
#: Memory in MiB that no process may reach, whatever a header says.
PEAK_MB = 2500.0


@dataclass(frozen=True)
class Outcome:
    """What became of a sample; ``status`` is crashed or hung where it took its process along."""

    status: str
    detail: str
    seconds: float = 0.0

    @property
    def words(self) -> str:
        """The words of the detail, or what there is in their place."""
        return "+".join(part.split(":")[0] for part in self.detail.split("; ")) or self.status


@dataclass
class Fuzz:
    """A folder to work in and what has come of it."""

    folder: Path
    outcomes: dict[str, Outcome] = field(default_factory=dict)
    peak_mb: float = 0.0

    def run(self, stage: str, samples: dict[str, Path], **job: Any) -> dict[str, Outcome]:
        """Run a stage (see fuzz_child.py) until every sample has an outcome."""
        self.outcomes = {}
        left, killers = dict(samples), []
        while left:
            killer = self._run(stage, left, job)
            if killer is None:
                break
            killers.append(killer)
            del left[killer]
        return self.outcomes

    def _run(self, stage: str, samples: dict[str, Path], job: dict[str, Any]) -> str | None:
        """Run a child; return the sample that ended it, None where it came to its own end."""
        task = self.folder / "job.json"
        paths = {name: str(path) for name, path in samples.items()}
        task.write_text(json.dumps({
            "stage": stage, "samples": paths, "folder": str(self.folder), "limit": LIMIT_SEC,
            "name": "0", **job,
        }))  # fmt: skip
        package = HERE.parents[1] / "workflow" / "scripts"
        with open(self.folder / "child.log", "w") as log:
            child = subprocess.Popen(
                [sys.executable, str(HERE / "fuzz_child.py"), str(task)],
                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log, text=True,
                env={**os.environ, "PYTHONPATH": str(package)}, start_new_session=True,
            )  # fmt: skip
        now = None
        for event in _events(child):
            now = event.get("began", None if "ended" in event else now)
            if name := event.get("ended"):
                self.outcomes[name] = Outcome(event["status"], event["detail"], event["seconds"])
            self.peak_mb = max(self.peak_mb, event.get("peak_mb", 0.0))
        hung = child.poll() is None
        _kill(child)
        if now is None:
            log_text = (self.folder / "child.log").read_text()
            assert not hung, f"the child hung outside any sample:\n{log_text}"
            assert child.returncode == 0, log_text
            return None
        code = child.returncode
        how = signal.Signals(-code).name if code < 0 else f"exit status {code}"
        tail = (self.folder / "child.log").read_text()[-400:]
        word = "hung" if hung else "crashed"
        self.outcomes[now] = Outcome(word, f"{word}: {how} {tail}", LIMIT_SEC)
        return now


def _events(child: subprocess.Popen[str]) -> Iterator[dict[str, Any]]:
    """What the child says, until it ends or says nothing for too long."""
    lines: queue.Queue[str] = queue.Queue()

    def listen() -> None:
        assert child.stdout is not None
        for line in child.stdout:
            lines.put(line)
        lines.put("")

    threading.Thread(target=listen, daemon=True).start()
    patience = 120.0  # for the imports
    while True:
        try:
            line = lines.get(timeout=patience)
        except queue.Empty:
            return
        if not line:
            child.wait()
            return
        event = json.loads(line)
        patience = max(2 * LIMIT_SEC, float(event.get("patience", 0.0)))
        yield event


def _kill(child: subprocess.Popen[str]) -> None:
    """End what is left of the child's session: itself and an ffmpeg of its own."""
    with suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)
    child.wait()


def frames(path: Path) -> tuple[int, bool]:
    """How many frames ffmpeg alone decodes of a file's first picture, and whether without a word."""
    command = [
        media.ffmpeg_exe(), "-v", "repeat+error", "-nostdin", "-i", str(path), "-map", "0:V:0",
        "-fps_mode", "passthrough", "-vf", "scale=2:2", "-pix_fmt", "gray", "-f", "rawvideo", "-",
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, check=False, timeout=LIMIT_SEC)
    # The writer of raw pictures minds times that stand still; they are none of its business.
    said = [line for line in done.stderr.splitlines() if not line.startswith(b"[rawvideo")]
    return len(done.stdout) // 4, not said


def table(outcomes: dict[str, Outcome]) -> str:
    """Outcomes by kind of corruption, with the words of the reasons, most frequent first."""
    kinds: dict[str, list[Outcome]] = {}
    for name, outcome in outcomes.items():
        kinds.setdefault(name.split("_")[0], []).append(outcome)
    lines = []
    for kind, found in sorted(kinds.items()):
        states = Counter(o.status for o in found)
        counted = "  ".join(f"{n} {state}" for state, n in sorted(states.items()))
        words = Counter(o.words for o in found if o.detail).most_common()
        said = ", ".join(f"{word} {n}" for word, n in words)
        lines.append(f"{kind:9s} {len(found):3d}: {counted:32s} {said}")
    slowest = max(outcomes.items(), key=lambda item: item[1].seconds)
    return "\n".join([*lines, f"slowest: {slowest[0]}, {slowest[1].seconds:.1f} s"])
