"""The guard of VERSION itself: golden files cover every extractor, and a change without a bump fails.

The golden test of each extractor is run here with an extractor that computes the pinned numbers
but for one, which is cheap and shows that no number is pinned in vain.
"""

from __future__ import annotations

import copy
import importlib.util
import json
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from sfqa.features import base, picture_signal

HERE = Path(__file__).parent
#: The golden test of an extractor, what computes its numbers, and of how many cases.
BY_PARTS = ("test_pinned_numbers", "pinned")
BY_CASES = ("test_golden", "numbers")
GUARDS = {
    "audio": BY_PARTS, "avid_cma": BY_PARTS, "blip": BY_PARTS, "clip": BY_PARTS, "dover": BY_PARTS,
    "fast_vqa": BY_PARTS, "image": BY_PARTS, "imagebind": BY_PARTS, "iqa": BY_PARTS, "lse": BY_CASES,
    "lmm_server": BY_PARTS, "qwen_omni": BY_PARTS,
    "frames_grid": BY_PARTS, "general_avqa": BY_PARTS, "soundnet": BY_PARTS,
    "pickscore": BY_PARTS, "siglip": BY_PARTS, "simplevqa": BY_PARTS, "signal": BY_CASES, "slowfast": BY_PARTS, "spatial": BY_PARTS,
    "valor": BY_PARTS, "vast": BY_PARTS, "xclip": BY_PARTS,
}  # fmt: skip
MANY = 24
#: Extractors that compute numbers here; those of a model of kind command read those of its program.
COMPUTING = [name for name in base.list_extractors() if not base.is_command(name)]


@cache
def guard(name: str) -> ModuleType:
    """The module of an extractor's tests, apart from the one that pytest runs."""
    path = HERE / f"test_{name}.py"
    spec = importlib.util.spec_from_file_location(f"guard_of_{name}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def golden(name: str) -> dict[str, Any]:
    stored: dict[str, Any] = json.loads((HERE / "golden" / f"{name}.json").read_text())
    return stored


def values_of(stored: dict[str, Any]) -> dict[str, Any]:
    """The pinned numbers by part or case, without the versions."""
    parts = stored.get("values", stored)
    return {key: part for key, part in parts.items() if not key.endswith("version")}


def places(value: Any, here: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The ways to every number inside lists and dictionaries."""
    if isinstance(value, dict | list):
        items = value.items() if isinstance(value, dict) else enumerate(value)
        for key, part in items:
            yield from places(part, (*here, key))
    elif isinstance(value, int | float):
        yield here


def at(value: Any, place: tuple[Any, ...]) -> Any:
    for key in place:
        value = value[key]
    return value


def changed(parts: dict[str, Any], place: tuple[Any, ...]) -> dict[str, Any]:
    """The parts with one number moved by 2 % of the largest beside it, or of 1."""
    made = copy.deepcopy(parts)
    family = parts[place[0]]
    largest = max(abs(at(family, p)) for p in places(family))
    at(made, place[:-1])[place[-1]] += 0.02 * max(1.0, largest)
    return made


def run(name: str, computed: dict[str, Any], patch: pytest.MonkeyPatch) -> None:
    """Run an extractor's golden test as if the extractor computed the given numbers."""
    test, computes = GUARDS[name]
    module = guard(name)
    if (test, computes) == BY_PARTS:
        made = {"version": base.read_extractor_version(name), **computed}
        patch.setattr(module, computes, lambda *_: made)
    else:
        patch.setattr(module, computes, lambda case: computed[case])
    count = {"clip": 1, "spatial": 2, "lse": 2, "signal": 1}.get(name, 0)
    getattr(module, test)(*[patch] * count)


@pytest.mark.parametrize("name", COMPUTING)
def test_every_extractor_is_pinned_at_its_version(name: str) -> None:
    assert name in GUARDS, f"write golden/{name}.json with a test, and name it here"
    stored = golden(name)
    assert stored["version"] == base.read_extractor_version(name)
    numbers = [at(values_of(stored), place) for place in places(values_of(stored))]
    assert len(numbers) >= 12
    assert np.isfinite(numbers).all()
    assert np.ptp(numbers) > 0


@pytest.mark.parametrize("name", COMPUTING)
def test_a_change_of_any_number_without_a_bump_fails(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    parts = values_of(golden(name))
    all_places = list(places(parts))
    for place in all_places[:: -(-len(all_places) // MANY)]:
        with (
            monkeypatch.context() as patch,
            pytest.raises(AssertionError, match="the numbers changed: raise VERSION"),
        ):
            run(name, changed(parts, place), patch)


@pytest.mark.parametrize("name", COMPUTING)
def test_the_pinned_numbers_themselves_are_no_change(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing else makes the test above fail."""
    try:
        run(name, values_of(golden(name)), monkeypatch)
    except (AssertionError, TypeError, AttributeError) as error:
        # Two tests go on to show that the comparison is sharp, with the real extractor.
        assert GUARDS[name] == BY_CASES
        assert "the numbers changed" not in str(error)


@pytest.mark.parametrize("name", COMPUTING)
def test_a_bump_asks_for_new_numbers(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    parts = values_of(golden(name))
    extractor = getattr(guard(name), name)
    monkeypatch.setattr(extractor, "VERSION", extractor.VERSION + 1)
    monkeypatch.setattr(base, "read_extractor_version", lambda _: extractor.VERSION)
    with pytest.raises(AssertionError, match="VERSION was raised: remake"):
        run(name, parts, monkeypatch)


def test_a_real_change_of_an_extractor_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not simulated: gradients a tenth of a percent higher."""
    module = guard("signal")
    source = module.stub.__wrapped__(monkeypatch)
    real = picture_signal.gradient_moments
    more = lambda picture: tuple(1.001 * m for m in real(picture))  # noqa: E731
    monkeypatch.setattr(picture_signal, "gradient_moments", more)
    with pytest.raises(AssertionError, match="the numbers changed: raise VERSION"):
        module.test_golden(source)
