"""What a configuration needs that is not on this machine: files, weights, generators, packages."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from sfqa.configuration import list_missing_files
from sfqa.features import base
from sfqa.features.extractors import EXTRACTORS
from sfqa.models.commands import list_missing_parts
from sfqa.models.locating import THERE, WRONG, describe_missing
from sfqa.plan import Plan
from sfqa.user_tables import read_table

#: Kinds of what may be missing, in the order of the list.
FILES, WEIGHTS, GENERATORS, PACKAGES = "your files", "official weights", "generators", "packages"
MODELS = "repositories of models"


@dataclass(frozen=True)
class MissingItem:
    """One missing thing: its kind, its name (a path, an entry, a method), and how to get it."""

    kind: str
    name: str
    remedy: str


def list_missing(plan: Plan) -> list[MissingItem]:
    """Return everything that the plan needs and that is missing; a wrong weights file counts.

    ``plan`` is made without ``needs_data``. Files that can be downloaded are not wanted by hand:
    their remedy is a command.
    """
    items = [
        MissingItem(FILES, path, f"{key}: put it there or correct the path")
        for key, path in list_missing_files(plan.config)
    ]
    items += [
        MissingItem(FILES, str(path), "import.labels: put it there or correct the path")
        for path in _list_label_files(plan)
        if not path.exists()
    ]
    entries = plan.weights.list_files()
    for name, status in plan.weights.find_files().items():
        if status.state == WRONG:
            items.append(MissingItem(WEIGHTS, name, f"wrong: {status.reason}"))
        elif status.state != THERE:
            remedy = describe_missing(entries[name], plan.weights.folder)
            items.append(MissingItem(WEIGHTS, name, remedy))
    if plan.mode == "build":
        folder = Path(plan.config["generation"]["generators"])
        items += [
            MissingItem(GENERATORS, label, "snakemake fetch_generators, or by hand")
            for label in plan.command_methods()
            if not (folder / label / "manifest.json").is_file()
        ]
    return items + _list_missing_programs(plan) + _list_missing_packages(plan.extractors)


def _list_missing_programs(plan: Plan) -> list[MissingItem]:
    """Return the models of kind command of which a part is missing, with their licence."""
    commands = plan.weights.commands
    items = []
    for command in commands.by_extractor.values():
        parts = list_missing_parts(command, commands.folder)
        if parts:
            remedy = (
                f"{', '.join(parts)}: snakemake fetch_models, or by hand "
                f"({command.source.repository}: {command.source.licence})"
            )
            items.append(MissingItem(MODELS, command.model, remedy))
    return items


def _list_missing_packages(extractors: Sequence[str]) -> list[MissingItem]:
    """Return the optional packages of extractors that are not installed, each once."""
    by_package: dict[str, list[str]] = {}
    for extractor in extractors:
        package = EXTRACTORS.read(extractor, "PACKAGE") if extractor in EXTRACTORS else None
        if package and find_spec(package) is None:
            by_package.setdefault(package, []).append(extractor)
    return [
        MissingItem(
            PACKAGES, package,
            f"pip install --no-deps -r requirements-{base.read_environment(names[0])}.txt "
            f"(for {', '.join(names)}; not with --use-conda)",
        )
        for package, names in by_package.items()
    ]  # fmt: skip


def describe_items(items: Sequence[MissingItem]) -> str:
    """Return the items in lines, under the name of their kind."""
    lines = []
    for kind in (FILES, WEIGHTS, MODELS, GENERATORS, PACKAGES):
        of_kind = [item for item in items if item.kind == kind]
        if of_kind:
            lines.append(f"{kind}: {len(of_kind)} missing")
            lines += [f"  {item.name}: {item.remedy}" for item in of_kind]
    return "\n".join(lines) or "nothing is missing"


def _list_label_files(plan: Plan) -> list[Path]:
    source = plan.config.get("import", {})
    if plan.mode != "import_videos" or "labels" not in source:
        return []
    from sfqa.labels.joining import list_all_files  # here: it needs pandas

    return sorted(set(list_all_files(plan.import_source())))


def describe_missing_prompts(plan: Plan) -> str:
    """Return a sentence if extractors read a prompt and no video of the dataset has one, else ''.

    This is no mistake: rows that need a prompt then fail with the reason 'no_prompt', and metrics
    of other columns are computed.
    """
    if plan.mode == "import_features" or _has_prompts(plan):
        return ""
    readers = []
    for extractor in plan.extractors:
        with suppress(ImportError):  # with --use-conda, only the jobs have the packages
            if "prompt" in base.load_extractor(extractor).INPUTS:
                readers.append(extractor)
    if not readers:
        return ""
    where = "import.sheet, import.pattern or import.labels"
    if plan.mode == "build":
        where = "the table of pairs.keep"
    return (
        f"note: {', '.join(readers)} read a prompt, and no video has one; what compares with it "
        f"has no value (no_prompt). Prompts are the column or field 'prompt' of {where}"
    )


def _has_prompts(plan: Plan) -> bool:
    """Return whether the videos of a dataset may have prompts."""
    if plan.mode == "build":
        kept_pairs = plan.config["pairs"].get("keep")
        return bool(kept_pairs) and _has_prompt_column(Path(kept_pairs))
    source = plan.import_source()
    if "sheet" in source:
        return _has_prompt_column(Path(source["sheet"]))
    fields = str([source.get("labels"), source.get("lookups")])
    return "prompt" in fields or "<prompt>" in source.get("pattern", "")


def _has_prompt_column(path: Path) -> bool:
    """Return whether a table has prompts; a missing table may have them."""
    if not path.is_file():
        return True
    table = read_table(path, allow_short_rows=True).to_frame()
    return "prompt" in table and bool(table["prompt"].fillna("").astype(bool).any())
