"""Put the rows of label files together to samples: usually one of each video, or several."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field

from sfqa.errors import UserError
from sfqa.labels.files import LabelRow, Score


@dataclass
class LabelledVideo:
    """A video with its labels: path relative to the folder, columns of the sample, scores.

    A video that is in several samples (``import.samples_by``) is there once for each of them;
    ``sample_values`` are the values of those fields.
    ``where`` lists the rows of label files that name it; it is empty for a video without a label.
    ``ratings`` holds the scores of single raters by (rater, dimension).
    """

    path: str
    where: list[str] = field(default_factory=list)
    sample_values: tuple[str, ...] = ()
    columns: dict[str, str] = field(default_factory=dict)
    scores: dict[str, Score] = field(default_factory=dict)
    ratings: dict[tuple[str, str], Score] = field(default_factory=dict)


class SampleRows:
    """The rows of label files by video and by ``fields``, which tell apart its samples."""

    def __init__(self, fields: list[str]) -> None:
        self.fields = fields
        self.videos: dict[tuple[str, tuple[str, ...]], LabelledVideo] = {}
        self.common_rows: list[tuple[str, LabelRow]] = []

    def add(self, name: str, row: LabelRow, columns: Collection[str]) -> None:
        """Add a row of a label file that has these ``columns`` to its sample.

        Without some of the fields it counts for all samples that agree with it.
        """
        if not set(self.fields) <= set(columns):
            self.common_rows.append((name, row))
            return
        values = tuple(row.columns.get(field, "") for field in self.fields)
        video = self.videos.setdefault((name, values), LabelledVideo(name))
        _add_row(video, row)
        if "sample_id" not in video.columns:
            video.sample_values = tuple(value for value in values if value)

    def list_videos(self, names: Iterable[str]) -> list[LabelledVideo]:
        """Return the samples of all videos and of the files ``names``, sorted by path.

        Raises :class:`UserError` for a row that agrees with no sample of its video.
        """
        samples_of: dict[str, list[LabelledVideo]] = defaultdict(list)
        for (name, _), video in sorted(self.videos.items()):
            samples_of[name].append(video)
        for name in [*names, *(name for name, _ in self.common_rows)]:
            if name not in samples_of:
                samples_of[name].append(LabelledVideo(name))
        for name, row in self.common_rows:
            given_fields = {f: row.columns[f] for f in self.fields if f in row.columns}
            agreeing = [
                video
                for video in samples_of[name]
                if all(video.columns.get(f, value) == value for f, value in given_fields.items())
            ]
            if not agreeing:
                values = " and ".join(f"{f} {value!r}" for f, value in given_fields.items())
                raise UserError(
                    f"{row.where}: no sample of {name!r} has {values}; correct it, or give all of "
                    f"import.samples_by ({', '.join(self.fields)}) in its label file"
                )
            for video in agreeing:
                _add_row(video, row)
        return [video for _, videos in sorted(samples_of.items()) for video in videos]


def _add_row(video: LabelledVideo, row: LabelRow) -> None:
    """Add a row of a label file to its video; raises :class:`UserError` for a contradiction."""
    for dimension, score in row.scores.items():
        if row.rater:
            earlier = video.ratings.get((row.rater, dimension))
        else:
            earlier = video.scores.get(dimension)
        if earlier:
            by_rater = f" by {row.rater!r}" if row.rater else ""
            raise UserError(
                f"{score.where}: {video.path!r} has a score of {dimension!r}{by_rater} already "
                f"({earlier.where}); keep one of the two rows, or name what tells two samples of "
                "one video apart in import.samples_by"
            )
        if row.rater:
            video.ratings[row.rater, dimension] = score
        else:
            video.scores[dimension] = score
    for name, value in row.columns.items():
        if video.columns.get(name, value) != value:
            raise UserError(
                f"{row.where}: {name} of {video.path!r} is {value!r}, but "
                f"{video.columns[name]!r} in {video.where[0]}; correct one of them, or list it in "
                "import.samples_by if these are two samples of one video"
            )
        video.columns[name] = value
    if not row.scores and row.where.rpartition(", row")[0] in {
        where.rpartition(", row")[0] for where in video.where
    }:
        raise UserError(f"{row.where}: {video.path!r} is in {video.where[0]} too; keep one row")
    video.where.append(row.where)
