import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from sfqa import media
from sfqa.gpu_names import Gpu
from sfqa.repositories import process
from sfqa.repositories.process import ProcessEnd, Timeouts

PACKAGE = Path(process.__file__).parents[2]
QUICK = Timeouts(late_sec=0.6, grace_sec=0.4, settle_sec=0.1)


@pytest.fixture
def go(tmp_path):
    """Run a Python program in a folder with a space; results are the sizes of result.txt."""
    cwd = tmp_path / "a folder"
    cwd.mkdir()
    result = cwd / "result.txt"

    def results() -> object:
        return result.stat().st_size if result.is_file() else None

    def run(code: str, limit_sec: float = 20.0, env=os.environ, timeouts=QUICK) -> ProcessEnd:
        argv = [sys.executable, "-I", "-S", "-c", code]
        return process.run_command(argv, cwd, env, tmp_path / "a.log", limit_sec, results, timeouts)

    run.log, run.cwd, run.result = tmp_path / "a.log", cwd, result
    return run


def seconds_of(call) -> float:
    start = time.monotonic()
    call()
    return time.monotonic() - start


def runs(pid: int) -> bool:
    """Whether a process is there and no zombie."""
    try:
        return psutil.Process(pid).status() not in (psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD)
    except psutil.NoSuchProcess:
        return False


def soon(condition, within: float = 5.0) -> bool:
    until = time.monotonic() + within
    while not condition():
        if time.monotonic() > until:
            return False
        time.sleep(0.02)
    return True


WRITE = "open('result.txt', 'w').write('x')\n"


def test_output_is_appended_and_nothing_is_asked(go):
    go.log.write_text("before\n")
    code = (
        WRITE
        + "import sys, os\nprint(repr(sys.stdin.read()), os.environ['PWD'], flush=True)\nsys.exit('bad')"
    )
    assert go(code) == ProcessEnd(1)
    assert go.log.read_text() == f"before\n'' {go.cwd}\nbad\n"


def test_arguments_are_taken_as_they_are(go, tmp_path):
    argv = [sys.executable, "-c", "import sys; print(sys.argv[1:])", "$HOME; `id`", "a b", "'"]
    process.run_command(argv, go.cwd, os.environ, go.log, 20, lambda: 1, QUICK)
    assert go.log.read_text() == f"{argv[3:]}\n"


def test_a_command_that_is_not_there(go, tmp_path):
    with pytest.raises(FileNotFoundError):
        process.run_command([str(tmp_path / "no")], go.cwd, os.environ, go.log, 5, lambda: 1, QUICK)


@pytest.mark.parametrize(
    ("code", "ended", "sentence"),
    [
        ("import sys; sys.exit(3)", ProcessEnd(3), "it ended with exit code 3"),
        ("import os; os.kill(os.getpid(), 9)", ProcessEnd(-9), "it was ended by SIGKILL"),
        ("import os; os.abort()", ProcessEnd(-6), "it was ended by SIGABRT"),
    ],
)
def test_bad_ends(go, code, ended, sentence):
    start = time.monotonic()
    found = go(code)
    assert (found, found.describe()) == (ended, sentence)
    assert time.monotonic() - start < QUICK.late_sec  # nothing is waited for
    assert ProcessEnd(-99).describe() == "it was ended by signal 99"


def test_a_hang_is_stopped_at_its_limit_politely_first(go):
    code = """
import signal, sys, time
def end(*_): open('asked', 'w').close(); sys.exit(0)
signal.signal(signal.SIGTERM, end)
print('up', flush=True)
time.sleep(60)
"""
    assert seconds_of(lambda: go(code, limit_sec=0.5)) < 2
    assert go(code, limit_sec=0.5) == ProcessEnd(0, timed_out=True)
    assert (go.cwd / "asked").exists()


def test_who_does_not_listen_is_killed_with_its_children(go):
    code = """
import os, signal, subprocess, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
child = subprocess.Popen([sys.executable, '-I', '-S', '-c', 'import time; time.sleep(60)'])
open('pids', 'w').write(f'{os.getpid()} {child.pid}')
time.sleep(60)
"""
    assert go(code, limit_sec=0.7) == ProcessEnd(-9, timed_out=True)
    pids = [int(pid) for pid in (go.cwd / "pids").read_text().split()]
    assert len(pids) == 2
    assert not any(runs(pid) for pid in pids)


CHILD = """
import subprocess, sys
subprocess.Popen([sys.executable, '-I', '-S', '-c', {code!r}], **{options!r})
"""


def test_a_child_that_ends_late_is_waited_for_longer_than_late_sec(go):
    late = "import time; time.sleep(1.0); open('result.txt', 'w').write('x')"
    assert go(CHILD.format(code=late, options={})) == ProcessEnd(0)
    assert go.result.read_text() == "x"


def test_a_result_out_of_the_group_is_waited_for_until_it_stands_still(go):
    grow = """
import time
time.sleep(0.2)
with open('result.txt', 'w') as out:
    for n in range(4):
        out.write('x'); out.flush(); time.sleep(0.05)
"""
    assert go(CHILD.format(code=grow, options={"start_new_session": True})) == ProcessEnd(0)
    assert go.result.read_text() == "xxxx"


def test_no_result_costs_late_sec_and_no_more(go):
    spent = seconds_of(lambda: go("pass"))
    assert QUICK.late_sec <= spent < QUICK.late_sec + 1
    go.result.write_text("x")
    assert seconds_of(lambda: go("pass")) < QUICK.late_sec


def test_a_helper_that_never_ends_does_not_cost_the_limit(go):
    stay = "import os, time; open('pid', 'w').write(str(os.getpid())); time.sleep(60)"
    code = WRITE + CHILD.format(code=stay, options={})
    start = time.monotonic()
    assert go(code, limit_sec=30) == ProcessEnd(0)
    assert time.monotonic() - start < 5
    assert soon(lambda: not runs(int((go.cwd / "pid").read_text())))


def test_a_child_without_a_result_is_stopped_at_the_limit(go):
    stay = "import time; time.sleep(60)"
    start = time.monotonic()
    assert go(CHILD.format(code=stay, options={}), limit_sec=1.0) == ProcessEnd(0, timed_out=True)
    assert time.monotonic() - start < 4


JOB = """
import os, signal, sys
from pathlib import Path
from sfqa.repositories import process
signal.signal(signal.SIGINT, signal.default_int_handler)  # nohup and & leave them ignored
signal.signal(signal.SIGHUP, signal.SIG_DFL)
cwd = Path(sys.argv[1])
with process.end_on_sigterm():
    process.run_command([sys.executable, '-I', '-S', '-c', sys.argv[2]], cwd, os.environ, cwd / 'a.log',
                60, lambda: None, process.Timeouts(grace_sec=0.3))
"""
FAMILY = """
import os, subprocess, sys, time
code = 'import time; time.sleep(60)'
child = subprocess.Popen([sys.executable, '-I', '-S', '-c', code])
open('pids.part', 'w').write(f'{os.getpid()} {child.pid}')
os.rename('pids.part', 'pids')
time.sleep(60)
"""


@pytest.mark.parametrize(
    ("number", "code"),
    [(signal.SIGKILL, -9), (signal.SIGTERM, 143), (signal.SIGINT, -2), (signal.SIGHUP, -1)],
)
def test_a_job_that_dies_takes_the_whole_group_with_it(tmp_path, number, code):
    job = subprocess.Popen(
        [sys.executable, "-c", JOB, str(tmp_path), FAMILY],
        env={**os.environ, "PYTHONPATH": str(PACKAGE)}, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        assert soon((tmp_path / "pids").exists, 20)
        pids = [int(pid) for pid in (tmp_path / "pids").read_text().split()]
        assert all(runs(pid) for pid in pids)
        job.send_signal(number)
        assert job.wait(10) == code
        assert soon(lambda: not any(runs(pid) for pid in pids))
    finally:
        job.kill()
        job.wait()


def test_the_environment_is_the_generators_own(tmp_path, monkeypatch):
    ours = {
        "VIRTUAL_ENV": "/ours", "PYTHONPATH": "/ours", "PYTHONHOME": "/ours", "CONDA_PREFIX": "/ours",
        "CONDA_DEFAULT_ENV": "x", "_CONDA_ROOT": "x", "PYTHONSTARTUP": "x", "PATH": "/ours/bin:/bin",
        "HOME": "/home/me", "HF_HUB_OFFLINE": "0", "CUDA_VISIBLE_DEVICES": "0,1",
    }  # fmt: skip
    for name, value in ours.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("CUDA_DEVICE_ORDER", raising=False)
    monkeypatch.setattr(media, "ffmpeg_exe", lambda: "/somewhere/ffmpeg-7.1")
    python = tmp_path / "env" / "bin" / "python"
    made = process.make_environment(
        python, tmp_path, tmp_path / "t", Gpu("GPU-1", "GPU-1"), {"SEED": "1", "HOME": "/x"}
    )
    assert not set(made) & {"VIRTUAL_ENV", "PYTHONPATH", "PYTHONHOME", "CONDA_PREFIX",
                            "CONDA_DEFAULT_ENV", "_CONDA_ROOT", "PYTHONSTARTUP"}  # fmt: skip
    assert made["PATH"] == f"{python.parent}:/ours/bin:/bin:{tmp_path}"
    assert (tmp_path / "ffmpeg").readlink() == Path("/somewhere/ffmpeg-7.1")
    expected = {
        "PYTHONNOUSERSITE": "1", "PYTHONUNBUFFERED": "1", "HF_HUB_OFFLINE": "1",
        "TRANSFORMERS_OFFLINE": "1", "TMPDIR": str(tmp_path / "t"), "SEED": "1", "HOME": "/x",
        "CUDA_VISIBLE_DEVICES": "GPU-1",
    }  # fmt: skip
    assert {name: made[name] for name in expected} == expected
    assert "CUDA_DEVICE_ORDER" not in made
    (tmp_path / "t2").mkdir()
    untouched = process.make_environment(python, tmp_path / "t2", tmp_path, None, {"PATH": "/bin"})
    assert untouched["CUDA_VISIBLE_DEVICES"] == "0,1"


def test_an_ffmpeg_of_the_generators_environment_is_enough(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.delenv("CUDA_DEVICE_ORDER", raising=False)
    tools, own = tmp_path / "tools", tmp_path / "ffmpeg"
    tools.mkdir()
    own.write_text("#!/bin/sh\n")
    own.chmod(0o755)
    made = process.make_environment(tmp_path / "python", tools, tmp_path, Gpu("1", "1"), {})
    assert made["PATH"] == f"{tmp_path}:/nowhere"
    assert list(tools.iterdir()) == []
    assert made["CUDA_DEVICE_ORDER"] == "PCI_BUS_ID"


def test_the_end_of_a_log(tmp_path):
    log = tmp_path / "a.log"
    assert process.read_last_lines(log, 0) == ""
    log.write_bytes(b"first\n\n  two   words \nthird\r 50 %\r100 %\n\xff\x00last\n")
    assert process.read_last_lines(log, 0) == "50 % | 100 % | \ufffdlast"
    assert process.read_last_lines(log, log.stat().st_size - 6) == "last"
    log.write_text("x" * 1000 + "end")
    assert process.read_last_lines(log, 0) == "..." + "x" * 294 + "end"
    log.write_text("old " * 100000 + "\nnew\n")
    assert len(process.read_log_end(log, 0)) == 65536
