from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest

from sfqa.errors import UserError
from sfqa.features import base
from sfqa.features.extractors import EXTRACTORS


@pytest.mark.parametrize("name", base.list_extractors())
def test_an_extractor_keeps_the_contract(name):
    kind, module = base.load_extractor(name), EXTRACTORS.load(name)
    assert EXTRACTORS.options(name) == module.OPTIONS
    assert base.merge_options(name, {}).keys() == module.OPTIONS.keys()
    assert base.read_extractor_version(name) == module.VERSION >= 1
    assert base.has_weights(name) == getattr(module, "WEIGHTS", False)
    assert set(kind.INPUTS) <= {"video", "audio", "prompt"}
    assert kind.FEATURES
    for feature in kind.FEATURES:
        assert feature.meaning


def test_what_the_workers_import_brings_no_torch():
    """A worker that reads videos needs neither its second of start nor its memory."""
    halves = [
        name for name in base.list_extractors() if hasattr(base.load_extractor(name), "score")
    ]
    assert {"clip", "lse", "slowfast"} <= set(halves)
    code = "import sys, importlib\n" + "".join(
        f"importlib.import_module('sfqa.features.extractors.{name}')\n" for name in halves
    )
    code += "import sfqa.workers\nassert 'torch' not in sys.modules"
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    subprocess.run([sys.executable, "-c", code], env=env, check=True)


def test_an_unknown_extractor_is_a_sentence():
    with pytest.raises(
        UserError, match="no extractor is called 'slowfst'; did you mean 'slowfast'"
    ):
        base.read_extractor_version("slowfst")


def test_tensors_come_back_in_their_shape():
    features = (base.Feature("x", "a tensor", ("frame", "row", "column"), "float32"),)
    value = np.arange(12, dtype=np.float32).reshape(1, 3, 4)
    rows = [
        {"sample_id": s, "method": "m", "status": "ok", "detail": "", "x": v}
        for s, v in (("a", value), ("b", np.concatenate([value, value])), ("c", None))
    ]
    table = base.build_table(features, rows)
    field = table.schema.field("x")
    assert np.array_equal(base.read_tensor(table.column("x"), field, 0), value)
    assert base.read_tensor(table.column("x"), field, 1).shape == (2, 3, 4)
    assert base.read_tensor(table.column("x"), field, 2) is None


def test_rows_of_different_inner_shapes_are_refused():
    features = (base.Feature("x", "a tensor", ("frame", "channel")),)
    with pytest.raises(ValueError, match="different shapes"):
        base.build_table(features, [{"x": np.zeros((2, 3))}, {"x": np.zeros((2, 4))}])


def test_the_choices_are_what_the_code_has():
    """Constants of other modules cannot be named in OPTIONS, which are read without importing."""
    from sfqa.features import siti, spatial_net
    from sfqa.features.extractors import lse, signal, slowfast

    def choices(name, option):
        return set(EXTRACTORS.options(name)[option].choices)

    assert choices("lse", "detector") == {*lse.DETECTORS, "s3fd"}
    assert choices("signal", "detector") == set(signal.DETECTORS)
    assert choices("signal", "matrix") == set(siti.MATRICES)
    assert choices("slowfast", "convention") == set(slowfast.SIZES)
    assert choices("spatial", "model") == set(spatial_net.MODELS)


@pytest.mark.parametrize(
    ("name", "entry", "message"),
    [
        ("lse", {"weights": "none"}, "features.lse.weights: lse has weights; give their file"),
        (
            "signal",
            {"weights": "random"},
            "features.signal.weights: signal has no weights; say 'none'",
        ),
        (
            "clip",
            {"weights": "random", "options": {"frames": 0}},
            "features.clip.options.frames is 0",
        ),
        (
            "iqa-mine",
            {"weights": "random", "options": {"metric": "musiq", "input": "focusq"}},
            "features.iqa-mine.options: input: focusq does not go with metric: musiq; it needs "
            "topiq_nr or",
        ),
        (
            "clop",
            {"weights": "random"},
            "config, features: no extractor is called 'clop'; did you mean 'clip'",
        ),
    ],
)
def test_a_wrong_entry_of_the_configuration_is_a_sentence(name, entry, message):
    with pytest.raises(UserError, match=message):
        base.check_entry(name, entry)
