"""A pass that does not fit in memory is halved, and the next attempt knows it."""

from __future__ import annotations

import contextlib
import logging
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pytest
import torch

from sfqa import gpu_memory
from sfqa.errors import UserError, explain_machine_error, is_out_of_memory
from sfqa.features import batches
from sfqa.features.batches import Batching, run_batched
from sfqa.features.pass_sizes import PassNote

GIB = 2**30


def limited(seen, most):
    """A forward pass that doubles its parts and fits at most ``most`` of them."""

    def forward(parts):
        seen.append(len(parts))
        if len(parts) > most:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return torch.tensor(parts, dtype=torch.float32)[:, None] * 2

    return forward


@pytest.fixture(autouse=True)
def _messages(monkeypatch):
    monkeypatch.setattr(logging.getLogger("sfqa"), "propagate", True)


@pytest.mark.parametrize("parallel", [1, 2])
@pytest.mark.parametrize("mixed", [True, False])
def test_a_pass_that_does_not_fit_is_halved_and_stays_small(caplog, mixed, parallel):
    items = [[1.0, 2, 3, 4, 5], [6], [7, 8, 9, 10, 11, 12, 13], [14, 15]]
    seen: list[int] = []
    batching = Batching(8, mixed, parallel)
    rows = list(run_batched(items, lambda item: item, limited(seen, 2), batching))
    assert [[float(row[0]) for row in of] for _, of in rows] == [[2 * v for v in i] for i in items]
    assert batching.current_size == 2
    if parallel == 1:
        failures = [size for size in seen if size > 2]
        assert failures == ([8, 4] if mixed else [5, 4])  # each size fails once
        assert seen.index(2) > seen.index(4)
        assert "does not fit in memory" in caplog.text
        assert "from now on a pass has 2" in caplog.text
    # The next call of the job starts small.
    seen.clear()
    list(run_batched(items, lambda item: item, limited(seen, 2), batching))
    assert max(seen) == 2


def test_one_item_that_does_not_fit_is_a_sentence():
    with pytest.raises(UserError, match=r"one item does not fit in memory.*give the job more"):
        list(run_batched([[1, 2, 3]], lambda item: item, limited([], 0), Batching(4, True)))


def test_other_errors_of_a_pass_are_raised():
    def forward(parts):
        raise RuntimeError("shapes differ")

    with pytest.raises(RuntimeError, match="shapes differ"):
        list(run_batched([[1, 2]], lambda item: item, forward, Batching(2, True)))


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (torch.OutOfMemoryError("CUDA out of memory"), True),
        (RuntimeError("CUDA error: out of memory"), True),
        (RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"), True),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling"), True),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory"), True),
        (MemoryError(), True), (RuntimeError("CUDA error: an illegal memory access"), False),
        (ValueError("out of memory"), False),
    ],
)  # fmt: skip
def test_which_errors_are_about_memory(error, expected):
    assert is_out_of_memory(error) is expected
    if expected:
        assert "the job ran out of memory" in str(explain_machine_error(error))


# ---------------------------------------------------------------- the next attempt


@pytest.fixture
def gpu(monkeypatch):
    """A GPU of 16 GiB whose memory is counted here; ``others`` is what other processes hold."""
    counted = SimpleNamespace(name="Tesla T4", total=16 * GIB, others=0, own=2 * GIB)

    def read_free(device):
        return counted.total - counted.others - counted.own - GIB, counted.total

    def get_properties(device):
        return SimpleNamespace(name=counted.name, total_memory=counted.total)

    fakes = {
        "is_initialized": lambda: True, "empty_cache": lambda: None, "mem_get_info": read_free,
        "memory_reserved": lambda device: counted.own, "get_device_properties": get_properties,
    }  # fmt: skip
    for name, fake in fakes.items():
        monkeypatch.setattr(torch.cuda, name, fake)
    monkeypatch.delenv("SFQA_JOBS_PER_GPU", raising=False)
    return counted


def attempt(path: Path, most: int, identity: str = "rows") -> list[int]:
    """One attempt of a job: passes of 8 of which ``most`` fit; returns their sizes."""
    batching, seen = Batching(8, mixed=True), []
    PassNote(path, identity).restore(batching.reduction)
    list(run_batched([list(range(20))], lambda item: item, limited(seen, most), batching))
    return seen


def test_the_next_attempt_starts_with_the_size_that_fits(tmp_path, gpu):
    note = tmp_path / "m/0.passes.json"
    assert attempt(note, 2)[:3] == [8, 4, 2]
    assert set(attempt(note, 2)) == {2}
    # Other options, or another GPU, may fit more.
    assert attempt(note, 8, identity="other rows") == [8, 8, 8]
    gpu.name = "NVIDIA H200"
    assert attempt(note, 8) == [8, 8, 8]
    note.write_text("{")
    assert attempt(note, 8) == [8, 8, 8]


def test_the_next_attempt_does_not_try_again_what_cannot_fit(tmp_path, gpu):
    note, seen = tmp_path / "0.passes.json", []
    with pytest.raises(UserError, match=r"one item does not fit in memory \(Tesla T4, 16\.0 GiB"):
        attempt(note, 0)
    with pytest.raises(
        UserError, match=r"one item does not fit.*an earlier attempt wrote .*0\.pas"
    ):
        seen += attempt(note, 0)
    assert seen == []


def test_what_others_hold_now_may_be_free_in_the_next_attempt(tmp_path, gpu):
    note = tmp_path / "0.passes.json"
    gpu.others = 9 * GIB
    with pytest.raises(UserError, match=r"9\.0 GiB held by others.*set gpu: 0"):
        attempt(note, 0)
    gpu.others = 0
    assert set(attempt(note, 1)) == {1}


def test_budgets_do_not_depend_on_what_is_free_at_the_moment(gpu, monkeypatch):
    whole = gpu_memory.compute_memory_budget(0.5)
    assert whole == 0.5 * 15 * GIB
    gpu.others, gpu.own = 9 * GIB, 0
    assert gpu_memory.compute_memory_budget(0.5) == whole
    monkeypatch.setenv("SFQA_JOBS_PER_GPU", "4")
    assert gpu_memory.compute_memory_budget(0.5) == 0.5 * 3 * GIB


# ---------------------------------------------------------------- streams


class FakeOutput:
    """A tensor on a GPU that is not the current one, as far as _DeviceRows looks."""

    is_cuda, shape, device = True, (2, 3), "cuda:1"


def test_the_event_is_recorded_on_the_stream_of_the_rows(monkeypatch):
    """Before, it was recorded on the current device's stream, which may be empty: no wait at all."""
    events, plain = [], torch.empty

    class Event:
        def __init__(self, blocking=False):
            self.blocking = blocking

        def record(self, stream=None):
            events.append((self.blocking, stream))

        def synchronize(self):
            events.append("waited")

    class Pinned:
        def copy_(self, output, non_blocking):
            self.rows = plain((2, 3))

        def numpy(self):
            return self.rows.numpy()

    monkeypatch.setattr(torch.cuda, "Event", Event)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device=None: f"stream of {device}")
    monkeypatch.setattr(torch, "empty", lambda *_, **options: Pinned())
    assert len(batches._DeviceRows(FakeOutput()).rows()) == 2
    # Blocking: the thread that waits sleeps, and leaves its core to the readers.
    assert events == [(True, "stream of cuda:1"), "waited"]


def test_a_shard_keeps_its_note_beside_its_rows(tmp_path, monkeypatch):
    from sfqa.features import pipeline, run

    tasks = []
    monkeypatch.setattr(pipeline, "compute_rows", lambda task, videos, keep: tasks.append(task))
    row = {
        "sample_id": "a", "method": "m", "status": "ok", "detail": "", "path": "a.mp4",
        "sha256": 64 * "0", "fps": 25.0, "frames": 50, "audio_path": None, "audio_sha256": None,
        "sample_rate": None, "prompt": None,
    }  # fmt: skip
    with contextlib.suppress(KeyError):  # no row was computed
        run.extract_shard(
            pd.DataFrame([row]), "signal", {"weights": "none"}, tmp_path / "cache", "m/0",
            lambda: contextlib.nullcontext("cpu"),
        )  # fmt: skip
    assert tasks[0].pass_note.path == tmp_path / "cache/m/0.passes.json"
