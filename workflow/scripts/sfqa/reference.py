"""The reference pages that are made from the code: config/README.md and docs/outputs.md.

``PYTHONPATH=workflow/scripts python -m sfqa.reference`` writes them; a test fails where they are
not what the code says.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import yaml

from sfqa import tables
from sfqa.features import base
from sfqa.features.extractors import EXTRACTORS

ROOT = Path(__file__).parents[3]
SCHEMA = ROOT / "workflow" / "schemas" / "config.schema.yaml"

_OUTPUTS = """\
# Every file and column

Everything that a run makes lies below `results/{dataset}/`. Tables are Parquet (zstd); names, types,
units and meanings stand in the files' schemas too, and `catalog.duckdb` has a view of each.
A row that is not `ok` has its reason in `detail`; nothing is dropped in silence.

| file | what it is |
|---|---|
| `materials/images/*.png`, `materials/clips/*.wav` | masters: square pictures, mono 16-bit waves |
| `materials/clips/stereo/*.wav` | the same cuts in stereo, for listening |
| `pairs.txt` | how many pairs each image category, style and language got, on either side |
| `materials/images.png` | contact sheet of the image masters |
| `materials/clips/*.png` | each clip's waveform, voicing and cut |
| `generation/{method}/logs/*.log` | what a generator printed |
| `generation/{method}/work/` | what a failed pair left behind, to be looked at |
| `generation/{method}/videos/*.mp4` | videos as the methods made them; replace one by hand and it is taken, delete one and it is made again |
| `conform/{method}/videos/*.mp4`, `*.wav` | videos in the common form, and their sound for the features |
| `features/{extractor}/cache/**/*.rows` | feature rows by content; deleting them costs time, nothing else |
| `regression/{metric}/trials/` | finished trials and checkpoints, from which a killed run goes on |
| `regression/{metric}/model.sfqa` | a model file for `sfqa score` and for other datasets; made when it is asked for by name |
| `ratings/study/` | a rating study: its plan with the proof of balance, its words, its database; made by `sfqa plan`, served by `sfqa rate serve` |
| `ratings/raters.{svg,png}` | every rater's bias, inconsistency and agreement with the others |
| `ratings/sos.{svg,png}` | standard deviation against MOS with the fit of the SOS hypothesis |
| `correlation/metrics.{csv,md,tex,html}` | the main table: metrics against MOS, video level, mean over the trials of the main protocol |
| `correlation/metrics_pooled.*` | the same with the test samples of all trials at once |
| `correlation/metrics_model_level.*` | the same for the means of the methods |
| `correlation/leakage.*` | SRCC of every metric under every protocol side by side |
| `correlation/scatter/{metric}.{svg,png}` | predictions against MOS with the fitted curve |
| `correlation/mos_by_label.{svg,png}` | MOS by method, image category, style, language and tags, with intervals |
| `correlation/mos_distributions.{svg,png}` | the same as distributions |
| `correlation/mos_differences.{svg,png}` | which methods differ significantly |
| `correlation/learning_curves.{svg,png}` | SRCC against the number of rows learnt from; made when it is asked for by name |
| `correlation/metric_bars.{svg,png}`, `metric_ranks.*` | SRCC of every metric with its interval; ranks with the groups that do not differ significantly |
| `correlation/metric_matrix.{svg,png}` | how the metrics correlate with each other |
| `correlation/failure_cases.{svg,png}` | where metric and people disagree most, with thumbnails |
| `report/site/` | a static site to open from the file (`index.html`): leaderboard, samples with players, rejects, provenance of every number |
| `ro-crate-metadata.json` | the same provenance as an RO-Crate 1.1 |
| `report/manifest.json` | what two runs are compared by: code, configuration, seeds, versions, sha256 of inputs and tables; and the hardware of this run |
| `report/rejects.html` | the rows that are not ok, counted by stage and reason |
| `report/report.html` | Snakemake's report, where it was asked for (`snakemake --report`) |
| `catalog.duckdb` | views over all tables; open it from the folder of the Snakefile |
| `logs/` | one log per job; `*.benchmark.tsv` has time and memory of the costly ones |
| `.watch.json` | what was last seen of the files ([reruns.md](reruns.md)) |
"""

_CONFIG = """\
# The configuration

`config.yaml` is the embedded default, `thqa.yaml` imports a table of features and MOS, `sfqa.yaml` has the
paper's size. Choose one with `snakemake --cores 8 --configfile config/thqa.yaml`; keys can be changed on the
command line: `--config shards=4 'pairs={count: 24}'`. `methods.yaml` is the registry of generation methods.

A key that is not in this list is an error, and the message says which one was meant. Paths start at the
folder where Snakemake is run, usually that of the Snakefile; paths in a sheet start at the sheet's folder.

## Sheets

An image sheet is a CSV file with the columns `image_id, path, source, category` and optionally `licence, prompt`;
`source` is real, ai or synthetic. A clip sheet has `clip_id, path, style, language, origin` and optionally
`title`; `origin` is recorded, ai or synthetic. Ids hold letters, digits and `_ . + -`, no double underscore.
`resources/demo/images.csv` and `resources/demo/clips.csv` are the demo's sheets and an example to copy.

## Every key
"""


def arrow_name(kind: pa.DataType) -> str:
    """Return a plain word for an Arrow type.

    >>> arrow_name(pa.list_(pa.float16()))
    'list of float16'
    """
    if pa.types.is_list(kind):
        return f"list of {arrow_name(kind.value_type)}"
    return {"halffloat": "float16", "double": "float64", "bool": "boolean"}.get(
        str(kind), str(kind)
    )


def _column_lines(columns: Any) -> Iterator[str]:
    yield "| column | type | unit | meaning |"
    yield "|---|---|---|---|"
    for c in columns:
        empty = ", may be empty" if c.nullable else ""
        yield f"| `{c.name}` | {arrow_name(c.type)}{empty} | {c.unit} | {c.meaning} |"


def _paths(table: tables.Table) -> str:
    """Return the path or paths of a table, with the command that writes it if no rule does."""
    paths = ", ".join(filter(None, (table.path, table.merged_path)))
    return f"{paths} ({table.command})" if table.command else paths


def outputs_page() -> str:
    """Return docs/outputs.md."""
    parts = [_OUTPUTS]
    for name, table in tables.TABLES.items():
        parts.append(f"## {name}\n\n`{_paths(table)}`: {table.row}.\n")
        parts.append("\n".join(_column_lines(table.columns)) + "\n")
    parts.append(
        f"## features\n\n`{tables.FEATURES.path}`: one sample of one extractor. Tensors"
        " are stored flat; the axes and the inner shape stand in the column's metadata, and "
        "extractor, VERSION, options and weights in the file's (keys `sfqa.*`).\n"
    )
    parts.append("\n".join(_column_lines(tables.FEATURES.columns)) + "\n")
    for name in base.extractor_names():
        kind = base.load_extractor(name)
        parts.append(f"### {name} (VERSION {base.extractor_version(name)})\n")
        lines = ["| column | type | axes | unit | meaning |", "|---|---|---|---|---|"]
        for f in kind.FEATURES:
            axes = " x ".join(f.axes) or "scalar"
            lines.append(f"| `{f.name}` | {f.dtype} | {axes} | {f.unit} | {f.meaning} |")
        lines += ["", "| option | default | allowed | meaning |", "|---|---|---|---|"]
        for option_name, option in EXTRACTORS.options(name).items():
            default = "null" if option.default is None else option.default
            lines.append(f"| `{option_name}` | {default} | {option.allowed} | {option.meaning} |")
        parts.append("\n".join(lines) + "\n")
    return "\n".join(parts)


def config_page() -> str:
    """Return config/README.md."""
    schema = yaml.safe_load(SCHEMA.read_text())
    lines = ["| key | type | default | meaning |", "|---|---|---|---|", *_keys(schema, "")]
    return _CONFIG + "\n" + "\n".join(lines) + "\n"


def _keys(schema: Mapping[str, Any], prefix: str) -> Iterator[str]:
    for key, part in schema.get("properties", {}).items():
        name = f"{prefix}{key}"
        kind = " or ".join(map(str, part["enum"])) if "enum" in part else part.get("type", "any")
        shown = "" if part.get("type") == "object" else _default(part)
        about = part.get("description", "")
        yield f"| `{name}` | {kind} | {shown} | {about} |".replace("<", "&lt;")
        yield from _keys(part, f"{name}.")
        extra = part.get("additionalProperties")
        if isinstance(extra, dict):
            yield from _keys(extra, f"{name}.NAME.")
        if isinstance(part.get("items"), dict):
            yield from _keys(part["items"], f"{name}[].")


def _default(part: Mapping[str, Any]) -> str:
    if "default" not in part:
        return ""
    text = yaml.safe_dump(part["default"], default_flow_style=True, width=10_000).strip()
    return f"`{text.removesuffix('...').strip()}`".replace("|", "\\|")


if __name__ == "__main__":
    (ROOT / "docs" / "outputs.md").write_text(outputs_page())
    (ROOT / "config" / "README.md").write_text(config_page())
