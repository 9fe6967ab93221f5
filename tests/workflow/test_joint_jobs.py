"""From ready features to the table: what a second run, a new metric and a changed score compute."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd
import pytest

from flow import Flow, nothing_to_do

FEATURES = ("sharpness", "colour", "sync", "flow")
CONFIG = {
    "dataset": "ready",
    "mode": "import_features",
    "seed": 1,
    "shards": 1,
    "import": {
        "table": "features.csv",
        "id": "name",
        "pattern": r"(?P<image>\d+)_(?P<clip>c\d)_(?P<method>.+)",
        "features": "all",
        "mos": {"quality": "Score"},
    },
    "correlation": {"bootstrap": 50},
    "regression": {
        "protocols": [{"name": "by_image", "kind": "group_kfold", "groups": ["image"], "k": 3}],
        "metrics": {
            "sharpness": {"kind": "zero_shot", "inputs": ["imported.sharpness"]},
            "colour": {"kind": "zero_shot", "inputs": ["imported.colour"], "direction": -1},
            "ridge": {"kind": "regressor", "head": "ridge", "inputs": ["imported"]},
        },
    },
}
#: What needs the joint jobs, without the pages and figures behind them.
TARGETS = (
    "results/ready/correlation/correlation.parquet", "results/ready/correlation/scatter/ridge.svg"
)  # fmt: skip


def make_table(folder):
    draw = np.random.default_rng(3)
    names = [f"{i}_c{i % 2}_{method}" for i in range(12) for method in ("one", "two", "three")]
    frame = pd.DataFrame({"name": names})
    frame[list(FEATURES)] = draw.normal(size=(len(names), len(FEATURES)))
    frame["Score"] = (3 + frame["sharpness"] - frame["colour"]).round(3)
    frame.to_csv(folder / "features.csv", index=False)
    return frame


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("joint")
    make_table(folder)
    flow = Flow(folder, CONFIG)
    flow.run(*TARGETS)
    flow.first_tables = flow.tables()
    return flow


def computed(flow, name):
    """What the last run of a joint job computed: its items by the job's log."""
    text = (flow.results / "logs" / f"{name}.log").read_text()
    return sorted(re.findall(rf"{name.split('/')[1]} \d+ of \d+: (\S+) done", text))


def metrics_with(name, entry):
    regression = CONFIG["regression"]
    metrics = {**regression["metrics"], name: entry}
    return {**CONFIG, "regression": {**regression, "metrics": metrics}}


@pytest.mark.slow
def test_one_run_from_features_to_the_table_and_what_later_runs_compute(run):
    assert nothing_to_do(run.run(*TARGETS))
    assert computed(run, "regression/score_metrics") == [
        "colour", "constant", "oracle", "random", "sharpness",
    ]  # fmt: skip
    assert computed(run, "correlation/plot_scatter") == ["colour", "ridge", "sharpness"]
    before = run.tables()

    # One added metric: its own predictions, its own plot, its own fits.
    sync = {"kind": "zero_shot", "inputs": ["imported.sync"]}
    run.configure(metrics_with("sync", sync))
    assert "predict" not in run.planned(*TARGETS)
    run.run(*TARGETS)
    assert computed(run, "regression/score_metrics") == ["sync"]
    assert computed(run, "correlation/plot_scatter") == ["sync"]
    log = (run.results / "logs/correlation/correlate.log").read_text()
    fits = [int(count) for count in re.findall(r"(\d+) fits computed", log)]
    # Pooled, by method and three trials; then three methods. Significance needs no other fit.
    assert fits == [5, 8, 8]
    after = run.tables()
    assert {n for n in before if before[n] != after[n]} == {
        f"correlation/{n}.parquet" for n in ("correlation", "by_method", "significance")
    }
    assert set(after) - set(before) == {"regression/sync/predictions.parquet"}
    assert nothing_to_do(run.run(*TARGETS))

    # One changed score: single features and two controls do not depend on it.
    frame = pd.read_csv(run.folder / "features.csv")
    frame.loc[4, "Score"] += 0.5
    frame.to_csv(run.folder / "features.csv", index=False)
    run.run(*TARGETS)
    assert computed(run, "regression/score_metrics") == ["oracle"]
    changed = run.tables()
    predictions = {n for n in changed if n.startswith("regression/") and changed[n] != after[n]}
    assert predictions == {f"regression/{n}/predictions.parquet" for n in ("oracle", "ridge")}
    assert nothing_to_do(run.run(*TARGETS))


@pytest.mark.slow
def test_a_failing_metric_is_named_and_the_others_are_kept(run, tmp_path):
    make_table(tmp_path)
    # How many columns a table of own features has is known when it is read.
    entry = {"kind": "zero_shot", "inputs": ["imported"]}
    flow = Flow(tmp_path, metrics_with("broken", entry))
    said = flow.run("results/ready/regression/sharpness/predictions.parquet", ok=False)
    assert "1 of 6 metrics failed: broken: " in said
    assert "imported have 4 numbers per sample" in said
    assert len(computed(flow, "regression/score_metrics")) == 5
    flow.configure(metrics_with("broken", {**entry, "inputs": ["imported.flow"]}))
    flow.run("results/ready/regression/sharpness/predictions.parquet")
    assert computed(flow, "regression/score_metrics") == ["broken"]


@pytest.mark.slow
@pytest.mark.thorough
def test_a_joint_job_that_is_killed_resumes_and_ends_with_the_same_bytes(run, tmp_path):
    make_table(tmp_path)
    flow = Flow(tmp_path, CONFIG)
    flow.command = lambda *options: Flow.command(flow, *(options or TARGETS))
    scatter = flow.results / "correlation" / "scatter" / "cache"
    flow.kill_when(lambda: any(scatter.glob("*/files.json")))
    finished = {path.parent.name for path in scatter.glob("*/files.json")}
    flow.run("--unlock")
    flow.run()
    drawn = set(computed(flow, "correlation/plot_scatter"))
    assert finished
    assert drawn.isdisjoint(finished)
    assert drawn | finished == {"colour", "ridge", "sharpness"}
    for path in sorted(flow.results.glob("correlation/scatter/*.svg")):
        assert path.read_bytes().startswith(b"<?xml")
    for name in ("correlation/correlation.parquet", "regression/oracle/predictions.parquet"):
        assert flow.tables()[name] == run.first_tables[name]
