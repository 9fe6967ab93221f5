"""The Python API: features, MOS, correlations and models, with the options of the command line.

Every function is an attribute of the package: ``import sfqa; sfqa.mos("scores.csv")``. An option
``--short-side 256`` of the command line is the argument ``short_side=256``; a flag is ``True``, an
option that may be repeated is a list. Mistakes raise :class:`sfqa.errors.UserError` with the
sentence that the command line prints.
"""

from __future__ import annotations

import argparse
import tempfile
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sfqa.errors import UserError

if TYPE_CHECKING:
    import pandas as pd

#: A file or folder, or several.
Paths = str | Path | Sequence[str | Path]


def extract(videos: Paths, extractor: str | Sequence[str], **options: Any) -> pd.DataFrame:
    """Return the features of videos, one row per video.

    ``videos``: files, folders or globs. ``extractor``: a name of :func:`list_extractors`, or
    several. ``options``: those of ``sfqa features``, such as ``weights="random"``, ``cache``,
    ``short_side``; ``set`` is a mapping such as ``{"detect_every": 5}``.

    Columns: ``video``, ``path``, ``sha256``, ``status`` and ``detail`` of the video, then for each
    extractor ``signal.status``, ``signal.version``, ``signal.weights`` and its features, such as
    ``signal.sharpness``. A tensor is a numpy array with its axes, a missing feature is None or NaN.
    A video that cannot be measured is a row with ``status`` failed and its reason in ``detail``.

    >>> import sfqa
    >>> sfqa.extract("talk.mp4", "signal")["signal.sharpness"]  # doctest: +SKIP
    """
    from sfqa.cli import features
    from sfqa.cli._feature_tables import join_tables

    names = [extractor] if isinstance(extractor, str) else list(extractor)
    settings = [f"{key}={value}" for key, value in dict(options.pop("set", {})).items()]
    args = _parse("features", _list_words(videos), extractor=names, quiet=True, **options)
    args.settings = settings
    files, rows, extracted = features.measure_videos(args)
    return _to_frame(join_tables(files, rows, extracted))


def mos(ratings: str | Path | pd.DataFrame, **options: Any) -> pd.DataFrame:
    """Return the mean opinion scores of a table of ratings, one row per sample and dimension.

    ``ratings``: a file or a frame with the columns ``rater``, ``sample_id``, ``score`` and
    optionally ``dimension``; other shapes and names are described as for ``sfqa mos``
    (``wide=True``, ``sample="video"``, ``name="quality"``, ``scale=(0, 100)``). ``method`` is
    zscore, lgvq, bt500, mean, p913 or p910.

    Columns: those of the table of MOS (docs/outputs.md): ``sample_id``, ``dimension``, ``mos``,
    ``n``, ``sd``, ``ci95_low``, ``ci95_high``, ``synthetic``, ``status``, ``detail``.

    >>> import pandas as pd, sfqa
    >>> scores = pd.DataFrame({"rater": ["r1", "r1", "r2", "r2"], "sample_id": ["a", "b"] * 2,
    ...                        "score": [1, 2, 2, 4]})
    >>> sfqa.mos(scores, method="mean")["mos"].tolist()
    [1.5, 3.0]
    """
    import pandas as pd

    from sfqa import tables
    from sfqa.cli import _rating_tables
    from sfqa.ratings.mos import METHOD_NAMES, compute_mos
    from sfqa.ratings.screening import SHARES

    with _open_table(ratings, "ratings") as path:
        args = _parse("mos", [str(path)], **options)
        for option, names in (("method", METHOD_NAMES), ("screening", SHARES)):
            if getattr(args, option) not in names:
                raise UserError(f"{option} {getattr(args, option)!r}: use {', '.join(names)}")
        scores = _rating_tables.drop_raters(_rating_tables.read_scores(args), args.without)
    rows, _ = compute_mos(scores, args.method, not args.skip_unanimous, args.screening)
    return pd.DataFrame(rows, columns=tables.MOS.names)


def correlate(
    scores: str | Path | pd.DataFrame | Sequence[str | Path | pd.DataFrame],
    mos: str | Path | pd.DataFrame | None = None,
    **options: Any,
) -> pd.DataFrame:
    """Return SRCC, PLCC, KRCC and RMSE of scores against MOS, one row per score and dimension.

    ``scores``: one or more tables with a column of ids and columns of numbers. ``mos``: the table
    of the MOS; without it, the scores' table has a column of the MOS. ``options``: those of
    ``sfqa correlate``, such as ``id``, ``mos_column``, ``score``, ``lower``, ``group``,
    ``mapping``, ``bootstrap``. Samples without a score or a MOS are reported as a warning.

    Columns: those of the table of correlations (docs/outputs.md): ``metric``, ``dimension``, ``n``,
    ``srcc``, ``srcc_low``, ``srcc_high``, ... and ``status`` with its reason in ``detail``.
    """
    import pandas as pd

    from sfqa import tables
    from sfqa.cli import _score_tables
    from sfqa.correlation.fit_cache import FitCache
    from sfqa.correlation.summarise import Settings, correlation_rows, round_rows

    several: list[Any] = [scores] if isinstance(scores, str | Path | pd.DataFrame) else list(scores)
    with tempfile.TemporaryDirectory(prefix="sfqa-") as folder:
        paths = [_write_table(s, Path(folder) / f"scores{n}") for n, s in enumerate(several, 1)]
        if mos is not None:
            options["mos"] = _write_table(mos, Path(folder) / "mos")
        args = _parse("correlate", [str(path) for path in paths], **options)
        inputs = _score_tables.read_tables(args)
    groups = {"all": list(args.group)} if args.group else {}
    settings = Settings(args.mapping, args.bootstrap, args.interval, args.seed, groups)
    data = (inputs.predictions, inputs.mos, inputs.samples, inputs.metrics, settings, FitCache())
    rows = [row for row in round_rows(correlation_rows(*data)) if row["pooling"] == "pooled"]
    if args.method is None:
        rows = [row for row in rows if row["level"] == "video"]
    for note in inputs.notes:
        warnings.warn(note, stacklevel=2)
    return pd.DataFrame(rows, columns=tables.CORRELATION.names)


@dataclass(frozen=True)
class Model:
    """A quality model that scores videos: a model file, or a zero-shot model of the registry.

    ``dimensions`` are the rated dimensions of a model file, empty for a zero-shot model.
    """

    name: str
    dimensions: tuple[str, ...]
    source: str

    def score(self, videos: Paths, **options: Any) -> pd.DataFrame:
        """Return one row per video: its scores, ``status`` and ``detail``.

        ``options``: those of ``sfqa score``, such as ``weights``, ``prompt``, ``cache``.
        """
        return self._compute(_list_words(videos), options)

    def score_features(self, feature_tables: Paths, **options: Any) -> pd.DataFrame:
        """Return one row per sample of feature tables (Parquet files or folders)."""
        return self._compute([], {**options, "features": _list_words(feature_tables)})

    def _compute(self, videos: Sequence[str], options: Mapping[str, Any]) -> pd.DataFrame:
        import pandas as pd

        from sfqa.cli import score

        args = _parse("score", videos, model=self.source, quiet=True, **options)
        return pd.DataFrame(score.compute_scores(args)[1])


def load_model(model: str | Path) -> Model:
    """Return a model: of a file ``model.sfqa`` of the workflow, or zero-shot by its name.

    Raises :class:`UserError` for a damaged file, a file that other code must read, and an unknown
    name.

    >>> import sfqa
    >>> sfqa.load_model("LSE-C").name
    'LSE-C'
    """
    from sfqa.cli._zero_shot import find_zero_shot
    from sfqa.regression.model_files import read

    path = Path(model)
    if path.exists() or path.suffix == ".sfqa" or path.parent.name:
        content = read(path)
        return Model(str(content.metadata["metric"]["name"]), tuple(content.dimensions), str(path))
    zero_shot = find_zero_shot(str(model))
    return Model(zero_shot.name, (), zero_shot.name)


def list_extractors() -> list[str]:
    """Return the names of all extractors, without importing them."""
    from sfqa.features.extractors import EXTRACTORS

    return EXTRACTORS.names()


def _parse(command: str, words: Sequence[str], **options: Any) -> argparse.Namespace:
    """Return the arguments of a subcommand: ``words``, and options as keyword arguments."""
    from sfqa.cli import make_parser, parse_arguments

    arguments = list(words)
    for key, value in options.items():
        option = f"--{key.replace('_', '-')}"
        if value is None or value is False:
            continue
        for item in value if isinstance(value, list) else [value]:
            if isinstance(item, tuple):
                item = ",".join(map(str, item))
            arguments.append(option if item is True else f"{option}={item}")
    return parse_arguments(make_parser(command), arguments)


def _list_words(paths: Paths) -> list[str]:
    return [str(paths)] if isinstance(paths, str | Path) else [str(path) for path in paths]


@contextmanager
def _open_table(table: str | Path | pd.DataFrame, name: str) -> Iterator[Path]:
    """Yield the file of a table; a frame is written to a temporary one."""
    with tempfile.TemporaryDirectory(prefix="sfqa-") as folder:
        yield _write_table(table, Path(folder) / name)


def _write_table(table: str | Path | pd.DataFrame, path: Path) -> Path:
    if isinstance(table, str | Path):
        return Path(table)
    file = path.with_suffix(".parquet")
    table.to_parquet(file, index=False)
    return file


def _to_frame(table: Any) -> pd.DataFrame:
    """Return an Arrow table of features as a frame, tensors as arrays with their axes."""
    import pandas as pd
    import pyarrow as pa

    from sfqa.features.base import read_tensor

    columns = {}
    for field in table.schema:
        column = table.column(field.name)
        if pa.types.is_list(field.type):
            tensors = [read_tensor(column, field, row) for row in range(table.num_rows)]
            columns[field.name] = pd.Series(tensors, dtype=object)
        else:
            columns[field.name] = column.to_pandas()
    return pd.DataFrame(columns)
