import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sfqa import store
from sfqa.errors import UserError
from sfqa.features.base import Feature, build_table
from sfqa.regression import blocks
from sfqa.regression.blocks import Steps, load_blocks
from sfqa.regression.design import load_design
from sfqa.regression.steps import choose_steps

FRAMES = Feature("image", "", ("frame", "channel"), "float16")
MAPS = Feature("maps", "", ("clip", "channel", "row"), "float16")
PER_CLIP = Feature("energy", "", ("clip",), "float32")
VECTOR = Feature("vector", "", ("channel",), "float32")
TEXT = Feature("text", "", ("one", "channel"), "float16")
SCORE = Feature("score", "", (), "float64")
COUNT = Feature("count", "", (), "int64")


def file(path, features, rows):
    filled = [{"method": "m", "key": None, "status": "ok", "detail": ""} | r for r in rows]
    store.write_arrow(build_table(features, filled), path)
    return path


def numbers(seed, *shape):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float16)


def rows(count, steps=lambda n: 8):
    return [
        {
            "sample_id": f"s{n:03}",
            "image": numbers(n, steps(n), 5),
            "maps": numbers(n + 1000, 3, 4, 2),
            "energy": numbers(n, steps(n)),
            "vector": numbers(n, 6),
            "text": numbers(n, 1, 5),
            "score": n / 2,
            "count": n,
        }
        for n in range(count)
    ]


ALL = [FRAMES, MAPS, PER_CLIP, VECTOR, TEXT, SCORE, COUNT]


def test_each_input_is_a_block_in_its_own_shape(tmp_path):
    made = rows(5)
    files = {"e": [file(tmp_path / "1", ALL, made[3:]), file(tmp_path / "0", ALL, made[:3])]}
    inputs = ["e.maps", "e.image", "e.text", "e.vector", "e.score", "e.energy"]
    got = load_blocks(files, inputs, [Steps()] * 6, tmp_path)
    assert got.sample_ids == [f"s{n:03}" for n in range(5)]
    assert list(got.X) == inputs
    assert [x.shape[1:] for x in got.X.values()] == [(3, 8), (8, 5), (5,), (6,), (1,), (8, 1)]
    assert {x.dtype for x in got.X.values()} == {np.dtype(np.float32)}
    for n, row in enumerate(made):
        for name in ("maps", "image", "text", "vector", "energy"):
            block = got.X[f"e.{name}"][n]
            assert (block.ravel() == row[name].astype(np.float32).ravel()).all(), name
        assert got.X["e.score"][n].tolist() == [n / 2]
    assert got.names[0] == "e.maps (3, 8)"


def test_an_extractor_of_scalars_is_one_block(tmp_path):
    files = {"e": [file(tmp_path / "0", [SCORE, COUNT], rows(3))]}
    got = load_blocks(files, ["e"], [Steps()], tmp_path)
    assert got.X["e"].tolist() == [[0, 0], [0.5, 1], [1, 2]]


@pytest.mark.parametrize(
    ("rule", "expected"),
    [("uniform", [[0, 0, 1, 2], [0, 2, 4, 6], [0, 1, 2, 3]]),
     ("first", [[0, 1, 2, 2], [0, 1, 2, 3], [0, 1, 2, 3]]),
     ("cyclic", [[0, 1, 2, 0], [0, 1, 2, 3], [0, 1, 2, 3]])],
)  # fmt: skip
def test_unequal_lengths_follow_the_rule(tmp_path, rule, expected):
    lengths = [3, 9, 4]
    made = rows(3, lambda n: lengths[n])
    for row in made:
        row["image"] = np.arange(len(row["image"]))[:, None] * np.ones((1, 5))
    files = {"e": [file(tmp_path / "0", ALL, made)]}
    got = load_blocks(files, ["e.image"], [Steps(4, rule)], tmp_path)
    assert got.X["e.image"][:, :, 0].tolist() == expected


def test_no_steps_is_the_mean_over_them(tmp_path):
    files = {"e": [file(tmp_path / "0", ALL, rows(6, lambda n: n + 1))]}
    pooled = load_design(files, ["e.image"])
    for form in (Steps(0), Steps(8, "mean")):
        got = load_blocks(files, ["e.image"], [form], tmp_path)
        np.testing.assert_allclose(got.X["e.image"], pooled.X, rtol=1e-6, atol=1e-7)


@given(there=st.integers(1, 60), wanted=st.integers(1, 60))
def test_places_are_in_order_and_in_range(there, wanted):
    for rule in ("uniform", "first"):
        got = choose_steps(there, Steps(wanted, rule))
        assert len(got) == wanted
        assert (np.diff(got) >= 0).all()
        assert 0 <= got.min() <= got.max() < there
    # Nothing is skipped where there is room for all, nothing is repeated where there is none.
    uniform = choose_steps(there, Steps(wanted))
    assert len(set(uniform.tolist())) == min(there, wanted)
    cyclic = choose_steps(there, Steps(wanted, "cyclic"))
    assert (cyclic == np.arange(wanted) % there).all()


def test_a_large_block_is_mapped_and_the_same(tmp_path):
    made = rows(150, lambda n: 3 + n % 7)
    files = {"e": [file(tmp_path / "0", ALL, made[:70]), file(tmp_path / "1", ALL, made[70:])]}
    inputs, forms = ["e.image", "e.vector"], [Steps(8), Steps()]
    small = load_blocks(files, inputs, forms, tmp_path / "w")
    assert not (tmp_path / "w").exists()
    large = load_blocks(files, inputs, forms, tmp_path / "w", limit=4000)
    assert isinstance(large.X["e.image"], np.memmap)
    assert not isinstance(large.X["e.vector"], np.memmap)
    for name in inputs:
        assert (large.X[name] == small.X[name]).all()
    assert len(large.mapped) == 1
    assert [p.name for p in (tmp_path / "w" / "blocks").iterdir()] == [large.mapped[0].name]
    large.discard()
    assert not any((tmp_path / "w" / "blocks").iterdir())


def test_row_groups_and_batches_make_no_difference(tmp_path):
    path = file(tmp_path / "one", ALL, rows(200, lambda n: 1 + n % 5))
    pq.write_table(pq.read_table(path), tmp_path / "many", row_group_size=37)
    one, many = (
        load_blocks({"e": [tmp_path / n]}, ["e.image"], [Steps(8)], tmp_path)
        for n in ("one", "many")
    )
    assert (one.X["e.image"] == many.X["e.image"]).all()


def test_reasons_are_those_of_the_design(tmp_path):
    one = [
        {"sample_id": "ok", "image": numbers(0, 2, 5), "score": 1.0},
        {"sample_id": "failed", "status": "failed", "detail": "no_face: none found"},
        {"sample_id": "gap", "status": "flawed", "detail": "not_a_number: image is empty",
         "image": None, "score": 1.0},
        {"sample_id": "none", "image": np.zeros((0, 5), np.float16), "score": 1.0},
        {"sample_id": "flawed", "status": "flawed", "detail": "cut_short: 2 s",
         "image": numbers(1, 3, 5), "score": 2.0},
        {"sample_id": "alone", "image": numbers(2, 3, 5), "score": 3.0},
    ]  # fmt: skip
    two = [{"sample_id": r["sample_id"], "count": 1} for r in one if r["sample_id"] != "alone"]
    files = {
        "a": [file(tmp_path / "a", [FRAMES, SCORE], one)],
        "b": [file(tmp_path / "b", [COUNT], two)],
    }
    got = load_blocks(files, ["a.image", "b"], [Steps(4), Steps()], tmp_path)
    pooled = load_design(files, ["a.image", "b"])
    assert got.sample_ids == pooled.sample_ids == ["flawed", "ok"]
    assert got.dropped == pooled.dropped
    assert got.flawed == pooled.flawed == {"flawed": "cut_short: 2 s"}
    assert np.isfinite(got.X["a.image"]).all()


def test_numbers_that_are_not_finite_drop_the_row(tmp_path):
    made = rows(4)
    path = file(tmp_path / "0", [FRAMES, SCORE], made)
    table = pq.read_table(path)
    image = table.column("image").to_pylist()
    image[2][7] = float("nan")
    place = table.schema.get_field_index("image")
    import pyarrow as pa

    table = table.set_column(
        place, table.schema.field(place), pa.array(image, pa.list_(pa.float16()))
    )
    pq.write_table(table, path)
    got = load_blocks({"e": [path]}, ["e.image"], [Steps()], tmp_path)
    assert got.dropped == {"s002": "empty_feature: e.image"}
    assert got.sample_ids == ["s000", "s001", "s003"]
    assert (got.X["e.image"][2] == made[3]["image"]).all()


def test_empty_and_wholly_failed_shards_are_no_obstacle(tmp_path):
    bad = {"sample_id": "bad", "status": "failed", "detail": "broken: x"}
    paths = [
        file(tmp_path / "0", [FRAMES], []),
        file(tmp_path / "1", [FRAMES], [bad]),
        file(tmp_path / "2", [FRAMES], [{"sample_id": "a", "image": numbers(0, 2, 5)}]),
    ]
    got = load_blocks({"e": paths}, ["e"], [Steps()], tmp_path)
    assert (got.sample_ids, got.X["e"].shape) == (["a"], (1, 2, 5))
    assert got.dropped == {"bad": "broken: x"}
    none = load_blocks({"e": paths[:2]}, ["e"], [Steps(8)], tmp_path)
    assert (none.sample_ids, len(none.X["e"])) == ([], 0)


def test_mistakes_are_sentences(tmp_path):
    path = file(tmp_path / "t", ALL, rows(3, lambda n: n + 1))
    twin = file(tmp_path / "u", ALL, rows(1))
    other = file(tmp_path / "v", [FRAMES], [{"sample_id": "z", "image": numbers(0, 2, 7)}])
    plain = file(tmp_path / "w", [FRAMES], [{"sample_id": "y", "image": numbers(0, 2, 5)}])
    for files, inputs, forms, message in (
        ({"clip": [path]}, ["clp.image"], [Steps(8)], "did you mean 'clip'"),
        ({"clip": [path]}, ["clip.imag"], [Steps(8)], "did you mean 'image'"),
        ({"clip": [path]}, ["clip"], [Steps(8)], "a block is one tensor, as 'clip.image'"),
        ({"clip": [path]}, ["clip.image"], [Steps()], "1 .in 1 samples., 2 .in 1 samples.*steps"),
        ({"clip": [path, twin]}, ["clip.image"], [Steps(8)], "'s000' is in two rows"),
        ({"clip": [plain, other]}, ["clip"], [Steps(8)], "has the shape"),
        ({"clip": [path]}, ["clip.image"], [Steps(8)] * 2, "reads 2 blocks"),
        ({"clip": [path]}, ["clip.image"] * 2, [Steps(8)] * 2, "named twice"),
        ({"clip": [path]}, [], [], "none"),
    ):
        with pytest.raises(UserError, match=message):
            load_blocks(files, inputs, forms, tmp_path)
    assert blocks.VERSION >= 1
