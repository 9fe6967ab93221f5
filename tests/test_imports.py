"""Which part of the package may import which: no circles, and lower layers know nothing of higher ones."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "workflow" / "scripts" / "sfqa"

#: From bottom to top: a package imports packages of lower layers only. The lowest layer is every
#: file directly below sfqa/ that no other layer names; its files may import each other.
LAYERS: dict[str, tuple[str, ...]] = {
    "tools": ("tables", "statistics", "user_tables", "training", "repositories", "untrusted"),
    "sheets": ("sheets",),
    "label files": ("labels",),
    "splits and models": ("splits", "models"),
    "samples": ("materials", "pairs", "generation", "features"),
    "checks of samples": ("conform", "cache_records"),
    "agreement with people": ("correlation",),
    "scores": ("ratings", "regression", "papers", "challenge"),
    "report": ("report",),
    "a published dataset": ("publishing",),
    "parts of the plan": ("trial_files", "metric_plan", "early_checks"),
    "the whole workflow": ("plan", "reference", "cache_tools"),
    "from a plan": ("estimate", "missing", "run_summary"),
    "a running Snakemake": ("snakemake_tuning", "snakemake_events"),
    "requests of jobs": ("job_requests",),
    "command line": ("cli",),
    "Python API": ("api",),
    "entry point": ("__main__",),
}

#: When an import is carried out: as the file is loaded, as a function is called, by type checkers only.
LOAD, CALL, CHECK = "load", "call", "type check"


@dataclass(frozen=True)
class Import:
    """One import statement: the importing file, the imported one, and when it is carried out."""

    importer: str
    imported: str
    when: str
    line: int

    def __str__(self) -> str:
        return f"{self.importer}:{self.line} imports {self.imported} ({self.when})"


def list_modules(package: Path) -> dict[str, Path]:
    """Return the file of every module: 'sfqa.store' -> .../sfqa/store.py."""
    modules = {}
    for path in sorted(package.rglob("*.py")):
        parts = (package.name, *path.relative_to(package).with_suffix("").parts)
        modules[".".join(parts).removesuffix(".__init__")] = path
    return modules


def list_imports(package: Path = PACKAGE) -> list[Import]:
    """Return every import of the package's own modules in the package."""
    modules = list_modules(package)
    return [
        Import(name, imported, when, line)
        for name, path in modules.items()
        for imported, when, line in _read_imports(name, path, modules)
        if imported != name
    ]


def _read_imports(
    name: str, path: Path, modules: dict[str, Path]
) -> Iterator[tuple[str, str, int]]:
    def visit(node: ast.AST, when: str) -> Iterator[tuple[str, str, int]]:
        if isinstance(node, ast.Import):
            targets = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = _absolute(name, path, node)
            submodules = [f"{base}.{alias.name}" for alias in node.names]
            targets = [submodule if submodule in modules else base for submodule in submodules]
        else:
            targets = []
        yield from (
            (target, when, getattr(node, "lineno", 0)) for target in targets if target in modules
        )
        for child in ast.iter_child_nodes(node):
            child_when = when
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
                child_when = CALL
            elif isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
                child_when = CHECK if child in node.body else when
            yield from visit(child, child_when)

    yield from visit(ast.parse(path.read_text("utf-8")), LOAD)


def _absolute(name: str, path: Path, node: ast.ImportFrom) -> str:
    """Return the absolute name of the module that a 'from' statement names."""
    if not node.level:
        return node.module or ""
    parents = name.split(".") if path.name == "__init__.py" else name.split(".")[:-1]
    base = parents[: len(parents) - node.level + 1]
    return ".".join([*base, *filter(None, [node.module])])


def part_of(module: str) -> str:
    """Return the package or file directly below sfqa/ that a module belongs to."""
    return module.split(".")[1] if "." in module else "__init__"


def find_circle(imports: Iterable[Import], node_of: Callable[[str], str]) -> list[Import]:
    """Return imports that lead from a node back to it, the shortest such; empty if there are none."""
    links: dict[str, dict[str, Import]] = {}
    for statement in imports:
        start, end = node_of(statement.importer), node_of(statement.imported)
        if start != end:
            links.setdefault(start, {}).setdefault(end, statement)
    shortest: list[Import] = []
    for start in sorted(links):
        trails: dict[str, list[Import]] = {start: []}
        queue = [start]
        for node in queue:
            for end, statement in links.get(node, {}).items():
                trail = [*trails[node], statement]
                if end == start and (not shortest or len(trail) < len(shortest)):
                    shortest = trail
                if end not in trails:
                    trails[end] = trail
                    queue.append(end)
    return shortest


def describe(imports: Iterable[Import]) -> str:
    return "".join(f"\n  {statement}" for statement in imports)


def layer_numbers() -> dict[str, int]:
    """Return the place of every package and file below sfqa/ in LAYERS, counted from 0."""
    placed = {name: number for number, names in enumerate(LAYERS.values()) for name in names}
    files = {path.stem for path in PACKAGE.glob("*.py")} - {"__init__"}
    return {**dict.fromkeys(files, 0), **placed}


def _is_downward(importer: str, imported: str, number: dict[str, int]) -> bool:
    if imported in (importer, "__init__"):
        return True
    # Files of the lowest layer may import each other.
    return number[imported] < number[importer] or number[imported] == number[importer] == 0


@pytest.fixture(scope="module")
def imports() -> list[Import]:
    return list_imports()


def test_no_two_files_need_each_other(imports: list[Import]) -> None:
    """Also not through functions or annotations: a file can be read after those that it imports."""
    circle = find_circle(imports, lambda module: module)
    assert not circle, f"a circle of files:{describe(circle)}"


def test_no_two_packages_need_each_other(imports: list[Import]) -> None:
    circle = find_circle(imports, part_of)
    assert not circle, f"a circle of packages:{describe(circle)}"


def test_lower_layers_know_nothing_of_higher_ones(imports: list[Import]) -> None:
    number = layer_numbers()
    unplaced = {part_of(i.importer) for i in imports} - set(number) - {"__init__"}
    assert not unplaced, f"name the layer of {', '.join(sorted(unplaced))} in LAYERS"
    wrong = [
        i for i in imports if not _is_downward(part_of(i.importer), part_of(i.imported), number)
    ]
    assert not wrong, f"imports of the same or a higher layer:{describe(wrong)}"


def test_a_circle_is_found_whatever_carries_the_import_out(tmp_path: Path) -> None:
    package = tmp_path / "sfqa"
    for name, text in {
        "__init__.py": "",
        "low/__init__.py": "",
        "low/a.py": "from sfqa import high\nif TYPE_CHECKING:\n    from sfqa.low import b\n",
        "low/b.py": "def f():\n    from . import a\n",
        "high.py": "import sfqa.low.b\n",
    }.items():
        (package / name).parent.mkdir(parents=True, exist_ok=True)
        (package / name).write_text(text)
    found = list_imports(package)
    assert {(i.importer, i.imported, i.when) for i in found} == {
        ("sfqa.low.a", "sfqa.high", LOAD),
        ("sfqa.low.a", "sfqa.low.b", CHECK),
        ("sfqa.low.b", "sfqa.low.a", CALL),
        ("sfqa.high", "sfqa.low.b", LOAD),
    }
    assert len(find_circle(found, lambda module: module)) == 2
    assert [part_of(i.importer) for i in find_circle(found, part_of)] == ["high", "low"]
    assert not find_circle([i for i in found if i.when == LOAD], lambda module: module)
