"""A stand-in for conda that fills environments from their files: for tests of --use-conda.

It answers what Snakemake asks of conda. ``env create`` makes a virtual environment that holds the
pinned packages of the file's pip section, what they depend on, and nothing else:

- SFQA_CONDA=link (the default): links to the files of the packages that this Python has, where
  their versions are the pinned ones; seconds, no network, no disk.
- SFQA_CONDA=pip: pip install, from the package index or pip's cache; minutes and gigabytes.

Snakemake appends the runner's own packages to the search path of every script. They are hidden in
the environments, since with a real conda on another machine they may be others or absent.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import defaultdict
from importlib import metadata
from itertools import pairwise
from pathlib import Path, PurePosixPath

import yaml
from packaging.markers import default_environment
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

#: conda packages outside of pip that a virtual environment and the machine stand in for.
ELSEWHERE = {"python", "pip", "ffmpeg", "git"}

_HIDE = """
import importlib.machinery, os, sys
OTHERS = {others!r}
def hook(path):
    if os.path.realpath(path) not in OTHERS:
        raise ImportError
    return importlib.machinery.FileFinder(path + "/nothing-here")
sys.path_hooks.insert(0, hook)
"""


class CondaError(Exception):
    """What this stand-in cannot do, as a sentence."""


def main(argv: list[str]) -> int:
    """Answer one call of Snakemake."""
    if argv == ["--version"]:
        print("conda 99.9.9")
    elif argv[:1] == ["info"]:
        print(json.dumps({"conda_prefix": str(Path(__file__).parent), "platform": "linux-64"}))
    elif argv[:3] == ["config", "--get", "channel_priority"]:
        print(json.dumps({"get": {"channel_priority": "strict"}}))
    elif argv[:2] == ["env", "create"]:
        given = dict(pairwise(argv))
        try:
            create(Path(given["--file"]), Path(given["--prefix"]))
        except CondaError as error:
            print(error)
            return 1
    elif argv[:1] != ["clean"]:  # there are no tarballs
        print(f"this stand-in for conda knows no {argv}")
        return 1
    return 0


def create(file: Path, prefix: Path) -> None:
    """Make the environment of a file."""
    found = yaml.safe_load(file.read_text())
    pins: list[str] = []
    for entry in found["dependencies"]:
        if isinstance(entry, dict):
            pins += entry["pip"]
        elif (name := entry.split()[0]) not in ELSEWHERE:
            raise CondaError(f"{file}: this stand-in has no conda package {name!r}")
        elif (
            name == "python" and entry.split()[1] != f"={'.'.join(map(str, sys.version_info[:2]))}"
        ):
            raise CondaError(f"{file}: {entry} where this Python is {sys.version.split()[0]}")
    by_pip = os.environ.get("SFQA_CONDA") == "pip"
    command = [sys.executable, "-m", "venv", *([] if by_pip else ["--without-pip"]), str(prefix)]
    subprocess.run(command, check=True)
    if by_pip:
        pip = [str(prefix / "bin/python"), "-m", "pip", "install", "--quiet"]
        subprocess.run([*pip, "--disable-pip-version-check", *pins], check=True)
    packages = Path(subprocess.check_output(
        [prefix / "bin/python", "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"],
        text=True,
    ).strip())  # fmt: skip
    if not by_pip:
        _link(_closure(pins), packages)
    others = sorted({os.path.realpath(p) for p in sys.path if p.endswith("site-packages")})
    # By a .pth file: Debian's Python has a sitecustomize of its own, which comes first.
    (packages / "_hide_others.py").write_text(_HIDE.format(others=others))
    (packages / "_hide_others.pth").write_text("import _hide_others\n")


def _closure(pins: list[str]) -> dict[str, metadata.Distribution]:
    """The pinned distributions and all that they need, by name."""
    found: dict[str, metadata.Distribution] = {}
    seen: set[tuple[str, str]] = set()
    todo = [Requirement(pin) for pin in pins]
    while todo:
        wanted = todo.pop()
        name = str(canonicalize_name(wanted.name))
        try:
            distribution = metadata.distribution(wanted.name)
        except metadata.PackageNotFoundError:
            raise CondaError(f"{wanted} is not installed here; SFQA_CONDA=pip fetches it") from None
        version = distribution.version.split("+")[0]
        if not wanted.specifier.contains(version, prereleases=True):
            raise CondaError(f"{wanted}: here is {version}; SFQA_CONDA=pip fetches the other")
        found[name] = distribution
        for extra in ("", *wanted.extras):
            if (name, extra) in seen:
                continue
            seen.add((name, extra))
            environment = {**default_environment(), "extra": extra}
            for line in distribution.requires or []:
                need = Requirement(line)
                if need.marker is None or need.marker.evaluate(environment):
                    todo.append(need)
    return found


def _link(distributions: dict[str, metadata.Distribution], packages: Path) -> None:
    """Link the files of distributions: whole folders where nobody else has files in them."""
    owners: dict[str, set[str]] = defaultdict(set)
    mine: dict[str, Path] = {}
    for distribution in metadata.distributions():
        name = str(canonicalize_name(distribution.metadata["Name"]))
        for file in distribution.files or []:
            path = PurePosixPath(file)
            if path.parts[0] in ("..", "__pycache__") or path.suffix == ".pyc":
                continue
            for depth in range(1, len(path.parts) + 1):
                owners["/".join(path.parts[:depth])].add(name)
            if name in distributions:
                mine[str(path)] = Path(str(distribution.locate_file("")))
    for file, root in sorted(mine.items()):
        parts = file.split("/")
        for depth in range(1, len(parts) + 1):
            part = "/".join(parts[:depth])
            if (packages / part).is_symlink():
                break
            if len(owners[part]) == 1:
                (packages / part).symlink_to(root / part)
                break
            (packages / part).mkdir(exist_ok=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
