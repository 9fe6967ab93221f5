"""Generate the reference pages config/README.md and docs/outputs.md from the code.

``PYTHONPATH=workflow/scripts python -m sfqa.reference`` writes them. A test fails if they are out
of date.
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

All outputs of a run are below `results/{dataset}/`. Tables are Parquet files (zstd). The names, types, units and
meanings of their columns are stored in the files too, and `catalog.duckdb` has a view of each table. Every row that
is not `ok` has its reason in the column `detail`.

| file | what it is |
|---|---|
| `materials/images/*.png`, `materials/clips/*.wav` | masters: square images, mono 16-bit WAV files |
| `materials/clips/stereo/*.wav` | the same cuts in stereo, for listening |
| `pairs.txt` | number of pairs of each image category, style and language, for train and val; proof that no better pairs exist |
| `materials/images.png` | contact sheet of the image masters |
| `materials/clips/*.png` | each clip's waveform, voicing and cut |
| `generation/{method}/logs/*.log` | output of a generator |
| `generation/{method}/work/` | files of a failed pair, for inspection |
| `generation/{method}/videos/*.mp4` | videos as the methods generated them; a replaced video is used, a deleted one is generated again |
| `conform/{method}/videos/*.mp4`, `*.wav` | videos in the common format, and their sound for the features |
| `weights/{weights}.json` | an official weights file that an extractor uses: name, size, sha256 |
| `weights/lock.json` | the sha256 to which official weights files are pinned ([weights.md](weights.md)) |
| `features/{extractor}/cache/**/*.rows` | row cache: feature rows by content; if it is deleted, rows are computed again |
| `regression/{metric}/trials/` | finished trials and checkpoints of a regressor, from which a killed run resumes; for other metrics a copy of the predictions by content; `curves/`: loss and validation score of networks by epoch, and event files of TensorBoard with the option `tensorboard` |
| `regression/{metric}/parts/{part}.json` | the fits of one of the `jobs` of a regressor: label, digest of what the predictions depend on, why it failed |
| `regression/{metric}/model.sfqa` | model file for `sfqa score` and for other datasets; only on request |
| `ratings/study/` | a rating study: plan with proof of balance, texts, database; written by `sfqa plan`, served by `sfqa rate serve` |
| `ratings/raters.{svg,png}` | bias and inconsistency of every rater, and agreement with the others |
| `ratings/sos.{svg,png}` | standard deviation against MOS, with the fit of the SOS hypothesis |
| `correlation/metrics.{csv,md,tex,html}` | the main table: metrics against MOS at video level, on the test rows of the main protocol, then zero-shot metrics over all rated videos |
| `correlation/metrics_pooled.*` | the same with the test samples of all trials at once |
| `correlation/metrics_model_level.*` | the same for the means of the methods |
| `correlation/paper.*` | the main table as papers print it: SRCC, PLCC and KRCC without controls, published figures in parentheses, footnotes on licences |
| `correlation/leakage.*` | SRCC of every metric under every protocol |
| `correlation/scatter/{metric}.{svg,png}` | predictions against MOS with the fitted curve |
| `correlation/cache/fits.json` | fitted mappings by content, so that one more metric costs only its own fits; can be deleted |
| `correlation/scatter/cache/` | copies of the scatter plots by content: a plot whose inputs are the same is copied instead of drawn; can be deleted |
| `correlation/mos_by_label.{svg,png}` | MOS by method, image category, style, language and tags, with intervals |
| `correlation/mos_distributions.{svg,png}` | the same as distributions |
| `correlation/mos_differences.{svg,png}` | differences between methods, with their significance |
| `correlation/learning_curves.{svg,png}` | SRCC against the number of training rows; only on request |
| `correlation/metric_bars.{svg,png}`, `metric_ranks.*` | SRCC of every metric with its interval; ranks, with groups of metrics that do not differ significantly |
| `correlation/metric_matrix.{svg,png}` | correlation of the metrics with each other |
| `correlation/failure_cases.{svg,png}` | largest differences between metric and MOS, with thumbnails |
| `report/site/` | a static site, opened with `index.html`: leaderboard, samples with players, rejects, provenance of every number |
| `ro-crate-metadata.json` | the same provenance as an RO-Crate 1.1 |
| `report/manifest.json` | what identifies a run, to compare it with another one: code, configuration, seeds, versions, sha256 of inputs and tables; and its hardware |
| `report/rejects.html` | the rows that are not ok, counted by stage and reason |
| `report/report.html` | Snakemake's report; only on request (`snakemake --report`) |
| `catalog.duckdb` | views of all tables; open it from the folder where Snakemake was run, or see [moving.md](moving.md) |
| `logs/` | one log for each job; `*.benchmark.tsv` has time and memory of expensive jobs |
| `.watch.json` | last known state of the files ([reruns.md](reruns.md)) |
"""

_CONFIG = """\
# The configuration

`config.yaml` is the embedded default, `thqa.yaml` imports a table of features and MOS, `sfqa.yaml` has the
paper's size. Choose one with `snakemake --cores 8 --configfile config/thqa.yaml`; keys can be changed on the
command line: `--config shards=4 'pairs={count: 24}'`. `methods.yaml` is the registry of generation methods.

A key that is not in this list is an error, and the message suggests the nearest key.

**Paths** in a configuration start at the working directory: the folder where Snakemake is run, or that of `--directory`. Results are written
there, to `results/`. Paths in a sheet start at the sheet's folder. Defaults that are files of the project (the demo's sheets, `config/methods.yaml`,
`resources/generators`) start at the project's folder. So the workflow runs from any folder:

```bash
snakemake -s PROJECT/Snakefile --cores 8 --configfile my.yaml           # results/ is written here
snakemake --cores 8 --directory OTHER --configfile my.yaml              # here my.yaml, in OTHER its files and results/
```

or as a module of another workflow, whose paths start at the working directory, too ([from a tag, or with snakedeploy](../docs/install.md#as-a-module-of-another-workflow)):

```python
module sfqa:
    snakefile: "PROJECT/Snakefile"
    config: config["sfqa"]          # without it, the embedded demo runs

use rule * from sfqa
```

## Sheets

An image sheet is a CSV file with the columns `image_id, path, source, category` and optionally `licence, prompt`;
`source` is real, ai or synthetic. A clip sheet has `clip_id, path, style, language, origin` and optionally
`title`; `origin` is recorded, ai or synthetic. Ids consist of letters, digits and `_ . + -`, without a double underscore.
`resources/demo/images.csv` and `resources/demo/clips.csv` are the demo's sheets and an example to copy.

## Every key
"""


def arrow_name(arrow_type: pa.DataType) -> str:
    """Return the name of an Arrow type as the pages show it.

    >>> arrow_name(pa.list_(pa.float16()))
    'list of float16'
    """
    if pa.types.is_list(arrow_type):
        return f"list of {arrow_name(arrow_type.value_type)}"
    name = str(arrow_type)
    return {"halffloat": "float16", "double": "float64", "bool": "boolean"}.get(name, name)


def _column_lines(columns: Any) -> Iterator[str]:
    yield "| column | type | unit | meaning |"
    yield "|---|---|---|---|"
    for c in columns:
        empty = ", may be empty" if c.nullable else ""
        yield f"| `{c.name}` | {arrow_name(c.type)}{empty} | {c.unit} | {c.meaning} |"


def _format_paths(table: tables.Table) -> str:
    """Return the path or paths of a table, with the command that writes it if no rule does."""
    paths = ", ".join(filter(None, (table.path, table.merged_path)))
    return f"{paths} ({table.command})" if table.command else paths


def outputs_page() -> str:
    """Return docs/outputs.md."""
    parts = [_OUTPUTS]
    for name, table in tables.TABLES.items():
        parts.append(f"## {name}\n\n`{_format_paths(table)}`: {table.row}.\n")
        parts.append("\n".join(_column_lines(table.columns)) + "\n")
    parts.append(
        f"## features\n\n`{tables.FEATURES.path}`: one sample of one extractor. Tensors "
        "are stored flat. Their axes and inner shape are in the metadata of the column; extractor, "
        "VERSION, options and weights are in the metadata of the file (keys `sfqa.*`).\n"
    )
    parts.append("\n".join(_column_lines(tables.FEATURES.columns)) + "\n")
    for name in base.list_extractors():
        extractor_class = base.load_extractor(name)
        parts.append(f"### {name} (VERSION {base.read_extractor_version(name)})\n")
        lines = ["| column | type | axes | unit | meaning |", "|---|---|---|---|---|"]
        for f in extractor_class.FEATURES:
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
    lines = ["| key | type | default | meaning |", "|---|---|---|---|", *_key_lines(schema, "")]
    return _CONFIG + "\n" + "\n".join(lines) + "\n"


def _key_lines(schema: Mapping[str, Any], prefix: str) -> Iterator[str]:
    for key, part in schema.get("properties", {}).items():
        name = f"{prefix}{key}"
        type_name = (
            " or ".join(map(str, part["enum"])) if "enum" in part else part.get("type", "any")
        )
        default = "" if part.get("type") == "object" else _format_default(part)
        description = part.get("description", "")
        yield f"| `{name}` | {type_name} | {default} | {description} |".replace("<", "&lt;")
        yield from _key_lines(part, f"{name}.")
        extra = part.get("additionalProperties")
        if isinstance(extra, dict):
            yield from _key_lines(extra, f"{name}.NAME.")
        if isinstance(part.get("items"), dict):
            yield from _key_lines(part["items"], f"{name}[].")


def _format_default(part: Mapping[str, Any]) -> str:
    if "default" not in part:
        return ""
    text = yaml.safe_dump(part["default"], default_flow_style=True, width=10_000).strip()
    return f"`{text.removesuffix('...').strip()}`".replace("|", "\\|")


if __name__ == "__main__":
    (ROOT / "docs" / "outputs.md").write_text(outputs_page())
    (ROOT / "config" / "README.md").write_text(config_page())
