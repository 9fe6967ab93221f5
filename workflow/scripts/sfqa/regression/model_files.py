"""Model files: all that is needed to score a new video, in one file that runs no code when read.

A zip of ``model.json`` (what the model is) and ``arrays/{n}.npy`` (its numbers), neither compressed
nor pickled; the JSON holds the sha256 of every array, and a digest of itself. A head with
``restore`` has its state there; one without (scikit-learn's) has its train rows, and is fitted
again with its seed when it scores. Two rows with their predictions are kept as a probe: a model
that predicts them otherwise (other code, other libraries) is refused.
"""

from __future__ import annotations

import hashlib
import json
import tempfile
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from sfqa import store
from sfqa.errors import UserError
from sfqa.identity import digest
from sfqa.regression import heads
from sfqa.regression import problems as many
from sfqa.regression.problems import Features, Floats, Models

Array = npt.NDArray[Any]

#: Version of the file's form: what this program writes, and the newest that it reads.
FORMAT = 1
#: Version of how a model is fitted for a file (with fitting.py) and scores (with cross.py).
VERSION = 1
#: How far the probe may be off, as a share of the range of the train MOS: other devices round
#: otherwise, bfloat16 by most.
TOLERANCE = 0.01

_JSON = "model.json"
_TARGET = "the target results/DATASET/regression/METRIC/model.sfqa of the workflow"
_AGAIN = f"make it again ({_TARGET})"


@dataclass(frozen=True)
class ModelFile:
    """A model file as read: ``about`` is its JSON, ``arrays`` its numbers by name."""

    path: Path
    about: Mapping[str, Any]
    arrays: Mapping[str, Array]

    @property
    def dimensions(self) -> list[str]:
        """The dimensions that it predicts, in the order of its fits."""
        return [name for fit in self.about["fits"] for name in fit["dimensions"]]

    @property
    def synthetic(self) -> bool:
        """Whether any MOS that it learnt from came from simulated raters."""
        return any(bool(one["synthetic"]) for one in self.about["mos"].values())

    @property
    def untrained(self) -> list[str]:
        """The extractors whose weights were random."""
        features = self.about["extractors"]
        return sorted(k for k, v in features.items() if v["weights"]["kind"] == "random")

    @property
    def inputs(self) -> list[str]:
        """What it reads of the feature tables, in order."""
        return [str(one["input"]) for one in self.about["inputs"]]


def write(path: Path | str, about: Mapping[str, Any], arrays: Mapping[str, Array]) -> None:
    """Write a model file, whole and by rename; equal content gives equal bytes.

    Raises ``ValueError`` for an array that would need pickle.
    """
    whole = {k: np.array(arrays[k], order="C") for k in sorted(arrays)}
    for name, values in whole.items():
        if values.dtype.kind not in "biuf":
            raise ValueError(f"array {name}: {values.dtype} is no plain number")
    listed = {name: _stamp(values) for name, values in whole.items()}
    full: dict[str, Any] = {**about, "format": FORMAT, "arrays": listed}
    full["digest"] = digest(full)
    text = json.dumps(full, indent=1, sort_keys=True, ensure_ascii=False, allow_nan=False)
    with store.replacing(path) as temporary, zipfile.ZipFile(temporary, "w") as archive:
        archive.writestr(_member(_JSON), text + "\n")
        for number, values in enumerate(whole.values()):
            with archive.open(_member(_place(number)), "w", force_zip64=True) as handle:
                np.lib.format.write_array(handle, values, allow_pickle=False)


def read(path: Path | str) -> ModelFile:
    """Return the model of a file, checked.

    Raises :class:`UserError` for a file that is not there, damaged, changed by hand, of a newer
    form, or of a head that this program does not have in this VERSION.
    """
    path = Path(path)
    if not path.is_file():
        raise UserError(
            f"{path}: there is no such model file; correct the path, or make it ({_TARGET})"
        )
    try:
        with zipfile.ZipFile(path) as archive:
            about, arrays = _content(path, archive)
    except UserError:
        raise
    except Exception as error:
        # zip, zlib, JSON, header, key and memory errors all mean the same to the user.
        said = str(error).splitlines()[0][:120] if str(error) else type(error).__name__
        raise UserError(f"{path}: damaged, or no model file ({said}); {_AGAIN}") from error
    head, version = str(about["head"]["name"]), int(about["head"]["version"])
    if head not in heads.names():
        raise UserError(
            f"{path}: the head of this model is {head!r}, which is not here "
            f"({', '.join(heads.names())}); use the program that made it, or {_AGAIN}"
        )
    if heads.version(head) != version:
        raise UserError(
            f"{path}: made by head {head} VERSION {version}; here it is VERSION "
            f"{heads.version(head)}, whose numbers differ; {_AGAIN}"
        )
    return ModelFile(path, about, arrays)


class Scorer:
    """A model of a file, ready to predict; raises :class:`UserError` where its probe fails."""

    def __init__(self, model: ModelFile, device: str = "cpu") -> None:
        self.model, self.device = model, device
        head = model.about["head"]
        self.head, self.options = str(head["name"]), dict(head["options"])
        self.models: Models | None = None
        if not head["refit"]:
            fits = [_below(model.arrays, f"{n}/") for n in range(len(model.about["fits"]))]
            self.models = heads.load(self.head).restore(fits, self.options, device)
            self._check(_joined(self.models.predict(self._probe())))

    def predict(self, x: Features) -> Floats:
        """Return predictions in MOS units, float64 (rows, dimensions of the file).

        ``x`` is a matrix with the file's columns, or its blocks by input (cross.py loads them).
        """
        if self.models is not None:
            return _joined(self.models.predict(x))
        # Fitted again over its own rows, with the probe and the new rows behind them.
        parts = [many.blocks(part)["x"] for part in (self.model.arrays["x"], self._probe(), x)]
        counts = np.cumsum([len(part) for part in parts])
        matrix = np.concatenate(parts)
        problems = []
        for number, fit in enumerate(self.model.about["fits"]):
            own = _below(self.model.arrays, f"{number}/")
            y = np.full((len(matrix), own["y"].shape[1]), np.nan)
            y[: counts[0]] = own["y"]
            problems.append(many.problem(own["train"], own["validation"], y, int(fit["seed"])))
        with tempfile.TemporaryDirectory(prefix="sfqa-") as work:
            values, reasons = heads.predictions(
                self.head, matrix, problems, self.options, Path(work), self.device
            )
        if any(reasons):
            raise UserError(f"{self.model.path}: {next(filter(None, reasons))}; {_AGAIN}")
        found = _joined(values)
        self._check(found[counts[0] : counts[1]])
        return found[counts[1] :]

    def _probe(self) -> Features:
        rows = _below(self.model.arrays, "probe/")
        blocks = self.model.about["design"] == "blocks"
        return {k: rows[k] for k in self.model.inputs} if blocks else rows["x"]

    def _check(self, found: Floats) -> None:
        wanted, spans = self.model.arrays["probe"], []
        for name in self.model.dimensions:
            mos = self.model.about["mos"][name]
            spans.append(float(mos["highest"]) - float(mos["lowest"]))
        off = np.abs(found - wanted)
        if not (off <= TOLERANCE * np.maximum(spans, 1e-6)).all():
            said = ", ".join(f"{k} {v}" for k, v in sorted(self.model.about["packages"].items()))
            raise UserError(
                f"{self.model.path}: here it predicts {found[0].tolist()} for a row for which it "
                f"predicted {wanted[0].tolist()} when it was made (with {said}); use those "
                f"versions, or {_AGAIN}"
            )


def fingerprints(x: Features) -> npt.NDArray[np.uint64]:
    """Return 64 bits of every row's identity: rows of equal numbers have equal ones.

    >>> one, two, three = fingerprints(np.array([[1.0], [2.0], [1.0]], np.float32))
    >>> bool(one == three), bool(one == two)
    (True, False)
    """
    return np.array([int(h[:16], 16) for h in many.row_hashes(x)], np.uint64)


def _content(path: Path, archive: zipfile.ZipFile) -> tuple[dict[str, Any], dict[str, Array]]:
    about: dict[str, Any] = json.loads(archive.read(_JSON))
    if int(about["format"]) > FORMAT:
        raise UserError(
            f"{path}: a model file of form {about['format']}, this program reads up to {FORMAT}; "
            "use the newer program that made it"
        )
    if digest({k: v for k, v in about.items() if k != "digest"}) != about["digest"]:
        raise ValueError(f"{_JSON} was changed")
    arrays = {}
    for number, (name, stamp) in enumerate(sorted(about["arrays"].items())):
        # What is not compressed cannot be larger than the file.
        if archive.getinfo(_place(number)).compress_type != zipfile.ZIP_STORED:
            raise ValueError(f"{_place(number)} is compressed")
        with archive.open(_place(number)) as handle:
            values = np.lib.format.read_array(handle, allow_pickle=False)
        if _stamp(values) != stamp:
            raise ValueError(f"array {name} was changed")
        arrays[name] = values
    return about, arrays


def _stamp(values: Array) -> list[Any]:
    whole = np.ascontiguousarray(values)
    return [str(values.dtype), list(values.shape), hashlib.sha256(whole.tobytes()).hexdigest()]


def _place(number: int) -> str:
    return f"arrays/{number}.npy"


def _member(name: str) -> zipfile.ZipInfo:
    """A member without a time, so that equal content gives equal bytes."""
    made = zipfile.ZipInfo(name)
    made.create_system, made.external_attr = 3, 0o644 << 16
    return made


def _below(arrays: Mapping[str, Array], prefix: str) -> dict[str, Array]:
    return {k[len(prefix) :]: v for k, v in arrays.items() if k.startswith(prefix)}


def _joined(values: Floats) -> Floats:
    """(fits, rows, dims) as (rows, all dimensions of the file)."""
    return np.concatenate(list(values), axis=1)
