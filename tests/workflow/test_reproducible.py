"""Two runs from scratch, with other numbers of workers and another order of jobs: the same bytes."""

from __future__ import annotations

import pytest

from flow import SMALL, Flow, nothing_to_do
from sfqa.report import manifest

pytestmark = [pytest.mark.slow, pytest.mark.thorough]

#: An extractor with two networks, one with one, one with none; a head of every kind of arithmetic.
CONFIG = {
    **SMALL,
    "shards": 2,
    "features": {
        "clip": {"weights": "random", "options": {"model": "ViT-S-32-alt", "frames": 2}},
        "lse": {"weights": "random", "options": {"detect_every": 5}},
        "signal": {"weights": "none"},
    },
    "regression": {
        "protocols": [
            {"name": "random", "kind": "random_kfold", "k": 2},
            {"name": "disjoint", "kind": "fixed"},
        ],
        "metrics": {
            "LSE-C": {"kind": "zero_shot", "inputs": ["lse.lse_c"]},
            "ridge": {"kind": "regressor", "head": "ridge", "inputs": ["clip.image"]},
            "mlp": {"kind": "regressor", "head": "mlp", "inputs": ["clip.image"]},
            "forest": {"kind": "regressor", "head": "random_forest", "inputs": ["clip.image"]},
            "kernel": {"kind": "regressor", "head": "kernel", "inputs": ["clip.image"]},
            "blend": {"kind": "regressor", "head": "blend", "inputs": ["lse.lse_c", "lse.lse_d"]},
            "svr": {"kind": "regressor", "head": "svr", "inputs": ["lse.lse_c", "lse.lse_d"]},
        },
    },
    "correlation": {"bootstrap": 200},
}
MANIFEST = "results/small/report/manifest.json"
TEXTS = ("csv", "md", "tex", "html")


class Workers(Flow):
    """A flow that runs so many jobs at a time."""

    cores = 2

    def command(self, *options: str) -> list[str]:
        words = super().command(*options)
        words[words.index("--cores") + 1] = str(self.cores)
        return words

    def texts(self) -> dict[str, bytes]:
        found = {p for end in TEXTS for p in self.results.glob(f"correlation/*.{end}")}
        found |= {self.results / "report/rejects.html"}
        return {p.relative_to(self.results).as_posix(): p.read_bytes() for p in sorted(found)}


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    """One job at a time; and two at a time, the last shards first, two threads for the networks."""
    folder = tmp_path_factory.mktemp("reproducible")
    one, two = Workers(folder / "one", CONFIG), Workers(folder / "two", CONFIG)
    one.cores = 1
    one.run("all", MANIFEST)
    shards = sorted(one.results.glob("features/*/*/*.parquet"))
    threads = ("--set-threads", "extract_features=2")
    for path in (shards[-1], shards[0]):
        two.run(path.relative_to(one.folder).as_posix(), *threads)
    two.run("all", MANIFEST, *threads)
    return one, two


def test_one_worker_and_two_give_the_same_bytes(pair):
    one, two = pair
    ours, theirs = one.tables(), two.tables()
    assert len(ours) > 20
    assert set(ours) == set(theirs)
    assert [name for name in ours if ours[name] != theirs[name]] == []
    assert len(one.texts()) > 10
    assert one.texts() == two.texts()


def test_their_manifests_say_that_they_are_the_same_run(pair):
    one, two = (manifest.read_manifest(flow.folder / MANIFEST) for flow in pair)
    assert manifest.compare_manifests(one, two) == []
    assert one[manifest.RUN] != two[manifest.RUN]
    same = one[manifest.SAME]
    assert same["tables"]["correlation/metrics.csv"]["sha256"]
    assert same["versions"]["metrics"]["ridge"]["versions"]
    assert same["versions"]["extractors"]["lse"][0]["weights"]["kind"] == "random"
    assert same["methods"]["late"]["adapter_version"] >= 1
    assert set(one[manifest.RUN]["scored"]) == {"clip", "lse", "signal"}


def test_the_manifest_makes_nothing_run_again(pair):
    one, _ = pair
    assert nothing_to_do(one.run("all", MANIFEST))
    before = one.tables()
    # A word of the configuration that no table depends on: a new manifest, and no more.
    told = {"source": "a paper", "protocol": "random", "srcc": 0.5}
    known = {**CONFIG["regression"]["metrics"]["ridge"], "published": told}
    metrics = {**CONFIG["regression"]["metrics"], "ridge": known}
    one.configure({**CONFIG, "regression": {**CONFIG["regression"], "metrics": metrics}})
    assert one.planned("all", MANIFEST) == {"write_manifest": 1}
    assert one.tables() == before
