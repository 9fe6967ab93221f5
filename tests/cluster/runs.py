"""A whole run whose jobs go to Slurm, started in the background, and what it left."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from typing import ClassVar

from flow import Flow
from sfqa.cache import find_records

#: Floating sums depend on the number of threads: the same here and there, for equal bytes.
THREADS = ("--set-threads", "extract_features=2")
#: What this Slurm needs and a site's does not: it has no accounting, and answers at once.
HERE = (
    "--slurm-status-command", "squeue", "--slurm-init-seconds-before-status-checks", "1",
    "--latency-wait", "10", "--jobs", "4", *THREADS,
)  # fmt: skip


class ClusterFlow(Flow):
    """The same workflow, its jobs by Slurm."""

    #: What :meth:`start` started, so that a failed test leaves nothing behind.
    started: ClassVar[list[subprocess.Popen[bytes]]] = []

    def command(self, *options):
        return [
            sys.executable, "-m", "snakemake", *options, "--workflow-profile", "profiles/slurm",
            *HERE, "--configfile", "test.yaml",
        ]  # fmt: skip

    def start(self, *options):
        """Start a run in a session of its own; its output goes to cluster.log."""
        with open(self.folder / "cluster.log", "w") as out:
            process = subprocess.Popen(
                self.command(*options), cwd=self.folder, stdout=out, stderr=subprocess.STDOUT,
                start_new_session=True,
            )  # fmt: skip
        self.started.append(process)
        return process

    @classmethod
    def end_all(cls):
        """Kill the runs that have not ended."""
        for process in cls.started:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        cls.started.clear()

    @property
    def said(self):
        return (self.folder / "cluster.log").read_text()

    def rows(self, extractor):
        """Rows that were ever computed and kept: the files are only appended to."""
        files = self.results.glob(f"features/{extractor}/cache/**/*.rows")
        return sum(1 for path in files for _ in find_records(path))

    def slurm_logs(self):
        return "".join(
            p.read_text() for p in sorted((self.folder / ".snakemake/slurm_logs").rglob("*.log"))
        )


def finished(process, flow, seconds=1800):
    """Wait for the good end of a run."""
    code = process.wait(timeout=seconds)
    assert code == 0, flow.said[-6000:] + flow.slurm_logs()[-6000:] + flow.logs()
