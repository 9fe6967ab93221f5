"""Names explain themselves: a reminder with ceilings that only go down."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "workflow" / "scripts" / "sfqa"
#: Largest share of function names that are one word, and largest number of functions that bind a
#: local of the list below. Lower them when the counts fall; never raise them.
MAX_ONE_WORD_PERCENT = 7.5
MAX_VAGUE_LOCALS = 18

#: Locals that do not say what they hold.
VAGUE_LOCALS = frozenset(
    """found made own given told known wanted kept seen said taken asked shown whole apart beside
    one both place kind about many there again""".split()  # noqa: SIM905
)
#: One-word function names that Python or the field uses in their usual meaning.
USUAL_VERBS = frozenset(
    """fit predict transform forward backward load save read write open close run main build parse
    format setup update compute reset step train test evaluate extract decode encode resize crop
    normalize normalise sample split merge join append register render serve score download fetch
    verify estimate plan prepare generate conform correlate summarize report get put items keys
    values""".split()  # noqa: SIM905
)
#: Words that stand for a clearer one in names and prose of the package (the clearer word).
RIDDLES = {"door": "mode or import", "wishes": "constraints"}

Function = ast.FunctionDef | ast.AsyncFunctionDef


def list_functions() -> Iterator[tuple[Path, Function]]:
    """Yield every function of the package, except special methods."""
    for path in sorted(PACKAGE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, Function) and not node.name.startswith("__"):
                yield path, node


def list_bound_names(function: Function) -> set[str]:
    """Return the names that a function binds: assignments, loops, ``with``, comprehensions."""
    names: set[str] = set()
    for node in ast.walk(function):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.add(node.id)
    return names


def is_unclear(name: str) -> bool:
    return "_" not in name.strip("_") and name.strip("_") not in USUAL_VERBS


def test_function_names_are_verbs_with_objects() -> None:
    functions = list(list_functions())
    unclear = [f"{p.name}:{f.lineno} {f.name}" for p, f in functions if is_unclear(f.name)]
    percent = 100 * len(unclear) / len(functions)
    assert percent <= MAX_ONE_WORD_PERCENT, (
        f"{percent:.1f} % of the function names are one word; name what the function does to what, "
        f"e.g. select_rows: {unclear[:20]}"
    )


def test_locals_are_named_after_what_they_hold() -> None:
    vague = [
        f"{path.name}:{function.lineno} {function.name}: {', '.join(sorted(names))}"
        for path, function in list_functions()
        if (names := list_bound_names(function) & VAGUE_LOCALS)
    ]
    assert len(vague) <= MAX_VAGUE_LOCALS, (
        f"{len(vague)} functions bind a local such as 'found' or 'kind'; name the thing: "
        f"{vague[:20]}"
    )


@pytest.mark.parametrize("riddle", RIDDLES)
def test_retired_words_do_not_come_back(riddle: str) -> None:
    paths = [
        str(path.relative_to(PACKAGE))
        for path in PACKAGE.rglob("*.py")
        if riddle in path.read_text(encoding="utf-8").lower().replace("indoor", "")
        and path.name != "configuration.py"  # names the old key in its error message
    ]
    assert not paths, f"{riddle!r} in {paths}; write {RIDDLES[riddle]}"
