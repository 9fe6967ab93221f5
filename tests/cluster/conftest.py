from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
for folder in (HERE, HERE.parent / "workflow"):
    sys.path.insert(0, str(folder))

import harness  # noqa: E402
from runs import ClusterFlow  # noqa: E402


@pytest.fixture(scope="session")
def slurm(tmp_path_factory):
    """A running Slurm of one node; the test is skipped, with the reason, where there can be none."""
    if not os.environ.get("SFQA_CLUSTER"):
        pytest.skip("minutes, as root: ./run.sh cluster runs it")
    if reason := harness.why_not():
        pytest.skip(f"no Slurm here: {reason}")
    slurm = harness.Slurm(tmp_path_factory.mktemp("slurm"))
    try:
        slurm.start()
        yield slurm
    finally:
        slurm.stop()


@pytest.fixture(autouse=True)
def _no_run_outlives_its_test():
    yield
    ClusterFlow.end_all()
