from __future__ import annotations

import itertools
import threading

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from sfqa.features.batches import Batching, run_batched, set_precision, to_device


def doubled(seen):
    """A forward pass that keeps what it was given and doubles it."""

    def forward(parts):
        seen.append(list(parts))
        return torch.tensor(parts, dtype=torch.float32)[:, None] * 2

    return forward


@given(counts=st.lists(st.integers(0, 7), max_size=8), size=st.integers(1, 5), mixed=st.booleans())
def test_every_item_gets_the_rows_of_its_own_parts(counts, size, mixed):
    numbers = itertools.count(1)
    items = [[next(numbers) for _ in range(count)] for count in counts]
    seen = []
    made = list(run_batched(items, lambda item: item, doubled(seen), Batching(size, mixed)))
    assert [item for item, _ in made] == items
    assert [[float(row[0]) for row in rows] for _, rows in made] == [
        [2.0 * part for part in item] for item in items
    ]
    if mixed:
        assert all(len(given) == size for given in seen)
        assert len(seen) == -(-sum(counts) // size)
    else:
        chunks = [i[k : k + size] for i in items for k in range(0, len(i), size)]
        assert seen == chunks


@given(
    counts=st.lists(st.integers(0, 7), max_size=8),
    size=st.integers(1, 5),
    mixed=st.booleans(),
    beside=st.integers(2, 4),
)
def test_passes_side_by_side_give_the_same(counts, size, mixed, beside):
    numbers = itertools.count(1)
    items = [[next(numbers) for _ in range(count)] for count in counts]
    single = list(run_batched(items, lambda item: item, doubled([]), Batching(size, mixed)))
    made = list(run_batched(items, lambda item: item, doubled([]), Batching(size, mixed, beside)))
    assert made == single


def test_the_numbers_of_a_network_do_not_depend_on_the_number_of_threads():
    torch.manual_seed(0)
    net = torch.nn.Sequential(
        torch.nn.Conv2d(3, 32, 5), torch.nn.ReLU(), torch.nn.Flatten(), torch.nn.Linear(32 * 784, 9)
    )
    pictures = list(torch.rand(11, 3, 32, 32))

    @torch.inference_mode()
    def forward(parts):
        assert torch.get_num_threads() == 1
        return net(torch.stack(parts))

    usual = torch.get_num_threads()
    made = []
    for beside in (1, 2, 5):
        torch.set_num_threads(1 if beside == 1 else 2)
        rows = run_batched([pictures], lambda item: item, forward, Batching(2, False, beside))
        made.append(np.stack(next(rows)[1]))
    torch.set_num_threads(usual)
    assert made[0].tobytes() == made[1].tobytes() == made[2].tobytes()


def test_an_error_in_a_pass_is_raised_and_ends_the_threads():
    def forward(parts):
        raise RuntimeError("an illegal memory access")

    before = threading.active_count()
    with pytest.raises(RuntimeError, match="an illegal memory access"):
        list(run_batched([[1, 2, 3]], lambda item: item, forward, Batching(1, False, 2)))
    assert threading.active_count() == before


def test_a_slow_pass_holds_up_no_other_thread():
    third = threading.Event()

    def forward(parts):
        if parts == [3]:
            third.set()
        if parts == [0]:
            assert third.wait(60)  # comes only if the other thread goes on meanwhile
        return torch.tensor(parts, dtype=torch.float32)[:, None]

    items = [[0], [1], [2], [3], [4]]
    made = list(run_batched(items, lambda item: item, forward, Batching(1, False, 2)))
    assert [(item[0], float(rows[0][0])) for item, rows in made] == [(n, n) for n in range(5)]


def test_items_are_taken_only_when_more_parts_are_needed():
    taken, seen = [], []

    def source():
        for number in range(6):
            taken.append(number)
            yield [number] * 2

    rows = run_batched(source(), lambda item: item, doubled(seen), Batching(3, mixed=True))
    next(rows)
    assert taken == [0, 1]
    next(rows)
    assert taken == [0, 1, 2]
    next(rows)
    assert (taken, len(seen)) == ([0, 1, 2], 2)


def test_passes_are_up_to_the_device_unless_a_number_is_given():
    assert Batching.choose(None, "cpu", 8, 64) == Batching(8, mixed=False)
    assert Batching.choose(None, "cuda:1", 8, 64) == Batching(64, mixed=True)
    assert Batching.choose(4, "cuda:1", 8, 64) == Batching(4, mixed=True)


def test_bytes_stay_bytes_on_their_way():
    pieces = list(np.arange(24, dtype=np.uint8).reshape(2, 3, 4))
    sent = to_device(pieces, torch.device("cpu"))
    assert sent.dtype == torch.uint8
    assert np.array_equal(sent.numpy(), pieces)


@pytest.mark.parametrize(("precision", "tf32"), [("fp32", False), ("bf16", False), ("tf32", True)])
def test_tensorfloat_32_only_for_those_who_ask(monkeypatch, precision, tf32):
    def read():
        return torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32

    before = read()
    with set_precision(precision):
        assert read() == before  # without a GPU nothing is changed
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    with set_precision(precision):
        assert read() == (tf32, tf32)
        assert torch.backends.cudnn.deterministic
        assert not torch.backends.cudnn.benchmark
    assert read() == before


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_on_a_gpu():
    def forward(parts):
        return to_device(parts, "cuda:0").float().mean((1, 2))[:, None] * 2

    rng = np.random.default_rng(0)
    items = [list(rng.integers(0, 256, (n, 5, 4), dtype=np.uint8)) for n in (3, 1, 4, 2)]
    made = list(run_batched(items, lambda item: item, forward, Batching(3, mixed=True)))
    for item, rows in made:
        assert [float(r[0]) for r in rows] == pytest.approx([2 * part.mean() for part in item])
