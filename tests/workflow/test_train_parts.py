"""Regressors that several jobs fit side by side: what is planned, and the same table at the end."""

from __future__ import annotations

import json

import pytest

from flow import Flow, started
from test_joint_jobs import CONFIG, make_table

TARGET = "results/ready/regression/net/predictions.parquet"
NET = {
    "kind": "regressor", "head": "mlp", "inputs": ["imported"],
    "options": {"epochs": 2, "hidden": [4]},
}  # fmt: skip


def configure(**keys):
    regression = {**CONFIG["regression"], "metrics": {"net": {**NET, **keys}}}
    return {**CONFIG, "regression": regression}


def test_each_part_is_a_job(tmp_path):
    make_table(tmp_path)
    flow = Flow(tmp_path, configure(jobs=3))
    planned = flow.planned(TARGET)
    assert (planned["train_part"], planned["predict"]) == (3, 1)
    flow.configure(configure())
    assert "train_part" not in flow.planned(TARGET)
    flow.configure(configure(options={**NET["options"], "processes": 2}))
    options = ["--workflow-profile", "profiles/slurm", "--executor", "dryrun"]
    output = flow.run("-n", TARGET, *options)
    for request in ("gpu=2", "processes=2", "nodes=1", "mem_mb=9000", "threads: 2"):
        assert request in output, output
    flow.configure(configure(jobs=0))
    assert "metrics.net.jobs: 0; write a whole number of 1 or more" in flow.run("-n", ok=False)


@pytest.mark.slow
@pytest.mark.thorough
def test_jobs_change_no_number_and_repeat_no_fit(tmp_path):
    make_table(tmp_path)
    flow = Flow(tmp_path, configure(jobs=3))
    assert started(flow.run(TARGET))["train_part"] == 3
    predictions = (tmp_path / TARGET).read_bytes()
    parts = [json.loads(p.read_text()) for p in sorted(flow.results.glob("regression/net/parts/*"))]
    assert [(p["part"], p["jobs"], len(p["fits"])) for p in parts] == [(n, 3, 1) for n in range(3)]
    log = flow.results / "logs/regression/net.log"
    assert "net: all 3 fits from the cache" in log.read_text()
    assert "Nothing to be done" in flow.run(TARGET)
    # One job instead of three: the table is written again, from the same fits.
    flow.configure(configure())
    assert "train_part" not in started(flow.run(TARGET))
    assert "net: all 3 fits from the cache" in log.read_text()
    assert (tmp_path / TARGET).read_bytes() == predictions
    # An option that changes no number re-runs nothing.
    flow.configure(configure(options={**NET["options"], "tensorboard": True, "processes": 2}))
    assert "Nothing to be done" in flow.run(TARGET)
