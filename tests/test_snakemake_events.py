"""What a run of Snakemake prints while it runs and at its end: time left, results, errors last."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[1]
SNAKEFILE = """
import sys
sys.path.insert(0, {scripts!r})
from pathlib import Path
from sfqa import snakemake_events

RUN = snakemake_events.RunFollower(workflow, Path("results/small"))

onstart:
    RUN.start()

onsuccess:
    RUN.report_success()

onerror:
    RUN.report_failure()

rule all:
    input: expand("{{n}}.txt", n=range(3)), "last.txt"

rule part:
    output: "{{n}}.txt"
    log: "logs/{{n}}.log"
    shell: "touch {{output}}"

rule last:
    input: expand("{{n}}.txt", n=range(3))
    output: "last.txt"
    log: "logs/last.log"
    shell: "echo '2026-01-01 10:00:00 Error: the sentence; write this instead' > {{log}}; {command}"
"""


def run(folder: Path, command: str, *options: str) -> subprocess.CompletedProcess[str]:
    text = SNAKEFILE.format(scripts=str(ROOT / "workflow/scripts"), command=command)
    (folder / "Snakefile").write_text(text)
    return subprocess.run(
        [sys.executable, "-m", "snakemake", "--cores", "1", *options],
        cwd=folder, capture_output=True, text=True, check=False,
        env={**os.environ, "XDG_CACHE_HOME": str(folder / "cache")},
    )  # fmt: skip


def test_a_run_that_succeeds(tmp_path: Path) -> None:
    done = run(tmp_path, "touch {output}")
    assert done.returncode == 0, done.stderr[-3000:]
    assert "Less than a minute left (4 jobs; " in done.stderr
    lines = done.stderr.splitlines()
    assert lines.index("The run of the dataset small is complete.") > lines.index(
        "5 of 5 steps (100%) done"
    )
    assert "All rows are ok." in lines


def test_a_run_that_fails_prints_the_sentence_last(tmp_path: Path) -> None:
    done = run(tmp_path, "false", "--quiet", "progress", "rules")
    assert done.returncode == 1
    assert done.stderr.splitlines()[-2:] == [
        "Error in last (log: logs/last.log):",
        "the sentence; write this instead",
    ]
    assert "The run of small failed in 1 job." in done.stderr
    assert " left (" not in done.stderr
    logs = list((tmp_path / ".snakemake/log").glob("*.log"))
    assert "The run of small failed" in logs[0].read_text()


def test_a_target_alone_is_not_a_complete_run(tmp_path: Path) -> None:
    done = run(tmp_path, "touch {output}", "1.txt")
    assert done.returncode == 0
    assert "small is complete" not in done.stderr
    assert "The files that were asked for are complete.\nNo row has failed so far." in done.stderr


@pytest.mark.parametrize("name", ["default", "local-gpu", "slurm"])
def test_the_profiles_print_no_reason_of_thousands_of_characters(name: str) -> None:
    profile = yaml.safe_load((ROOT / "profiles" / name / "config.yaml").read_text())
    assert profile["quiet"] == ["reason"]
