from __future__ import annotations

import logging
import os
import re
from types import SimpleNamespace

import pytest

from sfqa import device, gpu_support
from sfqa.errors import UserError
from sfqa.gpu_leases import lease_gpu
from sfqa.gpu_names import Gpu

torch = pytest.importorskip("torch")


@pytest.fixture(autouse=True)
def _own_locks(tmp_path, monkeypatch):
    for name in list(os.environ):
        if name.startswith(("SLURM_", "SFQA_", "CUDA_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))  # no nvidia-smi


@pytest.fixture
def cuda(monkeypatch):
    """A torch that seems to have GPUs; returns what the GPU of the process is changed by."""
    properties = {
        "is_available": True, "device_count": 2, "is_initialized": False,
        "get_device_name": "NVIDIA A10", "get_device_capability": (8, 6),
        "get_arch_list": ["sm_75", "sm_80", "sm_90"],
    }  # fmt: skip
    for name, value in properties.items():
        monkeypatch.setattr(torch.cuda, name, lambda *_, value=value: value)
    monkeypatch.setattr(torch.version, "cuda", "13.2")

    def change(name, value):
        monkeypatch.setattr(torch.cuda, name, lambda *_: value)

    return change


def test_the_leased_gpu_is_the_only_visible_one_and_so_the_current_one(monkeypatch, cuda):
    """Before, the second job used cuda:1 while events and streams were those of cuda:0."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "GPU-a,GPU-b")
    visible_at_check = []

    def explain():
        visible_at_check.append(os.environ["CUDA_VISIBLE_DEVICES"])
        return ""

    monkeypatch.setattr(device, "explain_unusable_gpu", explain)
    with lease_gpu([Gpu("GPU-a", "GPU-a")]), device.lease_torch_device(1) as name:
        assert name == "cuda:0"
        assert os.environ["CUDA_VISIBLE_DEVICES"] == "GPU-b"
        # The variable was set before torch was first asked, and is inherited by worker processes.
        assert visible_at_check == ["GPU-b"]
    # A process keeps its GPU: the second lease is of the same one.
    with device.lease_torch_device(1) as name:
        assert (name, os.environ["CUDA_VISIBLE_DEVICES"]) == ("cuda:0", "GPU-b")


def test_a_job_of_several_processes_leases_a_gpu_for_each(monkeypatch, cuda):
    monkeypatch.setattr(device, "explain_unusable_gpu", lambda: "")
    for gpu, processes, visible in ((2, 2, "GPU-a,GPU-b"), (1, 2, "GPU-a"), (2, 1, "GPU-a")):
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "GPU-a,GPU-b")
        job = SimpleNamespace(threads=1, resources={"gpu": gpu, "processes": processes})
        with device.lease_job_device(job, "regression") as name:
            assert (name, os.environ["CUDA_VISIBLE_DEVICES"]) == ("cuda:0", visible)


def test_cuda_that_runs_on_another_gpu_is_an_error_and_not_a_wrong_device(monkeypatch, cuda):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "GPU-a,GPU-b")
    cuda("is_initialized", True)
    with pytest.raises(RuntimeError, match="lease it first"), device.lease_torch_device(1):
        pass


def test_a_job_without_a_request_leases_nothing(monkeypatch, cuda):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "GPU-a")
    with (
        lease_gpu([Gpu("GPU-a", "GPU-a")]),
        device.lease_torch_device(1, use_gpu=False, required_by="features.require_gpu") as name,
    ):
        assert name == "cpu"


def test_float32_is_float32_in_every_job(monkeypatch):
    before = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
    try:
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
        with device.lease_torch_device(1):
            assert torch.backends.cuda.matmul.allow_tf32 is False
            assert torch.backends.cudnn.allow_tf32 is False
    finally:
        torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = before


def test_torch_without_a_gpu_is_the_cpu(monkeypatch, caplog):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    with device.lease_torch_device(2) as name:
        assert name == "cpu"
    assert torch.get_num_threads() == 2
    assert not caplog.records  # a machine without GPUs is no mistake
    torch.set_num_threads(1)


# ---------------------------------------------------------------- a GPU that torch cannot use

OLD_DRIVER = (
    "CUDA initialization: The NVIDIA driver on your system is too old (found version 11040). "
    "Please update your GPU driver"
)


def _no_cuda_build(monkeypatch, cuda):
    monkeypatch.setattr(torch.version, "cuda", None)


def _old_driver(monkeypatch, cuda):
    def is_available():
        import warnings

        warnings.warn(OLD_DRIVER, stacklevel=1)
        return False

    monkeypatch.setattr(torch.cuda, "is_available", is_available)
    monkeypatch.setattr(torch.cuda, "init", lambda: None)


def _old_card(monkeypatch, cuda):
    cuda("get_device_name", "Tesla V100-SXM2-32GB")
    cuda("get_device_capability", (7, 0))


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (_no_cuda_build, "is built for the CPU only; docs/gpus.md"),
        (_old_driver, "the NVIDIA driver is too old for PyTorch .* with CUDA 13.2, it supports CUDA up to 11.4"),
        (_old_card, r"V100.* capability 7\.0, for which this PyTorch \(sm_75, sm_80, sm_90\) has no"),
    ],
)  # fmt: skip
def test_a_gpu_that_torch_cannot_use_is_reported_or_stops_the_job(
    monkeypatch, cuda, caplog, change, sentence
):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "GPU-a")
    change(monkeypatch, cuda)
    monkeypatch.setattr(logging.getLogger("sfqa"), "propagate", True)
    with device.lease_torch_device(1) as name:
        assert name == "cpu"
        with lease_gpu([Gpu("GPU-a", "GPU-a")]):
            pass  # the GPU was given back
    # A handler that another test left may write the record twice.
    ((level, message),) = {(r.levelname, r.getMessage()) for r in caplog.records}
    assert level == "WARNING"
    assert re.search(sentence, message)
    caplog.clear()
    with (
        pytest.raises(UserError, match=f"config, features.require_gpu: true, but .*{sentence}"),
        device.lease_torch_device(1, required_by="features.require_gpu"),
    ):
        pass


def test_a_missing_gpu_stops_a_job_that_requires_it(monkeypatch):
    for variable, sentence in ((None, "nvidia-smi -L lists no GPU"), ("", "names no GPU")):
        if variable is not None:
            monkeypatch.setenv("CUDA_VISIBLE_DEVICES", variable)
        with (
            pytest.raises(UserError, match=f"regression.require_gpu: true, but .*{sentence}"),
            device.lease_torch_device(1, required_by="regression.require_gpu"),
        ):
            pass


@pytest.mark.parametrize(
    ("architectures", "capability", "runs"),
    [
        (["sm_80"], (8, 0), True), (["sm_80"], (8, 9), True), (["sm_86"], (8, 0), False),
        (["sm_80"], (9, 0), False), (["sm_90a"], (9, 0), True), (["sm_90a"], (9, 1), False),
        (["sm_90", "compute_90"], (12, 0), True), (["compute_120"], (9, 0), False),
        (["sm_75", "sm_120"], (12, 1), True), (["sm_75"], (7, 0), False), (["sm_60"], (6, 1), True),
    ],
)  # fmt: skip
def test_which_gpus_have_code_in_a_build(architectures, capability, runs):
    assert (gpu_support.explain_capability("x", capability, architectures) == "") is runs
