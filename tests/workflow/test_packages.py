"""An extractor whose package is optional: planned without it, stopped before the first job."""

from __future__ import annotations

import os
import re
import subprocess
from importlib.util import find_spec
from pathlib import Path

import pytest

from flow import SMALL, Flow

FAKE = Path(__file__).parent / "fake_conda" / "bin"
NO_WEIGHTS = {"weights": "none"}


@pytest.fixture
def flow(tmp_path: Path) -> Flow:
    """A small dataset with one metric of pyiqa."""
    return Flow(
        tmp_path / "flow",
        {
            **SMALL,
            "pairs": {"count": 2},
            "generation": {"methods": ["sharp"], "size": 128},
            "features": {"iqa-topiq": {"weights": "random", "options": {"metric": "topiq_nr"}}},
        },
    )


@pytest.mark.skipif(find_spec("pyiqa") is not None, reason="pyiqa is installed")
def test_a_run_without_the_package_stops_before_the_first_job(flow: Flow) -> None:
    assert flow.planned()
    printed = flow.run("features", ok=False)
    assert "config, features.iqa-topiq: the package pyiqa, which this extractor needs" in printed
    assert "pip install --no-deps -r requirements-iqa.txt" in printed
    assert "rule prepare_images" not in printed


def test_with_environments_of_their_own_only_its_jobs_have_the_package(flow: Flow) -> None:
    flow.configure({**flow.config, "features": {**flow.config["features"], "signal": NO_WEIGHTS}})
    planned: dict[str, list[str]] = {}
    for extractor in ("iqa-topiq", "signal"):
        done = subprocess.run(
            flow.command(
                "-n", "--quiet", "rules", "--use-conda",
                f"results/small/features/{extractor}/sharp/0.parquet",
            ),
            cwd=flow.folder, capture_output=True, text=True, check=False,
            env={**os.environ, "PATH": f"{FAKE}{os.pathsep}{os.environ['PATH']}"},
        )  # fmt: skip
        # The exit status is not checked: Snakemake 9.27 cannot print the resources of such a job.
        planned[extractor] = re.findall(
            r"envs/(\w+)\.yaml will be created", done.stdout + done.stderr
        )
    assert sorted(planned["iqa-topiq"]) == ["iqa", "media", "tables"]
    assert sorted(planned["signal"]) == ["media", "tables", "torch"]
