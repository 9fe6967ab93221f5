from __future__ import annotations

import os
import subprocess
import sys

import pytest

from sfqa.errors import UserError
from sfqa.features.extractors import EXTRACTORS
from sfqa.generation.adapters import ADAPTERS
from sfqa.options import Choice, Option, check_options, fill_defaults
from sfqa.plugins import PluginPackage, read_constants, read_version
from sfqa.regression.heads import HEADS

HEAD = '''
"""A plug-in that cannot be imported."""
import no_such_module
from sfqa.options import Choice, Option as Number

VERSION = 3
FORMATS = ("fp32", "bf16")
SHARED = {"precision": Choice("fp32", FORMATS, "number format")}
'''


@pytest.fixture
def package(tmp_path):
    return PluginPackage("nowhere", tmp_path, "toy", "config: ")


def write(folder, text, name="one"):
    path = folder / f"{name}.py"
    path.write_text(text)
    return path


@pytest.mark.parametrize("annotation", ["", ": dict[str, object]"])
def test_what_a_file_declares_is_read_without_importing_it(package, tmp_path, annotation):
    options = '{"delay": Number(-2, -25, 25, "frames", whole=True), **SHARED}'
    write(tmp_path, f"{HEAD}OPTIONS{annotation} = {options}\nWEIGHTS = True\nfloor = object()\n")
    assert package.version("one") == 3
    assert package.options("one") == {
        "delay": Option(-2, -25, 25, "frames", whole=True),
        "precision": Choice("fp32", ("fp32", "bf16"), "number format"),
    }
    assert package.read("one", "WEIGHTS") is True
    assert package.read("one", "SELECTS", "none") == "none"
    assert package.merge_options("one", {"delay": 1}, "here") == {"delay": 1, "precision": "fp32"}


@pytest.mark.parametrize("line", ["OPTIONS = {}", "OPTIONS: dict[str, int] = {}", ""])
def test_a_plug_in_without_options_is_one(package, tmp_path, line):
    write(tmp_path, f"VERSION = 1\n{line}\n")
    assert package.merge_options("one", {}, "here") == {}
    with pytest.raises(UserError, match="here: no option 'a'; it has none"):
        package.merge_options("one", {"a": 1}, "here")


def test_options_that_cannot_be_read_are_an_error_and_not_missing(tmp_path):
    for text in ("OPTIONS = make()", "OPTIONS = {'a': unknown}", "OPTIONS = {'a': open('x')}"):
        path = write(tmp_path, f"VERSION = 1\n{text}\n", text[10:14].strip("{': ") + str(len(text)))
        with pytest.raises(LookupError, match="line 2: OPTIONS is read without importing"):
            read_constants(path)


def test_other_constants_may_be_anything(tmp_path):
    path = write(
        tmp_path, "import x\nVERSION = 1\nTABLE = x.made()\nSIZES = {k: 1 for k in 'ab'}\n"
    )
    assert read_constants(path) == {"VERSION": 1}


def test_a_file_without_a_version_is_an_error(tmp_path):
    for number, text in enumerate(("", "VERSION = '1'\n")):
        with pytest.raises(LookupError, match="VERSION = <number>"):
            read_version(write(tmp_path, text, f"v{number}"))


def test_an_unknown_name_is_a_sentence(package, tmp_path):
    write(tmp_path, "VERSION = 1\n", "ridge")
    write(tmp_path, "VERSION = 1\n", "_helper")
    assert package.names() == ["ridge"]
    for name in ("rigde", "../ridge", "_helper", ""):
        for act in (package.version, package.options, package.load):
            with pytest.raises(UserError, match="config: no toy is called"):
                act(name)
    with pytest.raises(UserError, match="did you mean 'ridge'"):
        package.load("rigde")


def test_planning_reads_every_plug_in_and_imports_nothing_heavy():
    """Every job of a run plans: torch, OpenCV and scikit-learn would cost seconds in each."""
    code = """
import sys
import sfqa.plan
from sfqa.features.extractors import EXTRACTORS
from sfqa.regression.heads import HEADS
for package in (EXTRACTORS, HEADS):
    for name in package.names():
        assert package.version(name) >= 1 and isinstance(package.options(name), dict)
heavy = {"torch", "torchvision", "cv2", "sklearn", "scipy", "open_clip", "decord"} & set(sys.modules)
assert not heavy, heavy
"""
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    subprocess.run([sys.executable, "-c", code], env=env, check=True)


@pytest.mark.parametrize("package", [EXTRACTORS, HEADS, ADAPTERS], ids=lambda one: one.noun)
def test_every_default_is_an_allowed_value_and_every_option_has_a_meaning(package):
    for name in package.names():
        declared = package.options(name)
        assert declared == getattr(package.load(name), "OPTIONS", {})
        defaults = fill_defaults({}, declared)
        assert check_options(defaults, declared, name) == defaults
        assert all(option.meaning and option.allowed for option in declared.values())


def test_a_label_uses_an_extractor_once_more():
    """image-swin and image-resnet are the extractor image, with options of their own."""
    assert EXTRACTORS.drop_label("signal-coarse") == "signal"
    assert EXTRACTORS.version("signal-coarse") == EXTRACTORS.version("signal")
    assert EXTRACTORS.load("signal-coarse") is EXTRACTORS.load("signal")
    assert "signal-coarse" in EXTRACTORS
    for name, sentence in (("signla-coarse", "did you mean 'signal'"), ("signal-", "as signal-se")):
        with pytest.raises(UserError, match=sentence):
            EXTRACTORS.version(name)
    with pytest.raises(UserError, match="no head is called 'ridge-second'"):
        HEADS.version("ridge-second")
