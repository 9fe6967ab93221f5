from __future__ import annotations

import os

import pytest

from sfqa import gpu_names
from sfqa.errors import UserError
from sfqa.gpu_names import Gpu

# What `nvidia-smi -L` prints: two whole GPUs, and one that is divided between them.
LISTED = """\
GPU 0: NVIDIA H100 80GB HBM3 (UUID: GPU-5b9ee7a1-0000-0000-0000-000000000000)
GPU 1: NVIDIA A100-SXM4-40GB (UUID: GPU-6b9ee7a1-0000-0000-0000-000000000000)
  MIG 3g.20gb     Device  0: (UUID: MIG-7b9ee7a1-0000-0000-0000-000000000001)
  MIG 3g.20gb     Device  1: (UUID: MIG-7b9ee7a1-0000-0000-0000-000000000002)
GPU 2: Tesla T4 (UUID: GPU-8b9ee7a1-0000-0000-0000-000000000000)
"""
REST = "-0000-0000-0000-000000000000"
H100, A100, T4 = (f"GPU-{n}b9ee7a1{REST}" for n in (5, 6, 8))
MIG = "MIG-7b9ee7a1-0000-0000-0000-00000000000"


@pytest.fixture(autouse=True)
def _no_gpu_variables(monkeypatch):
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


def identities() -> list[str]:
    return [gpu.identity for gpu in gpu_names.list_visible_gpus()]


@pytest.mark.parametrize(
    ("variable", "names"),
    [
        ("", []), ("-1", []), ("NoDevFiles", []), ("0", ["0"]), ("2,0", ["2", "0"]),
        (" 1 , 3 ", ["1", "3"]), ("0,-1,1", ["0"]), ("0,,1", ["0"]), ("0,0,1", ["0", "1"]),
        ("GPU-5b9ee7a1,MIG-GPU-5b9e/1/0", ["GPU-5b9ee7a1", "MIG-GPU-5b9e/1/0"]),
    ],
)  # fmt: skip
def test_without_nvidia_smi_the_users_names_are_all_that_is_known(
    monkeypatch, tmp_path, variable, names
):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", variable)
    assert gpu_names.list_visible_gpus() == [Gpu(name, name) for name in names]


@pytest.mark.parametrize(
    ("variable", "uuids"),
    [
        ("0", [H100]), ("2,0", [T4, H100]), (T4, [T4]), ("GPU-8b9", [T4]), ("2,GPU-8b9", [T4]),
        (f"{MIG}2", [f"{MIG}2"]), (f"{MIG}2,{MIG}1", [f"{MIG}2", f"{MIG}1"]),
        # A process sees one part of a divided GPU: CUDA takes the first.
        ("1", [f"{MIG}1"]), (A100, [f"{MIG}1"]),
        # As CUDA does: what comes after a name that does not exist is ignored.
        ("0,7,2", [H100]), ("GPU-77,0", []), ("-1,0", []), ("", []),
    ],
)  # fmt: skip
def test_numbers_uuids_and_mig_names_lead_to_one_identity(monkeypatch, smi, variable, uuids):
    smi(LISTED)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", variable)
    assert identities() == uuids
    # CUDA is given the UUID: no order of devices can make it another GPU than the leased one.
    assert [gpu.name for gpu in gpu_names.list_visible_gpus()] == uuids


def test_an_old_mig_name_is_an_error_with_the_name_to_write(monkeypatch, smi):
    smi(LISTED)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", f"MIG-{A100}/1/0")
    with pytest.raises(UserError, match=r"old name of a MIG device.*nvidia-smi -L lists"):
        gpu_names.list_visible_gpus()


def test_an_old_driver_lists_mig_devices_under_their_old_names(monkeypatch, smi):
    old_names = [f"MIG-{A100}/{n}/0" for n in (1, 2)]
    lines = "".join(f"  MIG 3g.20gb Device 0: (UUID: {name})\n" for name in old_names)
    smi(f"GPU 0: A100 (UUID: {A100})\n{lines}")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", old_names[1])
    assert identities() == [old_names[1]]


def test_without_a_choice_all_devices_are_listed(smi):
    smi(LISTED)
    assert identities() == [H100, f"{MIG}1", f"{MIG}2", T4]


def test_no_driver_no_devices(monkeypatch, tmp_path, smi):
    smi("NVIDIA-SMI has failed: GPU 0: no\n", code=9)
    assert identities() == []
    monkeypatch.setenv("PATH", str(tmp_path / "nowhere"))
    assert identities() == []


@pytest.mark.parametrize("variable", ["CUDA_DEVICE_ORDER", "CUDA_VISIBLE_DEVICES"])
def test_a_listed_number_is_given_to_cuda_with_the_order_of_nvidia_smi(monkeypatch, variable):
    number = Gpu("1", "1")
    ordered = {"CUDA_VISIBLE_DEVICES": "1", "CUDA_DEVICE_ORDER": "PCI_BUS_ID"}
    assert gpu_names.make_device_variables(number) == ordered
    monkeypatch.setenv(variable, "1")
    assert gpu_names.make_device_variables(number) == {"CUDA_VISIBLE_DEVICES": "1"}
