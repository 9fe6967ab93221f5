"""Fits of mappings by content: equal points are fitted once, others in several processes."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from sfqa import store
from sfqa.correlation.agreement import Correlation
from sfqa.correlation.fits import ScoreMapping, correlate_with_mapping
from sfqa.parallel import run_forked

#: Batches of fits for each process; more than one, because some fits take longer than others.
_BATCHES_PER_PROCESS = 16

Fit = tuple[Correlation, ScoreMapping | None]
#: Scores and MOS, (n,) each.
Points = tuple[npt.ArrayLike, npt.ArrayLike]


class FitCache:
    """Results of :func:`sfqa.correlation.fits.correlate_with_mapping` by the content of the points.

    The tables ask for the same fits several times: a metric that is not trained has the same scores
    under every protocol, and a trial that leaves out a method has the points of that method.

    ``processes``: how many compute the fits of :meth:`prepare_fits`; no number depends on it.
    ``path``: a file with the fits of an earlier run, written by :meth:`save`; ``versions``: what
    else the fits depend on. A file that is damaged or has other versions is ignored.

    >>> fits = FitCache()
    >>> fits.correlate([1.0, 2.0, 3.0, 5.0], [1.0, 3.0, 4.0, 9.0], "none")[0]["srcc"]
    1.0
    """

    def __init__(
        self, processes: int = 1, path: Path | str | None = None, versions: Any = None
    ) -> None:
        self.processes, self.versions = processes, versions
        self.path = None if path is None else Path(path)
        #: Number of fits that this object computed.
        self.computed = 0
        self._fits: dict[str, Fit] = {}
        self._stored = {} if self.path is None else _read_fits(self.path, versions)

    def prepare_fits(self, all_points: Iterable[Points], mapping: str) -> None:
        """Compute the fits of all points that are not in the cache."""
        missing: dict[str, Points] = {}
        for prediction, mos in all_points:
            key = _hash_points(prediction, mos, mapping)
            if self._find_fit(key) is None:
                missing[key] = (np.asarray(prediction), np.asarray(mos))
        keys = list(missing)
        size = max(1, -(-len(keys) // (self.processes * _BATCHES_PER_PROCESS)))
        batches = [keys[start : start + size] for start in range(0, len(keys), size)]

        def fit_batch(batch: list[str]) -> list[Fit]:
            return [correlate_with_mapping(*missing[key], mapping) for key in batch]

        for index, fits in run_forked(fit_batch, batches, self.processes):
            self._fits.update(zip(batches[index], fits, strict=True))
        self.computed += len(keys)

    def correlate(self, prediction: npt.ArrayLike, mos: npt.ArrayLike, mapping: str) -> Fit:
        """Return statistics and mapping of some points, computed now if they are not prepared."""
        key = _hash_points(prediction, mos, mapping)
        fit = self._find_fit(key)
        if fit is None:
            fit = self._fits[key] = correlate_with_mapping(prediction, mos, mapping)
            self.computed += 1
        return fit

    def save(self) -> None:
        """Write the fits that this object was asked for, for the next run."""
        assert self.path is not None
        listed = {key: _to_json(fit) for key, fit in self._fits.items()}
        text = json.dumps({"versions": self.versions, "fits": listed})
        with store.replacing(self.path) as temporary:
            temporary.write_text(f"{hashlib.sha256(text.encode()).hexdigest()}\n{text}", "utf-8")

    def _find_fit(self, key: str) -> Fit | None:
        if key not in self._fits and key in self._stored:
            self._fits[key] = _from_json(self._stored[key])
        return self._fits.get(key)


def _hash_points(prediction: npt.ArrayLike, mos: npt.ArrayLike, mapping: str) -> str:
    content = hashlib.sha256(mapping.encode())
    for values in (prediction, mos):
        array = np.ascontiguousarray(values, np.float64)
        content.update(array.size.to_bytes(8, "little") + array.tobytes())
    return content.hexdigest()


def _read_fits(path: Path, versions: Any) -> dict[str, Any]:
    """Return the fits of a file as JSON; empty if it is missing, damaged or of other versions."""
    try:
        digest, _, text = path.read_text("utf-8").partition("\n")
    except (OSError, ValueError):
        return {}
    if hashlib.sha256(text.encode()).hexdigest() != digest:
        return {}
    content = json.loads(text)
    fits: dict[str, Any] = content["fits"]
    return fits if content["versions"] == versions else {}


def _to_json(fit: Fit) -> dict[str, Any]:
    value, mapping = fit
    listed: dict[str, Any] = {
        "n": value.n, "values": dict(value.values), "name": value.mapping, "detail": value.detail,
    }  # fmt: skip
    if mapping is not None:
        listed["curve"] = [mapping.name, list(mapping.parameters), mapping.detail]
    return listed


def _from_json(listed: Mapping[str, Any]) -> Fit:
    value = Correlation(listed["n"], listed["values"], listed["name"], listed["detail"])
    if "curve" not in listed:
        return value, None
    name, parameters, detail = listed["curve"]
    return value, ScoreMapping(name, tuple(parameters), detail)
