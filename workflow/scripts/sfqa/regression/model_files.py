"""Model files: everything needed to score a new video, in a file that runs no code when read.

A model file is a zip of ``model.json`` (metadata) and ``arrays/{n}.npy`` (numbers), neither
compressed nor pickled. The networks of heads that train a backbone are in ``networks.safetensors``
instead, which other programs read too. The JSON has the sha256 of every array and a digest of
itself. A head with ``restore`` stores its state. Other heads (those of scikit-learn) store their
train rows, and are fitted again with the same seed before they score. The file also has the
predictions for two rows, the probe: a model that predicts other values for them (different code or
libraries) is rejected.
"""

from __future__ import annotations

import hashlib
import json
import tempfile
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import safetensors.numpy

from sfqa import store
from sfqa.arrays import AnyArray, Floats
from sfqa.errors import UserError, is_out_of_memory
from sfqa.identity import digest
from sfqa.regression import heads
from sfqa.regression.fine_tuning.language_base import find_base, is_language_model
from sfqa.regression.head import ModelHead
from sfqa.regression.model_schema import check_metadata
from sfqa.regression.problems import Features, Models, get_blocks, hash_rows, make_problem
from sfqa.shown_text import quote_value, show_controls
from sfqa.untrusted import limits
from sfqa.untrusted.archives import check_members, open_archive, read_member
from sfqa.untrusted.arrays import read_member_array
from sfqa.untrusted.documents import parse_json
from sfqa.untrusted.limits import format_bytes
from sfqa.untrusted.tensors import check_safetensors_header

#: The newest version of the file format, of files with safetensors; other files have version 1.
FORMAT = 2
#: Version of how a model is fitted for a file (in fitting.py) and how it scores (in cross.py).
VERSION = 1
#: Largest error of the probe, as a share of the range of the train MOS. Devices round differently,
#: bfloat16 the most.
TOLERANCE = 0.01

_JSON, _SAFETENSORS = "model.json", "networks.safetensors"
#: Key of the metadata of files with safetensors, and what their arrays are called by.
SAFETENSORS, _NETWORK = "safetensors", "/network."
_TARGET = "the target results/DATASET/regression/METRIC/model.sfqa of the workflow"
_REMAKE = f"make it again ({_TARGET})"


@dataclass(frozen=True)
class ModelFile:
    """The content of a model file: the JSON as ``metadata``, and arrays by name."""

    path: Path
    metadata: Mapping[str, Any]
    arrays: Mapping[str, AnyArray]

    def get_array(self, name: str) -> AnyArray:
        """Return an array; raises :class:`UserError` if the file does not have it."""
        if name not in self.arrays:
            raise UserError(f"{self.path}: not a whole model file (no array {name!r}); {_REMAKE}")
        return self.arrays[name]

    @property
    def dimensions(self) -> list[str]:
        """The dimensions that the model predicts, in the order of its fits."""
        return [name for fit in self.metadata["fits"] for name in fit["dimensions"]]

    @property
    def has_synthetic_mos(self) -> bool:
        """Whether any MOS in the training data came from simulated raters."""
        return any(bool(record["synthetic"]) for record in self.metadata["mos"].values())

    @property
    def untrained_extractors(self) -> list[str]:
        """The extractors that ran with random weights."""
        features = self.metadata["extractors"]
        return sorted(k for k, v in features.items() if v["weights"]["kind"] == "random")

    @property
    def inputs(self) -> list[str]:
        """The inputs that the model reads from feature tables, in order."""
        return [str(entry["input"]) for entry in self.metadata["inputs"]]


def write(path: Path | str, metadata: Mapping[str, Any], arrays: Mapping[str, AnyArray]) -> None:
    """Write a model file atomically; equal content gives equal bytes.

    Raises ``ValueError`` for an array that would need pickle, and for metadata of a size that
    :func:`read` refuses.
    """
    contiguous = {k: np.array(arrays[k], order="C") for k in sorted(arrays)}
    for name, values in contiguous.items():
        if values.dtype.kind not in "biuf":
            raise ValueError(f"array {name}: {values.dtype} is not a number type")
    descriptions = {name: _describe_array(values) for name, values in contiguous.items()}
    tensors = {k: v for k, v in contiguous.items() if _is_tensor(metadata, k)}
    content: dict[str, Any] = {
        **metadata, "format": FORMAT if tensors else 1, "arrays": descriptions
    }  # fmt: skip
    content["digest"] = digest(content)
    text = json.dumps(content, indent=1, sort_keys=True, ensure_ascii=False, allow_nan=False)
    if len(text.encode()) >= limits.MODEL_JSON_BYTES:
        raise ValueError(f"metadata of more than {format_bytes(limits.MODEL_JSON_BYTES)}")
    with store.replacing(path) as temporary, zipfile.ZipFile(temporary, "w") as archive:
        archive.writestr(_make_member(_JSON), text + "\n")
        if tensors:
            with archive.open(_make_member(_SAFETENSORS), "w", force_zip64=True) as handle:
                handle.write(safetensors.numpy.save(tensors))
        for number, (name, values) in enumerate(contiguous.items()):
            if name in tensors:
                continue
            with archive.open(
                _make_member(_make_array_path(number)), "w", force_zip64=True
            ) as handle:
                np.lib.format.write_array(handle, values, allow_pickle=False)


def read(path: Path | str) -> ModelFile:
    """Read and check a model file.

    Raises :class:`UserError` for a file that is missing, damaged, changed by hand or of a newer
    format, and for a head that this program does not have, or has in another VERSION.
    """
    path = Path(path)
    if not path.is_file():
        raise UserError(
            f"{path}: there is no such model file; correct the path, or make the file ({_TARGET})"
        )
    try:
        with open_archive(path) as archive:
            metadata, arrays = _read_archive(path, archive)
    except UserError:
        raise
    except Exception as error:
        # zip, zlib, JSON, header, key and memory errors all mean the same to the user.
        cause = _describe_cause(error)
        raise UserError(f"{path}: damaged, or not a model file ({cause}); {_REMAKE}") from error
    head, version = str(metadata["head"]["name"]), int(metadata["head"]["version"])
    if head not in heads.list_heads():
        raise UserError(
            f"{path}: the model has the head {quote_value(head)}, which this program does not have "
            f"({', '.join(heads.list_heads())}); use the program that made it, or {_REMAKE}"
        )
    if heads.read_version(head) != version:
        raise UserError(
            f"{path}: made by head {head} VERSION {version}; this program has VERSION "
            f"{heads.read_version(head)}, whose numbers differ; {_REMAKE}"
        )
    if heads.read_design(head) != metadata["design"]:
        raise UserError(
            f"{path}: not a whole model file (the head {head} reads {heads.read_design(head)} "
            f"features, the file has {metadata['design']}); {_REMAKE}"
        )
    return ModelFile(path, metadata, arrays)


def needs_base(model: ModelFile) -> bool:
    """Return whether a model file holds adapters of a network that it does not hold."""
    return is_language_model(model.metadata["head"]["options"])


class Scorer:
    """Predicts with the model of a file; raises :class:`UserError` if its probe fails.

    ``sources`` maps extractors to their entries in the configuration. Only adapters of a language
    model need them: the model itself is not in the file.
    """

    def __init__(
        self, model: ModelFile, device: str = "cpu", sources: Mapping[str, Any] | None = None
    ) -> None:
        self.model, self.device = model, device
        head = model.metadata["head"]
        self.head, self.options = str(head["name"]), dict(head["options"])
        self.models: Models | None = None
        if not head["refit"]:
            fits = [
                _select_arrays(model.arrays, f"{n}/") for n in range(len(model.metadata["fits"]))
            ]
            with explain_unusable_model(model.path):
                heads.merge_options(self.head, self.options)
                loaded = cast(ModelHead, heads.load_head(self.head))
                base = find_base(self.options, model.inputs, sources or {}, str(model.path))
                self.models = loaded.restore(fits, {**self.options, **base}, device)
                self._check_probe(_join_fits(self.models.predict(self._read_probe())))

    def predict(self, x: Features) -> Floats:
        """Return predictions in MOS units, float64 (rows, dimensions of the file).

        ``x`` is a matrix with the columns of the file, or its blocks by input, as loaded by
        :func:`sfqa.regression.cross.load_model_features`.
        """
        if self.models is not None:
            return _join_fits(self.models.predict(x))
        with explain_unusable_model(self.model.path):
            return self._refit(x)

    def _refit(self, x: Features) -> Floats:
        """Fit the head again on the stored rows; the probe and the new rows follow them."""
        heads.merge_options(self.head, self.options)
        parts = [
            get_blocks(part)["x"] for part in (self.model.get_array("x"), self._read_probe(), x)
        ]
        counts = np.cumsum([len(part) for part in parts])
        matrix = np.concatenate(parts)
        problems = []
        for number, fit in enumerate(self.model.metadata["fits"]):
            stored = _select_arrays(self.model.arrays, f"{number}/")
            y = np.full((len(matrix), stored["y"].shape[1]), np.nan)
            y[: counts[0]] = stored["y"]
            groups = None
            if "groups" in stored:
                groups = np.full(len(matrix), -1, np.int64)
                groups[: counts[0]] = stored["groups"]
            problems.append(
                make_problem(
                    stored["train"], stored["validation"], y, int(fit["seed"]), groups=groups
                )
            )
        with tempfile.TemporaryDirectory(prefix="sfqa-") as work:
            values, reasons = heads.fit_and_predict(
                self.head, matrix, problems, self.options, Path(work), self.device
            )
        if any(reasons):
            raise UserError(f"{self.model.path}: {next(filter(None, reasons))}; {_REMAKE}")
        predicted = _join_fits(values)
        self._check_probe(predicted[counts[0] : counts[1]])
        return predicted[counts[1] :]

    def _read_probe(self) -> Features:
        rows = _select_arrays(self.model.arrays, "probe/")
        blocks = self.model.metadata["design"] == "blocks"
        return {k: rows[k] for k in self.model.inputs} if blocks else rows["x"]

    def _check_probe(self, predicted: Floats) -> None:
        """Compare predictions for the probe with those in the file."""
        expected, spans = self.model.get_array("probe"), []
        for name in self.model.dimensions:
            mos = self.model.metadata["mos"][name]
            spans.append(float(mos["highest"]) - float(mos["lowest"]))
        errors = np.abs(predicted - expected)
        if not (errors <= TOLERANCE * np.maximum(spans, 1e-6)).all():
            packages = ", ".join(
                f"{k} {v}" for k, v in sorted(self.model.metadata["packages"].items())
            )
            raise UserError(
                f"{self.model.path}: the model predicts {predicted[0].tolist()} for a row for "
                f"which it predicted {expected[0].tolist()} when it was made (with {packages}); "
                f"use those versions, or {_REMAKE}"
            )


@contextmanager
def explain_unusable_model(path: Path) -> Iterator[None]:
    """Raise :class:`UserError` naming a model file if the block fails because of its content.

    Its arrays, shapes and options may contradict each other, although each of them is allowed.
    """
    try:
        yield
    except (UserError, OSError, MemoryError):
        raise
    except Exception as error:
        if is_out_of_memory(error):
            raise
        raise UserError(
            f"{path}: the parts of the model do not fit together ({_describe_cause(error)}); "
            f"{_REMAKE}"
        ) from error


def _describe_cause(error: BaseException) -> str:
    """Return the first line of an error, or its type if it has no text."""
    text = str(error).strip()
    return show_controls(text.splitlines()[0][:160], keep="") if text else type(error).__name__


def fingerprint_rows(x: Features) -> npt.NDArray[np.uint64]:
    """Return a 64-bit hash of the numbers of every row.

    >>> first, second, third = fingerprint_rows(np.array([[1.0], [2.0], [1.0]], np.float32))
    >>> bool(first == third), bool(first == second)
    (True, False)
    """
    return np.array([int(h[:16], 16) for h in hash_rows(x)], np.uint64)


def _read_archive(
    path: Path, archive: zipfile.ZipFile
) -> tuple[dict[str, Any], dict[str, AnyArray]]:
    """Return the metadata and the arrays of a model file; any error means that it is damaged."""
    size = path.stat().st_size
    # Without compression no member can be larger than the file.
    check_members(archive, size, size, stored=True)
    packed_metadata = read_member(archive, archive.getinfo(_JSON), limits.MODEL_JSON_BYTES)
    metadata: dict[str, Any] = parse_json(packed_metadata, limits.MODEL_JSON_BYTES)
    if not isinstance(metadata, dict) or not isinstance(metadata.get("format"), int):
        raise ValueError(f"{_JSON} states no format")
    if metadata["format"] > FORMAT:
        raise UserError(
            f"{path}: a model file of format {metadata['format']}; this program reads up to "
            f"{FORMAT}; use the newer program that made it"
        )
    if digest({k: v for k, v in metadata.items() if k != "digest"}) != metadata.get("digest"):
        raise ValueError(f"{_JSON} was changed")
    check_metadata(metadata)
    arrays, tensors = {}, {}
    if any(_is_tensor(metadata, name) for name in metadata["arrays"]):
        packed_tensors = read_member(archive, archive.getinfo(_SAFETENSORS), size)
        check_safetensors_header(packed_tensors[:8], len(packed_tensors))
        tensors = safetensors.numpy.load(packed_tensors)
    for number, (name, description) in enumerate(sorted(metadata["arrays"].items())):
        if _is_tensor(metadata, name):
            values = tensors[name]
        else:
            values = read_member_array(archive, _make_array_path(number))
        if _describe_array(values) != description:
            raise ValueError(f"array {name} was changed")
        arrays[name] = values
    return metadata, arrays


def _is_tensor(metadata: Mapping[str, Any], name: str) -> bool:
    """Return whether an array is in the file of safetensors."""
    return bool(metadata.get(SAFETENSORS)) and _NETWORK in name


def _describe_array(values: AnyArray) -> list[Any]:
    """Return dtype, shape and sha256 of an array."""
    contiguous = np.ascontiguousarray(values)
    sha256 = hashlib.sha256(contiguous.tobytes()).hexdigest()
    return [str(values.dtype), list(values.shape), sha256]


def _make_array_path(number: int) -> str:
    return f"arrays/{number}.npy"


def _make_member(name: str) -> zipfile.ZipInfo:
    """Return a zip member without a time, so that equal content gives equal bytes."""
    member = zipfile.ZipInfo(name)
    member.create_system, member.external_attr = 3, 0o644 << 16
    return member


def _select_arrays(arrays: Mapping[str, AnyArray], prefix: str) -> dict[str, AnyArray]:
    """Return the arrays whose name has a prefix, by the rest of the name."""
    return {k[len(prefix) :]: v for k, v in arrays.items() if k.startswith(prefix)}


def _join_fits(values: Floats) -> Floats:
    """Return predictions (fits, rows, dims) as (rows, all dimensions of the file)."""
    return np.concatenate(list(values), axis=1)
