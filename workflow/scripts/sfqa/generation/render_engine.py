"""Generate videos with a procedural adapter, which runs in this process."""

from __future__ import annotations

import logging
import shutil
import time
from collections.abc import Sequence
from pathlib import Path
from typing import cast

from sfqa.generation import adapters
from sfqa.generation.check import find_problem, read_clip_sec
from sfqa.generation.records import Sample
from sfqa.generation.shard import Shard, is_disk_full
from sfqa.repositories.workspace import remove_workspace
from sfqa.tables import flaw

log = logging.getLogger("sfqa")


class RenderEngine:
    """Renders one video after the other; implements :class:`sfqa.generation.shard.Engine`."""

    batch_size = 1

    def __init__(self, shard: Shard) -> None:
        self.shard = shard

    def generate(self, samples: Sequence[Sample]) -> None:
        """Render each sample; any error of the adapter fails that sample only."""
        for sample in samples:
            start = time.monotonic()
            try:
                reason = self._render(sample, start)
            except Exception as error:
                log.debug("%s: generation failed", sample["sample_id"], exc_info=True)
                reason = _describe_failure(error)
            if reason:
                self.shard.fail_sample(sample, reason, time.monotonic() - start)

    def _render(self, sample: Sample, start: float) -> str:
        """Render and accept one video; return why that failed, or ''.

        The working folder of a failed sample stays, so that its files can be examined.
        """
        settings = self.shard.settings
        work = self.shard.videos.work_path(sample["sample_id"])
        remove_workspace(work)
        work.mkdir(parents=True)
        output = work / "output.mp4"
        adapter = cast(adapters.ProceduralAdapter, adapters.load(self.shard.method.adapter))
        adapter.generate(
            adapters.RenderJob(
                sample_id=sample["sample_id"],
                options=self.shard.method.options,
                image=Path(sample["image_path"]),
                clip=Path(sample["clip_path"]),
                output=output,
                work=work,
                seed=settings.seed,
                size=settings.size,
                fps=settings.fps,
            )
        )
        reason = find_problem(output, read_clip_sec(sample))
        if not reason:
            self.shard.accept_video(sample, output, time.monotonic() - start)
            shutil.rmtree(work, ignore_errors=True)
        return reason


def _describe_failure(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    last_line = lines[-1] if lines else "no message"
    word = "disk_full" if is_disk_full(error) else "generation_failed"
    return flaw(word, f"{type(error).__name__}: {last_line[:300]}")
