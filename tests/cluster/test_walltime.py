"""A job that takes longer than its limit is told, saves, ends, and its next attempt goes on."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter

import pytest
import yaml
from runs import ClusterFlow, finished

from flow import SMALL
from sfqa import store, tables
from waiting import wait_until

pytestmark = pytest.mark.slow

PAIRS, VIDEO_SEC = 8, 15
LABEL = "FLOAT"
CONFIG = {
    **SMALL,
    "pairs": {"count": PAIRS},
    "generation": {
        "methods": [LABEL], "registry": "methods.yaml", "generators": "generators",
        "require_gpu": False,  # where no device files can be made Slurm only counts GPUs
    },
    "ratings": {"source": "none"},
}  # fmt: skip
#: An entry of the registry, with one weights file.
ENTRY = {
    "name": "Stand-in", "year": 2025, "backbone": "none", "kind": "command",
    "adapter": "float_flow", "version": 1, "reproducible": True, "repository": "example/stand-in",
    "commit": 40 * "0", "licence": "MIT", "environment": "workflow/envs/generators/FLOAT.yaml",
    "weights": {"folder": "checkpoints", "files": ["checkpoints/float.pth"], "by_hand": "a file"},
    "minutes": 5, "memory_gb": 1,
}  # fmt: skip
#: A generator as its authors would ship it, slow and idle, which notes what it begins and ends.
GENERATOR = f"""
import subprocess, sys, time, wave
arguments = [word for word in sys.argv[1:] if word != "--fix_noise_seed"]
given = dict(zip(arguments[::2], arguments[1::2]))
def note(word):
    with open(CALLS, "a") as log:
        print(word, given["--ref_path"].rsplit("/", 1)[1], file=log)
note("begins")
time.sleep({VIDEO_SEC})
with wave.open(given["--aud_path"]) as song:
    seconds = song.getnframes() / song.getframerate()
subprocess.run(
    ["ffmpeg", "-y", "-loglevel", "error", "-f", "lavfi", "-i", "testsrc2=s=128x128:r=25",
     "-i", given["--aud_path"], "-t", str(seconds), "-pix_fmt", "yuv420p", given["--res_video_path"]],
    check=True,
)
note("made")
"""


def installed(flow):
    """The generator in its place, filled by hand; returns the file of its notes."""
    place, calls = flow.folder / "generators" / LABEL, flow.folder / "calls.txt"
    (place / "repo/checkpoints").mkdir(parents=True)
    (place / "repo/checkpoints/float.pth").write_bytes(b"weights")
    (place / "repo/generate.py").write_text(GENERATOR.replace("CALLS", repr(str(calls))))
    python = place / "env/bin/python"
    python.parent.mkdir(parents=True)
    python.write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
    python.chmod(0o755)
    (flow.folder / "methods.yaml").write_text(yaml.safe_dump({LABEL: ENTRY}))
    return calls


def shown(slurm, number):
    """What Slurm knows of a job."""
    return subprocess.run(
        ["scontrol", "show", "job", number], env=slurm.env, capture_output=True, text=True,
        check=True,
    ).stdout  # fmt: skip


def test_a_shard_longer_than_its_limit_is_made_over_attempts_and_no_video_twice(slurm, tmp_path):
    flow = ClusterFlow(tmp_path / "walltime", CONFIG)
    calls = installed(flow)
    # Eight quarters of a minute and the start do not fit into two minutes less the warning.
    process = flow.start(
        "dataset", "--set-resources", "generate_videos:runtime=2",
        "generate_videos:slurm_extra='--signal=TERM@30'",
    )  # fmt: skip
    numbers = set()

    def ended():
        numbers.update(j.number for j in slurm.jobs() if "generate_videos" in j.comment)
        return process.poll() is not None

    wait_until(ended, seconds=1800, why=lambda: flow.said[-3000:], every_sec=0.1)
    finished(process, flow)
    said = flow.slurm_logs()
    stops = said.count("Stopped by SIGTERM: what is finished is kept")
    assert stops >= 1, said[-3000:]
    assert flow.said.count("Trying to restart job") >= 1
    # By its own end, not killed at the limit; and the exit code says what it was.
    states = [shown(slurm, number) for number in sorted(numbers)]
    assert len(states) >= 2
    assert not any("TIMEOUT" in state for state in states)
    # Every video was made once; only what a stop met in the middle was begun again.
    notes = Counter(line.split()[0] for line in calls.read_text().splitlines())
    made = Counter(line for line in calls.read_text().splitlines() if line.startswith("made"))
    assert set(made.values()) == {1}
    assert notes["made"] == PAIRS
    assert PAIRS <= notes["begins"] <= PAIRS + len(numbers) - 1
    rows = store.read(tables.VIDEOS, flow.results / f"generation/{LABEL}/0.parquet")
    assert rows["status"].tolist() == PAIRS * ["ok"], rows["detail"].tolist()


def test_slurm_tells_a_job_before_its_limit(slurm, tmp_path):
    """With the option of the profile: the signal comes, the job saves, and Slurm kills nothing."""
    root = ClusterFlow(tmp_path / "any", CONFIG).folder
    code = (
        "import sys, time; sys.path.insert(0, 'workflow/scripts')\n"
        "from sfqa.job import run_job\n"
        "from sfqa import store\n"
        "with run_job('job.log'):\n"
        "    try:\n"
        "        time.sleep(600)\n"
        "    finally:\n"
        "        open('saved', 'w').write('rows')\n"
    )
    (root / "job.py").write_text(code)
    submitted = subprocess.run(
        [
            "sbatch", "--parsable", "--time=1", "--signal=TERM@30", "--output=out.log",
            f"--wrap=srun -n1 {sys.executable} job.py",
        ],
        cwd=root, env=slurm.env, capture_output=True, text=True, check=True,
    )  # fmt: skip
    number = submitted.stdout.strip()
    wait_until(lambda: number not in {j.number for j in slurm.jobs()}, seconds=150, every_sec=0.1)
    assert (root / "saved").read_text() == "rows"
    assert "Stopped by SIGTERM" in (root / "out.log").read_text()
    # By its own exit code, not TIMEOUT: the retry follows at once.
    assert "JobState=FAILED" in (state := shown(slurm, number))
    assert "ExitCode=143:0" in state
