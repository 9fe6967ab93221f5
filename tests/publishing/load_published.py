"""Load a published folder as others do, without this project: prints what was read as JSON.

Run by the interpreter of .venv-publish: python load_published.py FOLDER
"""

from __future__ import annotations

import json
import sys
from itertools import islice
from pathlib import Path


def read_croissant(folder: Path) -> dict[str, object]:
    """Validate the Croissant metadata; return warnings, errors and the first record of each table."""
    import mlcroissant

    dataset = mlcroissant.Dataset(jsonld=str(folder / "croissant.json"))
    issues = dataset.metadata.ctx.issues
    records = {
        record_set.uuid: {
            key: value.decode() if isinstance(value, bytes) else str(value)
            for key, value in next(iter(islice(dataset.records(record_set.uuid), 1))).items()
        }
        for record_set in dataset.metadata.record_sets
    }
    return {
        "errors": sorted(issues.errors),
        "warnings": sorted(issues.warnings),
        "records": records,
    }


def read_tables(folder: Path) -> dict[str, object]:
    """Return the rows and columns of every configuration that the dataset card names."""
    from datasets import get_dataset_config_names, load_dataset

    tables = {}
    for name in [None, *get_dataset_config_names(str(folder))]:
        parts = load_dataset(str(folder), name)
        tables[name or "default"] = {
            part: {"rows": len(rows), "columns": rows.column_names, "first": str(rows[0])}
            for part, rows in parts.items()
        }
    return tables


if __name__ == "__main__":
    place = Path(sys.argv[1]).resolve()
    print(json.dumps({"croissant": read_croissant(place), "tables": read_tables(place)}))
