"""Event files of trainings: what is in them, and that they change no number."""

from __future__ import annotations

import csv
import json
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from rated_features import make_rated_features
from sfqa.errors import UserError
from sfqa.regression import heads, network_fits
from sfqa.regression.train import train_metric, train_part
from sfqa.training.curves import EpochReport
from sfqa.training.events import EventFiles

PROTOCOLS = [{"name": "random", "kind": "random_kfold", "k": 2}]
SCALARS = ("learning_rate", "loss", "score", "best_epoch")


def make_metric(**options):
    options = {"epochs": 3, "hidden": [4], **options}
    return {"name": "m", "head": "mlp", "options": options, "dimensions": ["visual"]}


@pytest.fixture
def rated():
    return make_rated_features()


class StandInWriter:
    """Stands for torch's SummaryWriter: writes lines of JSON instead of event files."""

    def __init__(self, log_dir, flush_secs):
        self.path = Path(log_dir) / "events.json"
        self.path.parent.mkdir(parents=True)

    def add_scalar(self, name, value, step):
        with self.path.open("a") as file:
            file.write(json.dumps([name, value, step]) + "\n")

    def close(self):
        pass


@pytest.fixture
def stand_in(monkeypatch):
    module = ModuleType("torch.utils.tensorboard")
    module.SummaryWriter = StandInWriter
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", module)


def list_scalars(csv_file):
    """What the event file beside a CSV should hold."""
    with csv_file.open(newline="") as file:
        rows = list(csv.DictReader(file))
    return [[name, float(row[name]), int(row["epoch"])] for row in rows for name in SCALARS]


def read_stand_in(csv_file):
    lines = (csv_file.with_suffix("") / "events.json").read_text().splitlines()
    return [json.loads(line) for line in lines]


def test_event_files_hold_the_curves_and_change_no_number(rated, tmp_path, stand_in):
    expected = train_metric(make_metric(), rated, PROTOCOLS, 0, tmp_path / "without")
    rows = train_metric(make_metric(tensorboard=True), rated, PROTOCOLS, 0, tmp_path / "with")
    assert rows == expected
    names = [sorted(p.name for p in tmp_path.glob(f"{n}/*.npz")) for n in ("without", "with")]
    assert names[0] == names[1]
    assert not [p for p in tmp_path.glob("without/curves/*") if p.is_dir()]
    curves = sorted(tmp_path.glob("with/curves/*.csv"))
    assert len(curves) == 2
    for path in curves:
        assert read_stand_in(path) == list_scalars(path)
        assert len(list_scalars(path)) == 3 * len(SCALARS)


def test_finished_fits_get_event_files_without_a_training(rated, tmp_path, stand_in, monkeypatch):
    train_part(make_metric(), rated, PROTOCOLS, 0, tmp_path, 0, 1)
    monkeypatch.setattr(heads, "fit_and_predict", None)
    train_metric(make_metric(tensorboard=True), rated, PROTOCOLS, 0, tmp_path)
    for path in sorted(tmp_path.glob("curves/*.csv")):
        assert read_stand_in(path) == list_scalars(path)


def test_a_resumed_training_replaces_its_event_files(tmp_path, stand_in):
    reports = [EpochReport(epoch, 0.1, 1.0 / epoch, 0.5, 1) for epoch in (1, 2, 3)]
    for first_call in ([2], [1, 3, 3]):  # killed after two epochs; then resumed after one
        events = EventFiles(tmp_path / "fit")
        for n_reports in first_call:
            events.write(reports[:n_reports])
        events.close()
    assert [step for name, _, step in read_stand_in(tmp_path / "fit.csv") if name == "loss"] == [
        1, 2, 3,
    ]  # fmt: skip


def test_without_the_package_it_is_said_before_a_training(rated, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    monkeypatch.setattr(network_fits, "Trainer", None)
    with pytest.raises(UserError, match="tensorboard is not installed.*pip install tensorboard"):
        train_metric(make_metric(tensorboard=True), rated, PROTOCOLS, 0, tmp_path)


def test_tensorboard_reads_the_event_files(rated, tmp_path):
    pytest.importorskip("tensorboard", reason="optional package")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    train_metric(make_metric(tensorboard=True), rated, PROTOCOLS, 0, tmp_path)
    for path in sorted(tmp_path.glob("curves/*.csv")):
        events = EventAccumulator(str(path.with_suffix(""))).Reload()
        for name in SCALARS:
            expected = [[n, v, step] for n, v, step in list_scalars(path) if n == name]
            scalars = [[name, event.value, event.step] for event in events.Scalars(name)]
            assert [s[2] for s in scalars] == [s[2] for s in expected]
            assert np.allclose([s[1] for s in scalars], [s[1] for s in expected], rtol=1e-6)
