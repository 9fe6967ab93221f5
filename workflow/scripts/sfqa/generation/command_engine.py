"""Generate videos with an installed generator: stage, run, wait, check, move, and try again."""

from __future__ import annotations

import contextlib
import logging
import shlex
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from sfqa import gpu_names, media
from sfqa.errors import UserError
from sfqa.generation import adapters, staging
from sfqa.generation.generator import Generator, Item, OptionValue, Run
from sfqa.generation.outcome import RunOutcome, find_newest_result
from sfqa.generation.records import Sample
from sfqa.generation.shard import Shard, is_disk_full
from sfqa.gpu_leases import lease_gpu
from sfqa.identity import digest
from sfqa.options import fill_defaults
from sfqa.repositories import process
from sfqa.repositories.installation import Installation, find_installation
from sfqa.repositories.workspace import (
    Workspace,
    open_workspace,
    remove_aliases,
    remove_workspace,
)
from sfqa.tables import flaw

log = logging.getLogger("sfqa")


class NotPreparedError(Exception):
    """An adapter cannot write the files or the arguments of a run."""


@dataclass(frozen=True)
class Failure:
    """Why an attempt gave no video; ``final`` if another attempt would fail as well."""

    reason: str
    final: bool = False


@dataclass(frozen=True)
class GeneratedVideo:
    """A checked video of one sample, still in the workspace; ``detail`` names a flaw or is ''."""

    sample: Sample
    path: Path
    detail: str


@contextlib.contextmanager
def open_command_engine(shard: Shard, timeouts: process.Timeouts) -> Iterator[CommandEngine]:
    """Yield an engine for a shard that holds one of the visible GPUs, if there are any.

    Raises :class:`UserError` if the generator is not installed or a GPU is needed and missing.
    """
    source, label = shard.method.source, shard.method.label
    assert source is not None
    installation = find_installation(
        f"method {label}",
        shard.settings.generators.absolute() / label,
        source.weights.folder,
        "run `snakemake fetch_generators` or fill the folder by hand (docs/generation.md)",
    )
    with _lease_gpu(shard) as gpu, process.end_on_sigterm():
        yield CommandEngine(shard, installation, gpu, timeouts)


@contextlib.contextmanager
def _lease_gpu(shard: Shard) -> Iterator[gpu_names.Gpu | None]:
    """Hold one of the visible GPUs; None if there is none and none is required."""
    label, gpus = shard.method.label, gpu_names.list_visible_gpus()
    if gpus:
        with lease_gpu(gpus) as gpu:
            log.info("%s: uses the GPU %s", label, gpu.name)
            yield gpu
        return
    if shard.settings.require_gpu:
        raise UserError(
            f"method {label}: it needs a GPU and none is visible; run it where there is "
            "one (nvidia-smi -L lists it, or CUDA_VISIBLE_DEVICES names it), or set "
            "generation.require_gpu to false"
        )
    yield None


class CommandEngine:
    """Runs the processes of one generator on one device, for one shard.

    Implements :class:`sfqa.generation.shard.Engine`.
    """

    def __init__(
        self,
        shard: Shard,
        installation: Installation,
        gpu: gpu_names.Gpu | None,
        timeouts: process.Timeouts,
    ) -> None:
        module = cast(adapters.CommandAdapter, adapters.load(shard.method.adapter))
        self.generator: Generator = module.GENERATOR
        self.options: dict[str, OptionValue] = fill_defaults(shard.method.options, module.OPTIONS)
        self.batch_size = max(1, self.generator.batch)
        self.shard, self.installation, self.timeouts = shard, installation, timeouts
        self.gpu = gpu
        self.seconds: dict[str, float] = {}  # spent on each sample, all attempts together
        self.disk_full = ""  # the message of the disk, once it was full

    def generate(self, samples: Sequence[Sample]) -> None:
        """Generate the samples in one process, then try each that failed again, alone."""
        failures = self._attempt_once(samples, 1)
        attempts = self.shard.settings.attempts
        for sample in samples:
            name = sample["sample_id"]
            failure = failures.get(name)
            attempt = 2
            while failure and not failure.final and attempt <= attempts:
                failure = self._attempt_once([sample], attempt).get(name)
                attempt += 1
            if failure:
                self.shard.fail_sample(sample, failure.reason, self.seconds.get(name, 0.0))
            elif attempts > 1 or not failures:
                # The workspace of a batch is in the folder of its first sample. If there is no
                # other attempt, it stays for the samples that failed, so that their files can be
                # examined.
                remove_workspace(self.shard.videos.work_path(name))

    def _attempt_once(self, samples: Sequence[Sample], attempt: int) -> dict[str, Failure]:
        """Run the generator once, accept what it made and return the failures by sample id."""
        names = [sample["sample_id"] for sample in samples]
        if self.disk_full:
            sentence = f"it was not tried, since the disk is full: {self.disk_full}"
            return dict.fromkeys(names, Failure(flaw("disk_full", sentence), final=True))
        work = self.shard.videos.work_path(names[0])
        failures = dict.fromkeys(names, Failure(""))
        start = time.monotonic()
        try:
            with open_workspace(work, self.installation.repo, self.generator.private) as workspace:
                videos, failures = self._generate_once(workspace, samples, attempt)
                seconds = (time.monotonic() - start) / len(samples)
                for name in names:
                    self.seconds[name] = self.seconds.get(name, 0.0) + seconds
                # Moving and recording them can still fail.
                failures |= {video.sample["sample_id"]: Failure("") for video in videos}
                for video in videos:
                    name = video.sample["sample_id"]
                    self.shard.accept_video(
                        video.sample, video.path, self.seconds[name], video.detail
                    )
                    del failures[name]
        except UserError:
            raise
        except NotPreparedError as error:
            if len(samples) > 1:  # one of them spoils the batch, and nothing has been run
                return {
                    name: failure
                    for sample in samples
                    for name, failure in self._attempt_once([sample], attempt).items()
                }
            return {names[0]: Failure(flaw("not_prepared", str(error)), final=True)}
        except Exception as error:
            log.debug("%s: generation failed", names[0], exc_info=True)
            failure = self._describe_failure(error)
            if self.disk_full:
                remove_workspace(work)
            failures = {name: f if f.reason else failure for name, f in failures.items()}
        return failures

    def _describe_failure(self, error: Exception) -> Failure:
        """Return the failure of the samples that met an error of this project's own code."""
        if is_disk_full(error):
            self.disk_full = str(error)
            return Failure(flaw("disk_full", str(error)), final=True)
        return Failure(flaw("generation_failed", _describe_error(error)))

    def _generate_once(
        self, workspace: Workspace, samples: Sequence[Sample], attempt: int
    ) -> tuple[list[GeneratedVideo], dict[str, Failure]]:
        """Stage the samples and run the generator; return its videos and the failures."""
        staged: list[tuple[Sample, Item]] = []
        failures: dict[str, Failure] = {}
        for sample in samples:
            item = self._stage_inputs(workspace, sample)
            if isinstance(item, Item):
                staged.append((sample, item))
            else:
                failures[sample["sample_id"]] = item
        if not staged:
            return [], failures
        run = Run(
            items=tuple(item for _, item in staged),
            cwd=workspace.cwd,
            checkpoints=workspace.cwd / self.installation.weights,
            work=workspace.work,
            python=self.installation.python,
            seed=self.shard.settings.seed,
            options=self.options,
        )
        outcome = self._run_process(workspace, run, attempt)
        videos = []
        for sample, item in staged:
            path, detail = outcome.collect_video(self.generator, item)
            if path is None:
                failures[item.sample_id] = Failure(detail)
            else:
                videos.append(GeneratedVideo(sample, path, detail))
        return videos, failures

    def _stage_inputs(self, workspace: Workspace, sample: Sample) -> Item | Failure:
        """Write the inputs of a sample into the workspace; a failure if they cannot be read."""
        stem = digest(sample["sample_id"])[:12]
        image = workspace.inputs / f"i{stem}{self.generator.image_suffix}"
        audio = workspace.inputs / f"a{stem}.wav"
        word = "bad_image"
        try:
            staging.stage_image(Path(sample["image_path"]), image)
            word = "bad_clip"
            seconds = staging.stage_sound(Path(sample["clip_path"]), audio, self.generator.pad_sec)
        except media.MediaError as error:
            if is_disk_full(error):
                raise
            return Failure(flaw(word, str(error)), final=True)
        return Item(
            sample_id=sample["sample_id"],
            image=image,
            audio=audio,
            seconds=seconds,
            prompt=sample.get("prompt") or "",
            output=workspace.outputs / f"v{stem}.mp4",
        )

    def _run_process(self, workspace: Workspace, run: Run, attempt: int) -> RunOutcome:
        """Run one process of the generator, its output appended to a log."""
        try:
            self.generator.prepare(run)
            argv = self.generator.build_command(run)
            variables = self.generator.build_environment(run)
        except Exception as error:
            if is_disk_full(error):
                raise
            raise NotPreparedError(_describe_error(error)) from error
        env = process.make_environment(
            run.python, workspace.tools, workspace.temporary, self.gpu, variables,
            self.shard.method.pass_environment,
        )  # fmt: skip
        first, others = run.items[0].sample_id, len(run.items) - 1
        log_path = self.shard.videos.log_path(f"{first}+{others}" if others else first)
        log_path.parent.mkdir(parents=True, exist_ok=True)
        with open(log_path, "a", encoding="utf-8") as log_file:
            log_file.write(f"== attempt {attempt}: {shlex.join(argv)}\n")
        log_start = log_path.stat().st_size
        # The clock of the file system: that of a file server may differ from ours.
        start_mark = workspace.root / "started"
        start_mark.touch()
        started_ns = start_mark.stat().st_mtime_ns

        def list_results() -> object:
            newest = [find_newest_result(self.generator, run, i, started_ns) for i in run.items]
            return None if None in newest else tuple(newest)

        limit_sec = 60.0 * self.shard.method.minutes * len(run.items)
        ended = process.run_command(
            argv, run.cwd, env, log_path, limit_sec, list_results, self.timeouts
        )
        return RunOutcome(run, ended, log_path, log_start, started_ns, limit_sec)


def _describe_error(error: Exception) -> str:
    text = str(error) if isinstance(error, UserError) else f"{type(error).__name__}: {error}"
    return remove_aliases(text[:500])
