"""The package in an empty environment, without PyTorch, and PyTorch without CUDA from a folder of wheels."""

from __future__ import annotations

import http.client
import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from package_wheel import build_wheel

sys.path.insert(0, str(Path(__file__).parent / "ratings"))
from screen_study import make, rows_of

ROOT = Path(__file__).parents[1]

pytestmark = pytest.mark.thorough


def make_environment(folder: Path) -> Path:
    """Make an empty virtual environment; return its Python."""
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
    return folder / "bin" / "python"


def run(*words: str | Path, **options: object) -> str:
    done = subprocess.run(
        [str(word) for word in words], capture_output=True, text=True, check=False, **options
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-3000:]
    return done.stdout


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("install")
    wheel = build_wheel(folder)
    python = make_environment(folder / "venv")
    run(python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", wheel)
    return python


def test_statistics_and_plans_run_without_pytorch(python: Path) -> None:
    printed = run(ROOT / ".ci/try_install", python)
    assert re.match(r"sfqa \d+\.\d+\.\d+\n", printed)
    assert "PyTorch is installed" not in printed
    assert run(python.parent / "sfqa", "--version") == printed.splitlines()[0] + "\n"


def test_the_rating_screen_is_served_without_pytorch(python: Path, tmp_path: Path) -> None:
    study = make(tmp_path / "study", rows_of("r1"))
    server = subprocess.Popen(
        [str(python.parent / "sfqa"), "rate", "serve", str(study), "--port", "0"],
        stderr=subprocess.PIPE, text=True, cwd=tmp_path,
    )  # fmt: skip
    try:
        line = server.stderr.readline()
        port = int(re.search(r"http://127\.0\.0\.1:(\d+)", line)[1])
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
        connection.request("GET", "/")
        assert connection.getresponse().status in (200, 403, 404)
        connection.close()
    finally:
        server.terminate()
        server.wait(20)
        server.stderr.close()


def test_what_needs_pytorch_says_how_to_install_it(python: Path, tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_text("")
    done = subprocess.run(
        [str(python.parent / "sfqa"), "features", "a.mp4", "--extractor", "signal"],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert "pip install 'sfqa[torch]'" in done.stderr


def write_wheel(folder: Path, name: str, version: str) -> None:
    """Write a wheel with one empty module."""
    info = f"{name}-{version}.dist-info"
    with zipfile.ZipFile(folder / f"{name}-{version}-py3-none-any.whl", "w") as archive:
        archive.writestr(f"{name}/__init__.py", f"__version__ = '{version}'\n")
        archive.writestr(
            f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
        )
        archive.writestr(
            f"{info}/WHEEL",
            "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        )
        archive.writestr(f"{info}/RECORD", "")


def test_pytorch_without_cuda_comes_from_the_named_folder(tmp_path: Path) -> None:
    """With stand-ins of the two wheels; PyTorch's own index is not asked."""
    wheels = tmp_path / "wheels"
    wheels.mkdir()
    pins = re.findall(
        r"^(torch|torchvision)==(.+)$", (ROOT / "requirements.txt").read_text(), re.MULTILINE
    )
    for name, version in pins:
        write_wheel(wheels, name, f"{version}+cpu")
    shutil.copy(ROOT / "run.sh", tmp_path)
    (tmp_path / "requirements.txt").write_text("".join(f"{n}=={v}\n" for n, v in pins))
    environment = {
        **os.environ, "PYTHON": sys.executable, "PIP_NO_INDEX": "1", "SFQA_TORCH_INDEX": str(wheels),
    }  # fmt: skip
    done = subprocess.run(
        ["./run.sh", "setup", "--cpu"], cwd=tmp_path, env=environment, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    version = run(tmp_path / ".venv/bin/python", "-c", "import torch; print(torch.__version__)")
    assert version.strip() == f"{dict(pins)['torch']}+cpu"
    assert (tmp_path / ".venv/bin/sfqa").resolve() == tmp_path.resolve() / "sfqa"
    assert not run("./run.sh", "setup", "--cpu", cwd=tmp_path, env=environment)  # nothing to do
    shutil.rmtree(wheels)
    (tmp_path / ".venv").rename(tmp_path / "old")
    environment["SFQA_TORCH_INDEX"] = str(wheels)
    done = subprocess.run(
        ["./run.sh", "setup", "--cpu"], cwd=tmp_path, env=environment, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert "set SFQA_TORCH_INDEX to a mirror" in done.stderr
