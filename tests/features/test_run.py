from __future__ import annotations

from collections import Counter
from contextlib import contextmanager
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from sfqa import store, tables
from sfqa.errors import UserError
from sfqa.features import base, run, weights
from sfqa.options import Option, merge_options
from sfqa.tables import COSTS
from sfqa.workers import LostTaskError

CALLS: Counter[str] = Counter()


class Fake:
    """A stand-in extractor that counts what it is asked."""

    FEATURES = (
        base.Feature("map", "a tensor", ("clip", "channel")),
        base.Feature("level", "a number", dtype="float64"),
        base.Feature("count", "a whole number", dtype="int64"),
    )
    INPUTS = ("video", "audio")

    def __init__(self, options, found, device):
        CALLS["built"] += 1
        self.gain = options["gain"]

    def extract(self, video):
        CALLS[video.sample_id] += 1
        if video.sample_id == "blind":
            raise base.UnusableError("no_face: none in 150 frames")
        detail = "several_faces: two" if video.sample_id == "two" else ""
        return {
            "map": np.full((video.frames // 25, 3), self.gain, np.float32),
            "level": 0.1, "count": video.frames, "detail": detail,
        }  # fmt: skip


@pytest.fixture(autouse=True)
def fake(monkeypatch):
    CALLS.clear()
    declared = {"gain": Option(1.0, None, None, "what every number is multiplied by")}
    package = SimpleNamespace(
        load=lambda name: SimpleNamespace(Extractor=Fake), version=lambda name: 1,
        merge_options=lambda name, options, where: merge_options(options, declared, where),
        read=lambda name, constant, default: {"WEIGHTS": True}.get(constant, default),
    )  # fmt: skip
    monkeypatch.setattr(base, "EXTRACTORS", package)


def conformed(*names, **change):
    rows = []
    for name in names:
        rows.append(
            {
                "sample_id": name, "method": "sharp", "shard": 0, "status": "ok", "detail": "",
                "source_sha256": "0", "path": f"{name}.mp4", "sha256": f"video of {name}",
                "audio_path": f"{name}.wav", "audio_sha256": f"sound of {name}", "fps": 25.0,
                "frames": 50, "sample_rate": 16000, "prompt": None, **change,
            }
        )  # fmt: skip
    return pd.DataFrame(rows, columns=tables.CONFORMED.names)


SPEC = {"weights": "random"}


@contextmanager
def taken():
    CALLS["devices"] += 1
    yield "cpu"


def extract(frame, folder, writer="sharp/0", spec=SPEC):
    return run.extract_shard(frame, "fake", spec, folder, writer, taken)[:2]


def test_rows_and_metadata_are_whole(tmp_path):
    table, about = extract(conformed("a", "two", "blind"), tmp_path)
    assert table.column("status").to_pylist() == ["ok", "flawed", "failed"]
    assert table.column("detail").to_pylist()[2] == "no_face: none in 150 frames"
    field = table.schema.field("map")
    assert base.read_tensor(table.column("map"), field, 0).tolist() == [[1, 1, 1], [1, 1, 1]]
    assert base.read_tensor(table.column("map"), field, 2) is None
    assert table.column("count").to_pylist() == [50, 50, None]
    assert about["weights"] == {"kind": "random", "identity": "random:0"}
    store.write_arrow(table, tmp_path / "f.parquet", about)
    assert store.read_metadata(tmp_path / "f.parquet")["options"] == {"gain": 1.0}


def test_a_second_run_computes_nothing_and_builds_no_model(tmp_path):
    first, _ = extract(conformed("a", "two", "blind"), tmp_path)
    CALLS.clear()
    second, _ = extract(conformed("a", "two", "blind"), tmp_path)
    assert not CALLS
    assert second.equals(first, check_metadata=True)


def test_one_changed_video_costs_one_video(tmp_path):
    frame = conformed("a", "b", "c")
    extract(frame, tmp_path)
    CALLS.clear()
    frame.loc[1, "sha256"] = "another"
    extract(frame, tmp_path)
    assert CALLS == {"devices": 1, "built": 1, "b": 1}


@pytest.mark.parametrize(
    ("column", "value", "computed"),
    [("audio_sha256", "x", 1), ("prompt", "x", 0), ("path", "y.mp4", 0), ("fps", 30.0, 1)],
)
def test_a_row_depends_on_what_the_extractor_reads_alone(tmp_path, column, value, computed):
    frame = conformed("a")
    extract(frame, tmp_path)
    CALLS.clear()
    frame[column] = value
    extract(frame, tmp_path)
    assert CALLS["a"] == computed


@pytest.mark.parametrize(
    "spec", [{"weights": "random", "weights_seed": 1}, {**SPEC, "options": {"gain": 2.0}}]
)
def test_other_weights_or_options_are_other_rows(tmp_path, spec):
    extract(conformed("a"), tmp_path)
    extract(conformed("a"), tmp_path, spec=spec)
    assert CALLS["a"] == 2


def test_another_version_is_other_rows(tmp_path, monkeypatch):
    extract(conformed("a"), tmp_path)
    monkeypatch.setattr(base, "read_extractor_version", lambda name: 2)
    extract(conformed("a"), tmp_path)
    assert CALLS["a"] == 2


def test_a_sample_that_moves_to_another_shard_is_found(tmp_path):
    extract(conformed("a", "b"), tmp_path, "sharp/0")
    CALLS.clear()
    table, _ = extract(conformed("b"), tmp_path, "sharp/7")
    assert not CALLS
    assert table.column("sample_id").to_pylist() == ["b"]


def test_the_same_video_under_another_name_is_the_same_row(tmp_path):
    extract(conformed("a"), tmp_path)
    CALLS.clear()
    frame = conformed("renamed", sha256="video of a", audio_sha256="sound of a")
    table, _ = extract(frame, tmp_path)
    assert not CALLS
    assert table.column("sample_id").to_pylist() == ["renamed"]


def test_a_video_that_failed_before_keeps_its_reason(tmp_path):
    frame = conformed("a", status="failed", detail="broken: empty file", sha256=None)
    table, _ = extract(frame, tmp_path)
    assert table.column("detail").to_pylist() == ["broken: empty file"]
    assert not CALLS


def test_two_samples_of_one_content_are_computed_once(tmp_path):
    frame = conformed("a", "b", "a2")
    frame.loc[2, ["sha256", "audio_sha256"]] = frame.loc[0, ["sha256", "audio_sha256"]].tolist()
    table, _, costs = run.extract_shard(frame, "fake", SPEC, tmp_path, "sharp/0", taken)
    assert CALLS == {"devices": 1, "built": 1, "a": 1, "b": 1}
    assert table.column("sample_id").to_pylist() == ["a", "b", "a2"]
    assert table.column("map")[0] == table.column("map")[2]
    assert [c["computed"] for c in costs] == [True, True, False]


def test_costs_are_kept_with_the_row_and_stay_out_of_the_table(tmp_path, monkeypatch):
    frame = conformed("a", "blind", "gone")
    frame.loc[2, "status"] = "failed"
    frame.loc[2, "detail"] = "broken: empty"
    first, about, cost = run.extract_shard(frame, "fake", SPEC, tmp_path, "sharp/0", taken)
    assert [(c["sample_id"], c["computed"]) for c in cost] == [("a", True), ("blind", True)]
    assert about["devices"] == {"cpu": 2}
    monkeypatch.setattr(run.pipeline, "compute_rows", lambda *_: pytest.fail("computed"))
    second, _, again = run.extract_shard(frame, "fake", SPEC, tmp_path, "sharp/0", taken)
    assert again == [{**c, "computed": False} for c in cost]
    assert second.equals(first, check_metadata=True)
    store.write(COSTS, again, tmp_path / "costs.parquet")
    assert store.read(COSTS, tmp_path / "costs.parquet")["computed"].tolist() == [False, False]


def test_a_row_that_was_lost_is_tried_again(tmp_path, monkeypatch):
    """A process that died says nothing sure of the video: the next run may have more luck."""
    with monkeypatch.context() as patch:
        patch.setattr(Fake, "extract", lost)
        table, _ = extract(conformed("a"), tmp_path)
    assert table.column("status").to_pylist() == ["failed"]
    assert table.column("detail").to_pylist() == ["timed_out: it took too long"]
    table, _ = extract(conformed("a"), tmp_path)
    assert table.column("status").to_pylist() == ["ok"]
    assert CALLS["a"] == 1


def lost(self, video):
    raise LostTaskError("timed_out: it took too long")


def test_a_line_for_every_video_and_one_for_all(tmp_path, caplog):
    extract(conformed("a", "blind"), tmp_path)
    frame = conformed("a", "b", "blind", "gone")
    frame.loc[3, ["status", "detail"]] = ["failed", "broken: empty"]
    caplog.clear()  # whoever ran before may have left the logger at INFO
    with caplog.at_level("INFO", "sfqa"):
        extract(frame, tmp_path)
    lines = [r.getMessage() for r in caplog.records]
    assert [x.split(" (")[0] for x in lines[:-1]] == [
        "fake 1 of 4: gone failed broken: empty",
        "fake 2 of 4: a ok",
        "fake 3 of 4: blind failed no_face: none in 150 frames",
        "fake 4 of 4: b ok",
    ]
    assert lines[-2].endswith(" videos/min, 0:00 left, 2 failed)")
    assert "fake: 4 rows, 1 computed, 3 from the cache or failed before" in lines[-1]


def test_an_empty_shard_is_an_empty_table(tmp_path):
    table, _ = extract(conformed(), tmp_path)
    assert table.num_rows == 0


def test_an_unknown_option_is_a_sentence(tmp_path):
    with pytest.raises(UserError, match=r"features\.fake\.options: no option 'gian'.*'gain'"):
        extract(conformed("a"), tmp_path, spec={**SPEC, "options": {"gian": 2}})


def test_a_tensor_that_is_not_finite_never_becomes_a_row():
    with pytest.raises(ValueError, match="not finite"):
        base.build_table(Fake.FEATURES, [{"map": np.array([[np.nan]]), "status": "ok"}])


def test_weights_files_are_checked(tmp_path):
    path = tmp_path / "w.pt"
    path.write_bytes(b"abc")
    with pytest.raises(UserError, match=r"w\.pt has the sha256 ba7816bf"):
        weights.resolve_weights({"weights": str(path), "sha256": "0" * 64}, "lse")
    with pytest.raises(UserError, match="there is no file"):
        weights.resolve_weights({"weights": str(tmp_path / "none.pt")}, "lse")
    with pytest.raises(UserError, match="say 'random'"):
        weights.resolve_weights({}, "lse")


def test_weights_load_from_a_file_in_any_wrapping(tmp_path):
    import torch

    module = torch.nn.Linear(3, 2)
    for name, wrapped in {
        "plain": module.state_dict(),
        "model_state": {"model_state": module.state_dict()},
        "parallel": {"state_dict": {f"module.{k}": v for k, v in module.state_dict().items()}},
    }.items():
        path = tmp_path / f"{name}.pt"
        torch.save(wrapped, path)
        found = weights.Weights("official", "x", path).load(lambda: torch.nn.Linear(3, 2))
        assert torch.equal(found.weight, module.weight)
        assert not found.training
    with pytest.raises(UserError, match="do not fit Linear"):
        weights.Weights("official", "x", path).load(lambda: torch.nn.Linear(4, 2))


def test_none_is_not_a_way_to_run_untrained_in_silence():
    with pytest.raises(UserError, match="say 'random'"):
        weights.resolve_weights({"weights": "none"}, "x").load(lambda: pytest.fail("was built"))


def test_a_weights_file_cannot_run_code(tmp_path):
    import pickle

    class Evil:
        def __reduce__(self):
            return (open, (str(tmp_path / "owned"), "w"))

    path = tmp_path / "evil.pt"
    path.write_bytes(pickle.dumps(Evil()))
    with pytest.raises(UserError, match="cannot be read as weights"):
        weights.read_state(path)
    assert not (tmp_path / "owned").exists()


def test_random_weights_are_the_same_for_a_seed_and_leave_the_generator_alone():
    import torch

    torch.manual_seed(5)
    before = torch.get_rng_state()
    a = weights.resolve_weights(SPEC, "x").load(lambda: torch.nn.Linear(3, 2))
    b = weights.resolve_weights(SPEC, "x").load(lambda: torch.nn.Linear(3, 2))
    c = weights.resolve_weights({**SPEC, "weights_seed": 1}, "x").load(
        lambda: torch.nn.Linear(3, 2)
    )
    assert torch.equal(a.weight, b.weight)
    assert not torch.equal(a.weight, c.weight)
    assert torch.equal(torch.get_rng_state(), before)
