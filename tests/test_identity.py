from __future__ import annotations

import hashlib

from hypothesis import given
from hypothesis import strategies as st

from sfqa import identity

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text() | st.floats(allow_nan=False),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


def test_sha256_file_is_that_of_the_bytes(tmp_path):
    path = tmp_path / "x"
    path.write_bytes(b"abc" * 100_000)
    assert identity.sha256_file(path) == hashlib.sha256(b"abc" * 100_000).hexdigest()


@given(st.dictionaries(st.text(), json_values, max_size=5))
def test_digest_does_not_see_the_order_of_keys(value):
    turned = dict(reversed(list(value.items())))
    assert identity.digest(value) == identity.digest(turned)


@given(st.lists(st.dictionaries(st.sampled_from("abc"), st.integers()), max_size=6), st.randoms())
def test_digest_rows_does_not_see_the_order_of_rows(rows, random):
    shuffled = list(rows)
    random.shuffle(shuffled)
    assert identity.digest_rows(rows) == identity.digest_rows(shuffled)
    assert identity.digest_rows([*rows, {"a": 0.5}]) != identity.digest_rows(rows)


@given(st.text(min_size=1), st.integers(1, 512))
def test_a_shard_is_in_range_and_stays(sample, shards):
    shard = identity.shard_of(sample, shards)
    assert 0 <= shard < shards
    assert shard == identity.shard_of(sample, shards)


def test_shards_are_about_equally_full():
    counts = [0] * 16
    for number in range(16_000):
        counts[identity.shard_of(f"image{number}__clip__method", 16)] += 1
    assert min(counts) > 850
    assert max(counts) < 1150


def test_shards_are_pinned_for_ever():
    # A change here would recompute every shard of every dataset.
    assert [identity.shard_of(s, 8) for s in ("a__b__sharp", "a__b__late", "c__d__sharp")] == [
        int(hashlib.sha256(s.encode()).hexdigest()[:12], 16) % 8
        for s in ("a__b__sharp", "a__b__late", "c__d__sharp")
    ]


def test_generators_of_other_parts_differ():
    draws = {identity.random_generator(1, name).random() for name in "abcdefgh"}
    assert len(draws) == 8
