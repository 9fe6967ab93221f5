"""Collect the rows of all stages that are not ok, with their reasons."""

from pathlib import Path

import pandas as pd

from sfqa import store, tables
from sfqa.job import run_job
from sfqa.report.rejects import collect_rejects, render_page

with run_job(snakemake.log[0]) as log:
    inputs = dict(snakemake.input.items())
    features = inputs.pop("features", [])
    frames = {
        stage: store.read(tables.TABLES[stage], paths) for stage, paths in inputs.items() if paths
    }
    columns = [column.name for column in tables.FEATURES.columns]
    by_extractor: dict[str, list[pd.DataFrame]] = {}
    for path in [features] if isinstance(features, str) else features:
        extractor = Path(path).parents[1].name
        frame = store.load(path, columns).to_pandas()
        by_extractor.setdefault(f"features_{extractor}", []).append(frame)
    frames |= {name: pd.concat(parts) for name, parts in by_extractor.items()}
    rows = collect_rejects(frames)
    log.info("%d rows are not ok", len(rows))
    with store.replacing(snakemake.output.page) as temporary:
        temporary.write_text(render_page(frames), encoding="utf-8")
    store.write(tables.REJECTS, rows, snakemake.output.rejects)
