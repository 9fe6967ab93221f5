"""The dataset card: README.md of a published folder, in the form of the Hugging Face Hub."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from sfqa import __version__
from sfqa.publishing.configuration import FEATURES_FILE
from sfqa.publishing.content import Content
from sfqa.publishing.croissant import About, SharedTable
from sfqa.publishing.licences import get_hub_name

#: Upper ends of the Hub's size categories, with their names.
_SIZES = (
    (1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"),
)  # fmt: skip
_MAX_REASONS = 8


@dataclass(frozen=True)
class Card:
    """What a card is made from: content, texts, tables with their Parquet files, figures."""

    content: Content
    about: About
    shared_tables: Sequence[SharedTable]
    files: Mapping[str, Mapping[str, str]]
    figures: Mapping[str, str]
    results: Path


def build_card(card: Card, folder: Path) -> str:
    """Return the text of the card: front matter and sections in Markdown."""
    front = yaml.safe_dump(build_front_matter(card), sort_keys=False, allow_unicode=True)
    sections = [
        f"# {card.about.title}",
        card.about.description,
        *_describe_warnings(card.content),
        _describe_overview(card.content, folder),
        _describe_files(card, folder),
        _describe_loading(card),
        _describe_ratings(card.content),
        _describe_metrics(card),
        _describe_licences(card),
        _describe_citation(card.about),
    ]
    return f"---\n{front}---\n\n" + "\n\n".join(filter(None, sections)) + "\n"


def build_front_matter(card: Card) -> dict[str, Any]:
    """Return the front matter: name, licence, languages, size, and the files of each table."""
    content = card.content
    front: dict[str, Any] = {"pretty_name": card.about.title}
    licence = get_hub_name(card.about.licence)
    front["license"] = licence or "other"
    if licence is None:
        front["license_name"] = card.about.licence
    if "language" in content.samples:
        languages = sorted(
            {str(name).split("-")[0] for name in content.samples["language"].dropna()}
        )
        front["language"] = languages
    front["task_categories"] = ["other"]
    front["tags"] = ["video-quality-assessment", "mean-opinion-score", "croissant"]
    if content.config["mode"] == "build":
        front["tags"] += ["talking-head", "generated-video"]
    count = len(content.samples)
    front["size_categories"] = [next((name for end, name in _SIZES if count < end), "n>1M")]
    front["configs"] = [
        {
            "config_name": name,
            **({"default": True} if name == "samples" else {}),
            "data_files": [{"split": part, "path": path} for part, path in files.items()],
        }
        for name, files in card.files.items()
    ]
    return front


def _describe_warnings(content: Content) -> Iterable[str]:
    if content.is_synthetic:
        yield (
            "> **MOS from simulated raters: they test software and say nothing about what people "
            "see or hear.**"
        )
    random = [n for n, s in content.config.get("features", {}).items() if s["weights"] == "random"]
    if random:
        yield f"> **Random weights: the networks of {', '.join(random)} are untrained.**"


def _describe_overview(content: Content, folder: Path) -> str:
    samples = content.samples
    rows = [("samples", str(len(samples)))]
    shared = {item.file for item in content.items if item.kind == "video" and not item.reason}
    if shared:
        here = sum((folder / file).is_file() for file in shared)
        rows.append(("videos", f"{len(shared)}" if here else f"{len(shared)}, by address"))
    for column, title in (("method", "methods"), ("image_id", "images"), ("clip_id", "clips")):
        if column in samples:
            rows.append((title, str(samples[column].nunique())))
    if content.scores is not None:
        rows += [
            ("raters", str(content.scores["rater"].nunique())),
            ("raw scores", str(len(content.scores))),
        ]
    if content.dimensions:
        rows.append(("rated", ", ".join(content.dimensions)))
    left_out = Counter(item.kind for item in content.items if item.reason)
    for kind, count in left_out.items():
        rows.append((f"{kind}s left out", f"{count} (left_out.csv)"))
    text = _format_table(("", ""), rows)
    if "method" in samples and samples["method"].nunique() > 1:
        text += "\n\n" + _describe_methods(content)
    return f"## Overview\n\n{text}"


def _describe_methods(content: Content) -> str:
    header = ["method", "samples", *(f"mean MOS, {name}" for name in content.dimensions)]
    rows = []
    for method, group in content.samples.groupby("method"):
        means = [_format_number(group.get(f"{name}_mos")) for name in content.dimensions]
        rows.append((str(method), str(len(group)), *means))
    return _format_table(header, rows)


def _format_number(values: pd.Series[Any] | None) -> str:
    if values is None or values.isna().all():
        return "–"
    return f"{values.mean():.2f}"


def _describe_files(card: Card, folder: Path) -> str:
    rows = [
        (
            f"`tables/{t.name}.csv`, `{'`, `'.join(card.files[t.name].values())}`",
            f"one row: {t.row}",
        )
        for t in card.shared_tables
    ]
    if any(item.source for item in card.content.items if item.kind == "video"):
        rows.append(("`videos/METHOD/SAMPLE.*`", "the videos as the methods made them"))
    if any(item.file for item in card.content.items if item.kind == "image"):
        rows.append(("`images/`, `clips/`", "square images and cut clips that the videos show"))
    if card.content.features:
        rows.append((f"`{FEATURES_FILE}`", "one row: the ready features and MOS of one sample"))
    if any(folder.glob("features/*.parquet")):
        rows.append(("`features/EXTRACTOR.parquet`", "one row: the features of one sample"))
    rows += [
        ("`licences.csv`", "licence, file and sha256 of every image, clip and video"),
        ("`left_out.csv`", "what is not in this folder, and why"),
        ("`croissant.json`", "Croissant metadata"),
        ("`SHA256SUMS`", "checksums: `sha256sum -c SHA256SUMS`"),
        ("`sfqa.yaml`", "configuration that computes the tables again: `sfqa import FOLDER`"),
    ]
    columns = [
        f"- `{name}`: {meaning}"
        for name, meaning in card.shared_tables[0].meanings.items()
        if name in card.shared_tables[0].frame
    ]
    return "\n\n".join(
        ["## Files", _format_table(("file", "content"), rows), "Columns of `samples`:",
         "\n".join(columns)]
    )  # fmt: skip


def _describe_loading(card: Card) -> str:
    part = next(iter(card.files["samples"]))
    lines = [
        "from datasets import load_dataset",
        "",
        f'samples = load_dataset("FOLDER")["{part}"]        # a row per sample: video, labels, MOS',
    ]
    if card.content.scores is not None:
        lines.append('scores = load_dataset("FOLDER", "scores")["train"]   # raw scores')
    return "## Loading\n\n```python\n" + "\n".join(lines) + "\n```"


def _describe_ratings(content: Content) -> str:
    if not len(content.mos):
        return ""
    ratings = content.config.get("ratings", {})
    sentences = ["The MOS are as published, on their own scale."]
    if content.scores is not None:
        low, high = ratings.get("ends", [1, 5])
        per_sample = content.scores.groupby(["sample_id", "dimension"]).size().median()
        sentences = [
            f"{content.scores['rater'].nunique()} raters gave scores from {low:g} to {high:g}, "
            f"{per_sample:g} per sample and dimension (median).",
            f"The MOS are computed from them by the method `{ratings.get('scale', 'zscore')}` of "
            "SFQA, with 95 % intervals.",
            "Raters have neutral ids; their names, remarks and profiles are not published.",
        ]
    return "## Ratings\n\n" + " ".join(sentences)


def _describe_metrics(card: Card) -> str:
    parts = []
    table = card.results / "correlation" / "metrics.md"
    if table.is_file():
        parts.append(table.read_text(encoding="utf-8").strip())
    parts += [f"![{caption}]({path})" for path, caption in card.figures.items()]
    return "## Metrics and figures\n\n" + "\n\n".join(parts) if parts else ""


def _describe_licences(card: Card) -> str:
    parts = [
        f"Ratings, tables and generated videos: {card.about.licence}. Images and clips have their "
        "own licences, listed in `licences.csv`:"
        if any(item.kind != "video" for item in card.content.items)
        else f"{card.about.licence}."
    ]
    counts = Counter((item.kind, item.licence) for item in card.content.items)
    rows = [(kind, licence or "none stated", str(n)) for (kind, licence), n in counts.items()]
    if rows:
        parts.append(_format_table(("", "licence", "number"), rows))
    reasons = Counter(item.reason for item in card.content.items if item.reason)
    reasons.update(item.reason for item in card.content.left_out)
    if reasons:
        parts.append("Left out (all in `left_out.csv`):")
        lines = [f"- {count}: {reason}" for reason, count in reasons.most_common(_MAX_REASONS)]
        parts.append("\n".join(lines))
    return "## Licences\n\n" + "\n\n".join(parts)


def _describe_citation(about: About) -> str:
    made = f"Made with SFQA {__version__}, whose CITATION.cff says how to cite it."
    if not about.citation:
        return f"## Citation\n\n{made}"
    return f"## Citation\n\n```bibtex\n{about.citation.strip()}\n```\n\n{made}"


def _format_table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(_escape_cell(c) for c in line) + " |" for line in lines)


def _escape_cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
