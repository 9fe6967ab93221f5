"""What a configuration needs that is not on this machine: files, weights, generators, packages."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from sfqa.configuration import list_missing_files
from sfqa.features import base
from sfqa.features.extractors import EXTRACTORS
from sfqa.models.locating import THERE, WRONG, describe_missing
from sfqa.plan import Plan

#: Kinds of what may be missing, in the order of the list.
FILES, WEIGHTS, GENERATORS, PACKAGES = "your files", "official weights", "generators", "packages"


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
    return items + _list_missing_packages(plan.extractors)


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
    for kind in (FILES, WEIGHTS, GENERATORS, PACKAGES):
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
