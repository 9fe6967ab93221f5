"""Programs of others get no secrets, leave no process behind and write logs of bounded size."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import psutil
import pytest

from sfqa.errors import UserError
from sfqa.generation import registry
from sfqa.repositories import process, sources
from sfqa.repositories.process import ProcessEnd, Timeouts

QUICK = Timeouts(late_sec=0.4, grace_sec=0.2, settle_sec=0.1)
SECRETS = (
    "AWS_SECRET_ACCESS_KEY", "HF_TOKEN", "GITHUB_TOKEN", "SSH_AUTH_SOCK", "SLURM_JWT", "HTTPS_PROXY",
    "https_proxy", "PYTHONINSPECT", "PYTHONWARNINGS", "PYTHONUSERBASE", "NVIDIA_API_KEY", "NGC_API_KEY",
    "KRB5CCNAME", "DBUS_SESSION_BUS_ADDRESS", "GPG_AGENT_INFO", "PIP_INDEX_URL", "LD_PRELOAD",
    "OPENAI_API_KEY", "DATABASE_URL", "TF_TOKEN", "BASH_ENV",
)  # fmt: skip
NEEDED = (
    "PATH", "HOME", "LANG", "LC_ALL", "TZ", "LD_LIBRARY_PATH", "CUDA_VISIBLE_DEVICES", "OMP_NUM_THREADS",
    "SLURM_JOB_ID", "HF_HOME", "NVIDIA_VISIBLE_DEVICES",
)  # fmt: skip
#: Ways to leave the process group: a new session, and an orphan in a new session (a daemon).
SESSION = """
import subprocess, sys, time
child = subprocess.Popen([sys.executable, '-I', '-S', '-c', 'import time; time.sleep(60)'],
                         start_new_session=True)
open('pids', 'w').write(str(child.pid))
"""
DAEMON = """
import os, sys, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        open('pids', 'w').write(str(os.getpid()))
        for descriptor in range(3): os.close(descriptor)
        os.execve(sys.executable, [sys.executable, '-I', '-S', '-c', 'import time; time.sleep(60)'], {})
    os._exit(0)
os.wait()
while not os.path.exists('pids') or not os.path.getsize('pids'): time.sleep(0.01)
"""


def runs(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() not in (psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD)
    except psutil.NoSuchProcess:
        return False


def run_code(folder: Path, code: str, limit_sec: float) -> ProcessEnd:
    argv = [sys.executable, "-I", "-S", "-c", code]
    log = folder / "log"
    return process.run_command(argv, folder, os.environ, log, limit_sec, lambda: 1, QUICK)


def test_a_program_gets_what_it_needs_and_no_secrets(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in (*SECRETS, *NEEDED):
        monkeypatch.setenv(name, "x")
    python = tmp_path / "bin" / "python"
    environment = process.make_environment(python, tmp_path, tmp_path, None, {"SEED": "1"})
    assert [name for name in SECRETS if name in environment] == []
    assert [name for name in NEEDED if name not in environment] == []
    assert environment["SEED"] == "1"
    (tmp_path / "ffmpeg").unlink(missing_ok=True)
    named = process.make_environment(python, tmp_path, tmp_path, None, {}, ["HF_TOKEN"])
    assert named["HF_TOKEN"] == "x"
    assert "GITHUB_TOKEN" not in named


def test_an_entry_may_name_further_variables_and_changes_nothing_without() -> None:
    path = Path(__file__).parents[2] / "config" / "methods.yaml"
    method = next(m for m in registry.load_methods(path).values() if m.runs_command)
    assert "pass_environment" not in registry.as_dict(method)
    data = {**registry.as_dict(method), "pass_environment": ["LICENCE_FILE"]}
    named = registry.from_dict(data)
    assert named.pass_environment == ("LICENCE_FILE",)
    assert registry.as_dict(named) == data
    assert named.get_identity() == method.get_identity()
    for wrong in ("HF_TOKEN", ["a b"], [1], {"a": 1}):
        with pytest.raises(UserError, match="pass_environment has"):
            sources.read_variables({"pass_environment": wrong}, "method m")


@pytest.mark.parametrize("code", [SESSION, DAEMON], ids=["session", "daemon"])
@pytest.mark.parametrize(("ending", "limit_sec"), [("time.sleep(60)", 1.0), ("sys.exit(3)", 20.0)])
def test_no_process_is_left_whatever_it_did(
    tmp_path: Path, code: str, ending: str, limit_sec: float
) -> None:
    ended = run_code(tmp_path, f"{code}\n{ending}\n", limit_sec)
    assert ended.timed_out == (limit_sec == 1.0)
    assert not runs(int((tmp_path / "pids").read_text()))


def test_a_program_that_kills_its_parent_ends_too(tmp_path: Path) -> None:
    code = "import os, time\nopen('pids', 'w').write(str(os.getpid()))\nos.kill(os.getppid(), 9)\n"
    assert run_code(tmp_path, code + "time.sleep(60)", 20.0) == ProcessEnd(-9)
    deadline = time.monotonic() + 2
    while runs(int((tmp_path / "pids").read_text())):
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.mark.parametrize(
    "code",
    [
        "import sys\nwhile True: sys.stdout.write('y' * 65536)\n",
        "import sys, subprocess\nsubprocess.Popen([sys.executable, '-c', "
        "'while True: print(\"y\" * 65536)'], start_new_session=True)\n",
    ],
    ids=["itself", "a child that stays"],
)
def test_a_log_has_a_bounded_size(tmp_path: Path, code: str) -> None:
    run_code(tmp_path, code, 0.7)
    assert (tmp_path / "log").stat().st_size <= process.LOG_BYTES
