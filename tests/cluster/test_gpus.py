"""Four GPU jobs at once on a Slurm that shows every job its own device as 0, and two users.

The first file that uses Slurm: Slurm 22.05 can keep a device marked as used (GresUsed of an idle
node) after its controller was stopped while a job of that device ended.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest
import yaml
from harness import CGROUPS, GPUS
from runs import ClusterFlow, finished
from test_walltime import CONFIG, ENTRY, LABEL

from flow import ROOT
from waiting import wait_until

pytestmark = pytest.mark.slow

#: Leases one of the visible GPUs, holds it, and prints what it had and when.
LEASE = """
import json, os, sys, time
sys.path.insert(0, {package!r})
from sfqa.gpu_leases import lease_gpu
from sfqa.gpu_names import list_visible_gpus
asked = time.time()
shown = os.environ["CUDA_VISIBLE_DEVICES"]
with lease_gpu(list_visible_gpus()) as gpu:
    begun = time.time()
    time.sleep(6)
print(json.dumps([os.environ["SLURM_JOB_GPUS"], shown, gpu.identity, asked, begun, time.time()]))
"""


@pytest.fixture(autouse=True)
def _needs_devices(request):
    if "slurm" in request.fixturenames:
        device = request.getfixturevalue("slurm").folder / "gpu/gpu0"
        if not device.exists():
            pytest.skip("no device files may be made here, so Slurm only counts GPUs")


def submit(slurm, folder, count, command, **variables):
    """Run jobs of one GPU each to their ends; return what each printed."""
    numbers = []
    for n in range(count):
        submitted = subprocess.run(
            [
                "sbatch", "--parsable", "--gpus=1", "--time=2", f"--output=gpu{n}.log", "--mem=200",
                f"--wrap={command}",
            ],
            cwd=folder, env={**slurm.env, **variables}, capture_output=True, text=True, check=True,
        )  # fmt: skip
        numbers.append(submitted.stdout.strip())
    wait_until(
        lambda: not set(numbers) & {j.number for j in slurm.jobs()}, seconds=90, every_sec=0.1
    )
    return [(folder / f"gpu{n}.log").read_text() for n in range(count)]


def check_at_once(jobs):
    """All jobs had a device of their own at the same time; ``jobs``: device, asked, begun, ended."""
    assert len({device for device, *_ in jobs}) == len(jobs)
    assert max(begun for _, _, begun, _ in jobs) < min(ended for *_, ended in jobs)
    assert max(begun - asked for _, asked, begun, _ in jobs) < 3  # nobody waited for another


def test_a_job_can_open_only_its_own_device(slurm, tmp_path):
    """What the machine's cgroups do; skipped where a task prolog stands in for them."""
    if slurm.constrained_by != CGROUPS:
        pytest.skip(f"no cgroups for Slurm here: a {slurm.constrained_by} stands in for them")
    devices = " ".join(str(slurm.folder / f"gpu/gpu{n}") for n in range(GPUS))
    command = f"for d in {devices}; do head -c1 $d; done; true"
    for n, said in enumerate(submit(slurm, tmp_path, GPUS, command)):
        assert said.count("Operation not permitted") == GPUS - 1, said
        assert f"gpu{n}' for reading: Operation not permitted" not in said


@pytest.mark.parametrize("has_nvidia_smi", [True, False])
def test_four_jobs_hold_four_devices_at_once(slurm, tmp_path, has_nvidia_smi):
    (tmp_path / "lease.py").write_text(LEASE.format(package=str(ROOT / "workflow/scripts")))
    hide = "" if has_nvidia_smi else "PATH=/usr/bin:/bin "
    command = f"srun -n1 env HOME={tmp_path} {hide}{sys.executable} lease.py"
    jobs = [json.loads(text) for text in submit(slurm, tmp_path, GPUS, command)]
    assert sorted(granted for granted, *_ in jobs) == [str(n) for n in range(GPUS)]
    assert [shown for _, shown, *_ in jobs] == GPUS * ["0"]
    if has_nvidia_smi:
        assert all(identity == f"GPU-0000-{granted}" for granted, _, identity, *_ in jobs)
    check_at_once([(granted, *times) for granted, _, _, *times in jobs])


#: A generator as its authors would ship it, which notes the device that it sees.
GENERATOR = """
import os, subprocess, sys, time, wave
arguments = [word for word in sys.argv[1:] if word != "--fix_noise_seed"]
given = dict(zip(arguments[::2], arguments[1::2]))
begun = time.time()
time.sleep(20)
with wave.open(given["--aud_path"]) as song:
    seconds = song.getnframes() / song.getframerate()
subprocess.run(
    ["ffmpeg", "-y", "-loglevel", "error", "-f", "lavfi", "-i", "testsrc2=s=128x128:r=25",
     "-i", given["--aud_path"], "-t", str(seconds), "-pix_fmt", "yuv420p", given["--res_video_path"]],
    check=True,
)
with open(CALLS, "a") as log:
    print(os.environ["CUDA_VISIBLE_DEVICES"], begun, time.time(), file=log)
"""


def test_four_jobs_of_a_run_generate_on_four_devices_at_once(slurm, tmp_path):
    """The whole way: Snakemake, sbatch, srun, the job, its lease, the generator's process."""
    labels = [f"{LABEL}{n}" for n in range(GPUS)]
    generation = {**CONFIG["generation"], "methods": labels, "require_gpu": True}
    flow = ClusterFlow(
        tmp_path / "gpus", {**CONFIG, "pairs": {"count": 2}, "generation": generation}
    )
    calls = flow.folder / "calls.txt"
    for label in labels:
        repository = flow.folder / "generators" / label / "repo"
        (repository / "checkpoints").mkdir(parents=True)
        (repository / "checkpoints/float.pth").write_bytes(b"weights")
        (repository / "generate.py").write_text(GENERATOR.replace("CALLS", repr(str(calls))))
        python = repository.parent / "env/bin/python"
        python.parent.mkdir(parents=True)
        python.write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
        python.chmod(0o755)
    (flow.folder / "methods.yaml").write_text(yaml.safe_dump(dict.fromkeys(labels, ENTRY)))
    finished(flow.start("dataset"), flow)
    times: dict[str, list[float]] = {}
    for line in calls.read_text().splitlines():
        device, begun, ended = line.split()
        times.setdefault(device, []).extend([float(begun), float(ended)])
    assert sorted(times) == [f"GPU-0000-{n}" for n in range(GPUS)]
    assert max(min(of) for of in times.values()) < min(max(of) for of in times.values())
    logs = [path.read_text() for path in (flow.results / "logs").rglob("*.log")]
    assert not [log for log in logs if "other jobs use" in log]  # no job waited for a lease


def test_two_users_of_one_machine_lease_through_the_administrators_folder(tmp_path):
    """Run as root, so with two uids; tests/test_gpu_leases.py has the refusals."""
    if os.geteuid() != 0:
        pytest.skip("only root can act as two users")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-k", "two_users", ROOT / "tests/test_gpu_leases.py"],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    assert "4 passed" in done.stdout
