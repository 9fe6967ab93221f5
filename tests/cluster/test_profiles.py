"""Each profile is what its comments say: every line has its why, and the plans it makes are right."""

from __future__ import annotations

import re
import sys

import pytest
import yaml

from flow import ROOT, Flow

PROFILES = ("default", "local-gpu", "slurm")
#: What every profile promises, since only one is read: docs/reruns.md rests on it.
SHARED = ("max-checksum-file-size", "rerun-incomplete", "keep-going", "scheduler", "latency-wait")


def profile(name):
    return yaml.safe_load((ROOT / f"profiles/{name}/config.yaml").read_text())


@pytest.mark.parametrize("name", PROFILES)
def test_every_setting_has_a_comment_above_it(name):
    lines = (ROOT / f"profiles/{name}/config.yaml").read_text().splitlines()
    settings = [n for n, line in enumerate(lines) if re.match(r"[a-z][\w-]*:", line)]
    for n in settings:
        # A section is explained line by line inside; twins share one comment.
        above = lines[n - 1].strip().startswith("#") or lines[n + 1].strip().startswith("#")
        twin = n - 1 in settings and lines[n - 2].strip().startswith("#")
        assert above or twin, lines[n]


@pytest.mark.parametrize("name", PROFILES)
def test_what_reruns_rest_on_is_in_every_profile(name):
    default, mine = profile("default"), profile(name)
    for key in SHARED:
        assert key in mine, key
        if key != "latency-wait":
            assert mine[key] == default[key]


def test_the_plugin_is_pinned_where_the_profile_says():
    pins = (ROOT / "requirements-cluster.txt").read_text()
    (wanted,) = re.findall(
        r"snakemake-executor-plugin-slurm==[\d.]+",
        (ROOT / "profiles/slurm/config.yaml").read_text(),
    )
    assert wanted in pins


CONFIG = {
    "dataset": "small",
    "mode": "build",
    "materials": {"images": "images.csv", "clips": "clips.csv"},
    "pairs": {"count": 2},
    "generation": {"methods": ["sharp"]},
    "features": {"signal": {"weights": "none"}},
    "ratings": {"source": "simulated", "raters": 4},
    "regression": {"metrics": {"S": {"kind": "zero_shot", "inputs": ["signal.sharpness"]}}},
}


class Planned(Flow):
    def command(self, *options):
        return [
            sys.executable, "-m", "snakemake", *options, "--configfile", "test.yaml", "-n",
        ]  # fmt: skip


@pytest.mark.thorough
def test_the_profiles_plan_the_same_jobs(tmp_path):
    flow = Planned(tmp_path, CONFIG)
    plans = {
        name: flow.planned("--workflow-profile", f"profiles/{name}", "--executor", "dryrun")
        for name in PROFILES
    }
    assert plans["default"]["list_samples"] == 1
    assert plans["default"] == plans["local-gpu"] == plans["slurm"]


def test_the_slurm_profile_asks_for_more_at_every_attempt(tmp_path):
    """Evaluated by Snakemake's own parser, as the executor will see it."""
    from snakemake.resources import Resources

    asked = profile("slurm")
    default = [f"{k}={v}" for k, v in asked["default-resources"].items()]
    parsed = Resources.parse(default, allow_expressions=True)

    def value(name, attempt):
        resource = parsed[name]
        found = resource.evaluate(
            None, input=[], attempt=attempt, threads=1, rulename="r", async_run=None
        )
        return found.value

    assert [value("runtime", n) for n in (1, 2, 3)] == [60, 120, 180]
    assert [value("mem_mb", n) for n in (1, 2, 3)] == [2000, 4000, 6000]
    assert value("slurm_extra", 1) == "--signal=TERM@120"
