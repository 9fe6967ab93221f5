"""What is changed in Snakemake: each piece does what its reason says, and the package needs none of it."""

import gc
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from snakemake.exceptions import WorkflowError
from snakemake.persistence import PersistenceBase
from snakemake.settings.types import ExecMode

from sfqa import snakemake_tuning
from sfqa.errors import UserError

ROOT = Path(__file__).parents[1]
SCRIPTS = ROOT / "workflow/scripts"


def test_the_module_can_be_imported_without_snakemake():
    code = (
        "import sys; sys.modules['snakemake'] = None\n"
        "from sfqa import snakemake_tuning\n"
        "assert not [m for m in sys.modules if m.startswith('snakemake') and sys.modules[m]]"
    )
    env = {**os.environ, "PYTHONPATH": str(SCRIPTS)}
    subprocess.run([sys.executable, "-c", code], env=env, check=True)


@pytest.mark.parametrize("mode", list(ExecMode))
def test_only_the_scheduling_process_schedules(mode):
    workflow = SimpleNamespace(exec_mode=mode)
    assert snakemake_tuning.schedules_jobs(workflow) is (mode == ExecMode.DEFAULT)


def test_an_error_of_the_user_becomes_one_of_snakemake():
    with pytest.raises(WorkflowError, match="no such key"), snakemake_tuning.errors_for_snakemake():
        raise UserError("no such key")


@pytest.mark.parametrize("value", [None, 1, 2.5, True, "a", [1, {"b": (2,)}], {"k": {1}}, object()])
def test_parameters_are_compared_as_before_without_pandas(monkeypatch, value):
    original = PersistenceBase._serialize_param_pandas
    monkeypatch.setattr(PersistenceBase, "_serialize_param_pandas", original)  # restored afterwards
    concrete = type("Concrete", (PersistenceBase,), {})
    concrete.__abstractmethods__ = frozenset()
    persistence = concrete.__new__(concrete)
    before = original(persistence, value)
    snakemake_tuning.keep_pandas_unloaded()
    monkeypatch.setitem(sys.modules, "pandas", None)
    assert persistence._serialize_param_pandas(value) == before


def test_garbage_is_collected_less_often():
    thresholds = gc.get_threshold()
    try:
        snakemake_tuning.collect_garbage_less_often()
        assert gc.get_threshold()[0] > thresholds[0]
        assert gc.get_freeze_count() > 0
    finally:
        gc.set_threshold(*thresholds)
        gc.unfreeze()
