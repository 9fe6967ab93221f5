"""A real Slurm of one node on loopback: Debian's daemons started by hand, for tests.

No systemd, no accounting database. Every job is shown its own device as 0, as on a site with
ConstrainDevices=yes: by cgroups where this machine lets Slurm use them, else by a task prolog that
stands in for them (:attr:`Slurm.constrained_by` says which). Everything lies in one folder except
links in /etc/slurm, which job steps need because the executor takes SLURM_CONF from their
environment.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import pwd
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import psutil

PACKAGES = ("munge", "slurmctld", "slurmd", "slurm-client")
TOOLS = ("munged", "slurmctld", "slurmd", "sbatch", "srun", "squeue", "scancel", "scontrol")
SITE = Path("/etc/slurm")
#: Marks a folder as ours, so that no other Slurm is ever replaced or stopped.
MARK = "this-slurm-is-for-tests"
GPUS = 4
#: Configuration files, linked into /etc/slurm.
CONFIGS = ("slurm.conf", "gres.conf", "cgroup.conf")
#: The devices of Slurm: character devices of NVIDIA's major number, which no driver serves here.
NVIDIA_MAJOR = 195
CGROUPS, PROLOG = "cgroups", "task prolog"
#: Lists the device that was granted to the job as GPU 0, as nvidia-smi does where it sees no other.
NVIDIA_SMI = """#!/bin/sh
granted=${SLURM_STEP_GPUS:-$SLURM_JOB_GPUS}
test -z "$granted" || echo "GPU 0: stand-in (UUID: GPU-0000-$granted)"
"""
#: Run by Slurm before every task; what it prints is put into the task's environment.
TASK_PROLOG = """#!/bin/sh
echo "export PATH=TOOLS:$PATH"
test -z "$CUDA_VISIBLE_DEVICES" || echo "export CUDA_VISIBLE_DEVICES=0"
"""


def why_not() -> str:
    """Why Slurm cannot be started here, as a sentence; '' where it can."""
    if os.geteuid() != 0:
        return "slurmd starts jobs as their users and so must be started by root"
    missing = [tool for tool in TOOLS if shutil.which(tool) is None]
    if missing:
        return f"no {', '.join(missing)}: apt-get install -y {' '.join(PACKAGES)}"
    if importlib.util.find_spec("snakemake_executor_plugin_slurm") is None:
        return "no executor plugin: pip install -r requirements-cluster.txt"
    config = SITE / "slurm.conf"
    if os.path.lexists(config) and not _ours(config):
        return f"{config} belongs to a Slurm of this machine, which is left alone"
    try:
        if not socket.gethostbyname(socket.gethostname()).startswith("127."):
            return f"/etc/hosts must name {socket.gethostname()} at 127.0.0.1"
    except OSError:
        return f"/etc/hosts must name {socket.gethostname()} at 127.0.0.1"
    return ""


def _ours(link: Path) -> bool:
    return link.is_symlink() and (not link.exists() or (link.resolve().parents[1] / MARK).exists())


@dataclass(frozen=True)
class Job:
    """A line of squeue: number, state, name (Snakemake's run), comment (rule and wildcards)."""

    number: str
    state: str
    name: str
    comment: str


class Slurm:
    """One controller and one node; ``start`` it, ``stop`` it, ask it, hurt it."""

    def __init__(self, folder: Path, cpus: int = 4, memory_mb: int = 16000) -> None:
        self.folder, self.cpus, self.memory_mb = folder, cpus, memory_mb
        self.host = socket.gethostname().split(".")[0]
        self.munge_started = False
        self.constrained_by = CGROUPS if can_use_cgroups() else PROLOG
        # Daemons and tools must not inherit what a job of some other Slurm was given.
        foreign = ("SLURM_", "SBATCH_", "SRUN_")
        self.env = {k: v for k, v in os.environ.items() if not k.startswith(foreign)}

    def start(self) -> None:
        """Start munge, controller and node daemon, and wait until the node takes jobs."""
        for name in ("etc", "log", "run", "state/ctld", "state/slurmd", "gpu"):
            (self.folder / name).mkdir(parents=True, exist_ok=True)
        (self.folder / MARK).touch()
        self._write_config()
        SITE.mkdir(exist_ok=True)
        for name in CONFIGS:
            (SITE / name).unlink(missing_ok=True)
            (SITE / name).symlink_to(self.folder / "etc" / name)
        self._start_munge()
        self.start_controller()
        self._call("slurmd")
        self._until(lambda: self._says(["sinfo", "-h", "-o", "%T"]) in ("idle", "mixed"))

    def stop(self) -> None:
        """Cancel what runs and stop what :meth:`start` started, nothing else."""
        if self._alive("slurmctld"):
            for job in self.jobs():
                self.cancel(job.number, "KILL")
            self._until(lambda: not self.running(), 20, needed=False)
        for daemon in ("slurmd", "slurmctld"):
            self._end(daemon, self.folder / "run" / f"{daemon}.pid")
        if self.munge_started:
            self._end("munged", Path("/run/munge/munged.pid"))
        for name in CONFIGS:
            if _ours(SITE / name):
                (SITE / name).unlink()

    def start_controller(self) -> None:
        """Start the controller, with the state that the last one saved."""
        self._call("slurmctld")
        self._until(lambda: "UP" in self._says(["scontrol", "ping"]))

    def stop_controller(self) -> None:
        """Stop the controller; what runs on the node runs on."""
        self._end("slurmctld", self.folder / "run" / "slurmctld.pid")

    def jobs(self) -> list[Job]:
        """All jobs that Slurm still knows and that have not ended."""
        found = self._says(["squeue", "-h", "-o", "%i|%T|%j|%k"]).splitlines()
        return [Job(*line.split("|", 3)) for line in found]

    def running(self, word: str = "") -> list[Job]:
        """Jobs that run (or are ending), of the rules whose comment holds a word."""
        states = ("RUNNING", "COMPLETING")
        return [j for j in self.jobs() if j.state in states and word in j.comment]

    def cancel(self, number: str, with_signal: str = "") -> None:
        """Cancel a job; with a signal, send this to its steps and nothing more."""
        how = [f"--signal={with_signal}"] if with_signal else []
        self._says(["scancel", *how, number])

    def cancel_run(self, name: str) -> None:
        """Cancel all jobs of one Snakemake run, as docs/clusters.md says, and wait for their end."""
        self._says(["scancel", f"--name={name}"])
        self._until(lambda: not [j for j in self.jobs() if j.name == name])

    def _write_config(self) -> None:
        etc, run, log = (self.folder / name for name in ("etc", "run", "log"))
        tools = self.folder / "tools"
        write_program(tools / "nvidia-smi", NVIDIA_SMI)
        write_program(tools / "task_prolog", TASK_PROLOG.replace("TOOLS", str(tools)))
        by_cgroups = self.constrained_by == CGROUPS
        controller, node = _free_port(16800), _free_port(17300)
        lines = [
            "ClusterName=tests",
            f"SlurmctldHost={self.host}(127.0.0.1)",
            "SlurmUser=root",
            "SlurmdUser=root",
            "AuthType=auth/munge",
            "CommunicationParameters=NoCtldInAddrAny,NoInAddrAny",
            f"SlurmctldPort={controller}",
            f"SlurmdPort={node}",
            f"SlurmctldPidFile={run}/slurmctld.pid",
            f"SlurmdPidFile={run}/slurmd.pid",
            f"StateSaveLocation={self.folder}/state/ctld",
            f"SlurmdSpoolDir={self.folder}/state/slurmd",
            f"SlurmctldLogFile={log}/slurmctld.log",
            f"SlurmdLogFile={log}/slurmd.log",
            # Containers have no systemd, and often no cgroups to delegate.
            "ProctrackType=proctrack/linuxproc",
            f"TaskPlugin=task/{'cgroup' if by_cgroups else 'none'}",
            f"TaskProlog={tools}/task_prolog",
            "JobAcctGatherType=jobacct_gather/none",
            "MpiDefault=none",
            "SwitchType=switch/none",
            "ReturnToService=2",
            "SlurmdParameters=config_overrides",
            "AccountingStorageType=accounting_storage/none",
            # A test does not wait for the scheduler.
            "SchedulerParameters=batch_sched_delay=0,sched_min_interval=0,bf_interval=2",
            "SelectType=select/cons_tres",
            "SelectTypeParameters=CR_Core_Memory",
            # squeue answers for jobs that have ended; the executor asks it for their state.
            "MinJobAge=600",
            "KillWait=10",
            "GresTypes=gpu",
            f"NodeName={self.host} NodeAddr=127.0.0.1 CPUs={self.cpus} Boards=1 SocketsPerBoard=1 "
            f"CoresPerSocket={self.cpus} ThreadsPerCore=1 RealMemory={self.memory_mb} "
            f"Gres=gpu:fake:{GPUS} State=UNKNOWN",
            f"PartitionName=main Nodes={self.host} Default=YES MaxTime=UNLIMITED State=UP",
        ]
        (etc / "slurm.conf").write_text("\n".join(lines) + "\n")
        (etc / "gres.conf").write_text(f"NodeName={self.host} Name=gpu Type=fake {self._gpus()}\n")
        cgroups = "CgroupPlugin=cgroup/v1\nConstrainDevices=yes\n" if by_cgroups else ""
        (etc / "cgroup.conf").write_text(f"{cgroups}ConstrainCores=no\nConstrainRAMSpace=no\n")

    def _gpus(self) -> str:
        """Character devices, so that jobs get CUDA_VISIBLE_DEVICES; a count where none may be made."""
        try:
            for number in range(GPUS):
                path = self.folder / "gpu" / f"gpu{number}"
                if not path.exists():
                    os.mknod(path, 0o20666, os.makedev(NVIDIA_MAJOR, number))
        except OSError:
            return f"Count={GPUS}"
        return f"File={self.folder}/gpu/gpu[0-{GPUS - 1}]"

    def _start_munge(self) -> None:
        if self._munge_works():
            return
        user = pwd.getpwnam("munge")
        run = Path("/run/munge")
        run.mkdir(mode=0o755, exist_ok=True)
        os.chown(run, user.pw_uid, user.pw_gid)
        key = Path("/etc/munge/munge.key")
        if not key.is_file():
            self._says(["runuser", "-u", "munge", "--", "mungekey"])
        self._call("runuser", "-u", "munge", "--", shutil.which("munged") or "munged")
        self.munge_started = True
        self._until(self._munge_works)

    def _munge_works(self) -> bool:
        made = subprocess.run(["munge", "-n"], capture_output=True, check=False)
        read = subprocess.run(["unmunge"], input=made.stdout, capture_output=True, check=False)
        return made.returncode == read.returncode == 0

    def _call(self, *command: str) -> None:
        """Start a daemon, which goes to the background by itself."""
        subprocess.run(
            command, env=self.env, check=True, timeout=60, stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip

    def _says(self, command: list[str]) -> str:
        done = subprocess.run(
            command, env=self.env, capture_output=True, text=True, check=False, timeout=60
        )
        return done.stdout.strip()

    def _alive(self, daemon: str) -> bool:
        return _process(daemon, self.folder / "run" / f"{daemon}.pid") is not None

    def _end(self, daemon: str, pid_file: Path) -> None:
        number = _process(daemon, pid_file)
        if number is None:
            return
        os.kill(number, signal.SIGTERM)
        self._until(lambda: _process(daemon, pid_file) is None, 20, needed=False)

    def _until(self, done: Callable[[], bool], seconds: float = 60, needed: bool = True) -> None:
        end = time.monotonic() + seconds
        while not done():
            if time.monotonic() > end:
                assert not needed, self.logs()
                return
            time.sleep(0.1)

    def logs(self) -> str:
        """The ends of the daemons' logs."""
        return "\n".join(
            f"--- {path.name}\n{path.read_text()[-3000:]}"
            for path in sorted((self.folder / "log").glob("*.log"))
        )


def can_use_cgroups() -> bool:
    """Whether Slurm can keep jobs from devices here: by the first version of cgroups, writable."""
    devices = Path("/sys/fs/cgroup/devices")
    probe = devices / f"sfqa-probe-{os.getpid()}"
    try:
        probe.mkdir()
        probe.rmdir()
    except OSError:
        return False
    return (devices / "devices.list").exists() or (devices / "tasks").exists()


def write_program(path: Path, text: str) -> None:
    """Write a file that can be run."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)


def _process(daemon: str, pid_file: Path) -> int | None:
    """The number of a daemon that runs, by its pid file and its name; None where it does not."""
    try:
        number = int(pid_file.read_text())
        process = psutil.Process(number)
        running = process.name() == daemon and process.status() != psutil.STATUS_ZOMBIE
    except (OSError, ValueError, psutil.Error):
        return None
    return number if running else None


def _free_port(first: int) -> int:
    """A port that nobody listens on, below those that the kernel gives to outgoing connections."""
    for port in range(first, first + 500):
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise OSError(f"no free port from {first} on")
