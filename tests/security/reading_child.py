"""Read files from outside in a process of its own, and report what each of them cost.

``python reading_child.py < jobs.json``: a list of [type, path]; one JSON line for each file.
"""

from __future__ import annotations

import json
import resource
import sys
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sfqa.challenge import submission
from sfqa.errors import UserError
from sfqa.processes import peak_memory_mb, restart_peak_memory
from sfqa.shown_text import show_controls

#: No file may take this much; the process ends before the machine does.
ADDRESS_SPACE_MB = 16_000
NAMES = [f"v{n:02d}.mp4" for n in range(40)]


def read_submission(path: Path) -> list[str]:
    return submission.read_zip(path, NAMES).errors


def read_model(path: Path) -> list[str]:
    from sfqa.regression import cross, model_files

    model = model_files.read(path)
    model_files.Scorer(model)
    cross.describe_model(model)
    return []


def read_study(path: Path) -> list[str]:
    from sfqa.ratings.screen import study

    study.read_study(path)
    return []


def read_weights(path: Path) -> list[str]:
    from sfqa.features import weights

    weights.read_state(path)
    return []


def read_config(path: Path) -> list[str]:
    from sfqa.cli._config import load_config

    load_config(path)
    return []


def read_table(path: Path) -> list[str]:
    from sfqa.user_tables import read_table as read_any_table
    from sfqa.user_tables import structured

    if structured.is_structured(path):
        structured.read_structured(path)
    else:
        read_any_table(path, "ratings")
    return []


def read_arrays(path: Path) -> list[str]:
    from sfqa.untrusted.arrays import read_npz

    try:
        read_npz(path)
    except (ValueError, OSError, zipfile.BadZipFile) as error:
        return [f"{path.name}: {show_controls(str(error)[:200])} (an .npz archive)"]
    return []


READERS: dict[str, Callable[[Path], list[str]]] = {
    "submission": read_submission, "model": read_model, "study": read_study,
    "weights": read_weights, "config": read_config, "table": read_table,
    "arrays": read_arrays,
}  # fmt: skip


def read_file(file_type: str, path: Path) -> dict[str, Any]:
    """Return the sentences of one file ([] if it is good), its crash, its seconds and memory."""
    restart_peak_memory()
    memory_before, started = peak_memory_mb(), time.monotonic()
    sentences, crash = [], ""
    try:
        sentences = READERS[file_type](path)
    except UserError as error:
        sentences = [str(error)]
    except BaseException as error:
        crash = f"{type(error).__name__}: {error}"[:500]
    return {
        "path": str(path), "sentences": sentences, "crash": crash,
        "seconds": time.monotonic() - started, "mb": peak_memory_mb() - memory_before,
    }  # fmt: skip


def load_libraries() -> None:
    """Import what the readers need, so that its memory does not count for the first file."""
    import pyarrow.compute
    import pyarrow.parquet  # noqa: F401
    import scipy.io  # noqa: F401
    import torch

    torch.set_num_threads(1)
    from sfqa.ratings.screen import study  # noqa: F401
    from sfqa.regression import heads
    from sfqa.regression.model_schema import _make_validator

    _make_validator()
    for name in ("ridge", "mlp", "boosting"):
        heads.load_head(name)


if __name__ == "__main__":
    limit = ADDRESS_SPACE_MB * 2**20
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    jobs = json.load(sys.stdin)
    load_libraries()
    for file_type, path in jobs:
        print(json.dumps(read_file(file_type, Path(path))), flush=True)
