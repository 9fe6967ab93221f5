import os
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import pytest

from sfqa import device

PACKAGE = Path(device.__file__).parents[1]

# What `nvidia-smi -L` prints: two whole GPUs, and one that is divided between them.
LISTED = """\
GPU 0: NVIDIA H100 80GB HBM3 (UUID: GPU-5b9ee7a1-0000-0000-0000-000000000000)
GPU 1: NVIDIA A100-SXM4-40GB (UUID: GPU-6b9ee7a1-0000-0000-0000-000000000000)
  MIG 3g.20gb     Device  0: (UUID: MIG-7b9ee7a1-0000-0000-0000-000000000001)
  MIG 3g.20gb     Device  1: (UUID: MIG-7b9ee7a1-0000-0000-0000-000000000002)
GPU 2: Tesla T4 (UUID: GPU-8b9ee7a1-0000-0000-0000-000000000000)
"""
MIG = "MIG-7b9ee7a1-0000-0000-0000-00000000000"


@pytest.fixture(autouse=True)
def _own_locks(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.delenv("CUDA_DEVICE_ORDER", raising=False)


@pytest.fixture
def smi(tmp_path, monkeypatch):
    """Put an nvidia-smi that prints a text, or fails, on the PATH."""

    def put(text: str, code: int = 0) -> None:
        folder = tmp_path / "bin"
        folder.mkdir()
        tool = folder / "nvidia-smi"
        tool.write_text(f"#!/bin/sh\ncat <<'END'\n{text}END\nexit {code}\n")
        tool.chmod(0o755)
        monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")

    return put


@pytest.mark.parametrize(
    ("given", "names"),
    [
        ("", []), ("-1", []), ("NoDevFiles", []), ("0", ["0"]), ("2,0", ["2", "0"]),
        (" 1 , 3 ", ["1", "3"]), ("0,-1,1", ["0"]), ("0,,1", ["0"]), ("0,0,1", ["0", "1"]),
        ("GPU-5b9ee7a1,MIG-GPU-5b9e/1/0", ["GPU-5b9ee7a1", "MIG-GPU-5b9e/1/0"]),
    ],
)  # fmt: skip
def test_the_users_choice_is_the_answer(monkeypatch, smi, given, names):
    smi(LISTED)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", given)
    assert device.visible_devices() == names


def test_without_a_choice_all_devices_are_listed(smi):
    smi(LISTED)
    assert device.visible_devices() == ["0", f"{MIG}1", f"{MIG}2", "2"]


def test_no_driver_no_devices(monkeypatch, tmp_path, smi):
    smi("NVIDIA-SMI has failed: GPU 0: no\n", code=9)
    assert device.visible_devices() == []
    monkeypatch.setenv("PATH", str(tmp_path / "nowhere"))
    assert device.visible_devices() == []


def test_the_order_is_only_set_where_the_user_has_not(monkeypatch):
    assert device.device_order() == {"CUDA_DEVICE_ORDER": "PCI_BUS_ID"}
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
    assert device.device_order() == {}
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    monkeypatch.setenv("CUDA_DEVICE_ORDER", "FASTEST_FIRST")
    assert device.device_order() == {}


def test_two_leases_hold_two_devices_and_a_third_waits():
    names = ["0", "GPU-1/2"]
    taken: list[str] = []

    def third() -> None:
        with device.lease_device(names, poll_sec=0.01) as name:
            taken.append(name)

    with device.lease_device(names) as one:
        with device.lease_device(names) as two:
            assert (one, two) == ("0", "GPU-1/2")
            waiting = threading.Thread(target=third)
            waiting.start()
            waiting.join(0.1)
            assert waiting.is_alive()
        waiting.join(5)
        assert taken == [two]


def test_an_error_in_the_block_frees_the_device():
    with pytest.raises(ZeroDivisionError), device.lease_device(["0"]):
        1 / 0  # noqa: B018
    with device.lease_device(["0"]) as name:
        assert name == "0"


def test_no_names_are_an_error():
    with pytest.raises(ValueError, match="no devices"), device.lease_device([]):
        pass


HOLD = """
import sys, tempfile, time
tempfile.tempdir = sys.argv[1]
from sfqa import device
with device.lease_device(["0"]) as name:
    print(name, flush=True)
    time.sleep(60)
"""


def test_a_killed_job_frees_its_device_and_needs_no_torch(tmp_path):
    job = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)],
        stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": str(PACKAGE)},
    )  # fmt: skip
    assert job.stdout is not None
    assert job.stdout.readline() == "0\n"
    names = ["0", "1"]
    with device.lease_device(names) as name:
        assert name == "1"
    job.kill()
    job.wait()
    job.stdout.close()
    with device.lease_device(names) as name:
        assert name == "0"


def test_torch_devices_are_numbered_among_the_visible_ones(monkeypatch):
    torch = pytest.importorskip("torch")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "5,3")
    with device.lease_device(["5"]), device.lease_torch_device(1) as name:
        assert name == "cuda:1"
    with device.lease_torch_device(1) as one, device.lease_torch_device(1) as two:
        assert (one, two) == ("cuda:0", "cuda:1")


def test_torch_without_a_gpu_is_the_cpu():
    torch = pytest.importorskip("torch")
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    with device.lease_torch_device(2) as name:
        assert name == "cpu"
    assert torch.get_num_threads() == 2
