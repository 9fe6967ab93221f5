"""Make videos with an installed generator: stage, run, wait, check, move, and try again."""

from __future__ import annotations

import contextlib
import logging
import os
import shlex
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from sfqa import device, media
from sfqa.errors import UserError
from sfqa.generation import adapters, process, staging
from sfqa.generation.check import problem, told
from sfqa.generation.generator import Generator, Item, OptionValue, Run
from sfqa.generation.options import filled
from sfqa.generation.records import Settings, Shelf, is_full, missing_input
from sfqa.generation.registry import Method
from sfqa.identity import digest
from sfqa.tables import flaw

log = logging.getLogger("sfqa")

Sample = dict[str, Any]
#: Is given each row when it is final, with the seconds that it took.
Tell = Callable[[dict[str, Any], float], None]

#: What a log says of failures that have a cause outside the generator, and their words.
_CAUSES = {"No space left on device": "disk_full", "CUDA out of memory": "out_of_memory"}


class NotPreparedError(Exception):
    """An adapter cannot write the files or the arguments of a run."""


@dataclass(frozen=True)
class Installation:
    """Where a generator lies: its repository, its interpreter, its weights (relative)."""

    repo: Path
    python: Path
    weights: str


@dataclass(frozen=True)
class Failure:
    """Why a try gave no video, and whether another try might."""

    reason: str
    final: bool = False


def installation(method: Method, generators: Path) -> Installation:
    """Return where a method's generator is installed; raise :class:`UserError` for what is missing.

    It lies in ``{generators}/{label}``: ``repo`` with the weights in it, and ``env``.
    """
    assert method.source is not None
    home = generators.absolute() / method.label
    found = Installation(
        home / "repo", home / "env" / "bin" / "python", method.source.weights.folder
    )
    for what, path, there in (
        ("repository", found.repo, found.repo.is_dir()),
        ("environment", found.python, os.access(found.python, os.X_OK)),
        ("weights folder", found.repo / found.weights, (found.repo / found.weights).is_dir()),
    ):
        if not there:
            raise UserError(
                f"method {method.label}: its {what} is missing, there is no {path}; run "
                "`snakemake fetch_generators` or fill the folder by hand (docs/generation.md)"
            )
    return found


def make_videos(
    samples: list[Sample], method: Method, shelf: Shelf, tell: Tell, patience: process.Patience
) -> None:
    """Make the videos of samples, one process at a time, and tell each row when it is final.

    Raises :class:`UserError` where the generator is not installed or there is no GPU.
    """
    if not samples:
        return
    found = installation(method, shelf.settings.generators)
    with _held_device(method, shelf.settings) as name, process.terminable():
        engine = _Engine(method, shelf, tell, patience, found, name)
        batch = max(1, engine.generator.batch)
        for start in range(0, len(samples), batch):
            engine.make(samples[start : start + batch])


@contextlib.contextmanager
def _held_device(method: Method, settings: Settings) -> Iterator[str | None]:
    names = device.visible_devices()
    if names:
        log.info("%s: takes one of the GPUs %s, when it is free", method.label, ", ".join(names))
        with device.lease_device(names) as name:
            yield name
        return
    if settings.require_gpu:
        raise UserError(
            f"method {method.label}: it needs a GPU and none is visible; run it where there is "
            "one (nvidia-smi -L lists it, or CUDA_VISIBLE_DEVICES names it), or set "
            "generation.require_gpu to false"
        )
    yield None


class _Engine:
    """One shard of one method, on one device."""

    def __init__(
        self,
        method: Method,
        shelf: Shelf,
        tell: Tell,
        patience: process.Patience,
        found: Installation,
        device_name: str | None,
    ) -> None:
        module = cast(adapters.Driver, adapters.load(method.adapter))
        self.generator: Generator = module.GENERATOR
        self.options: dict[str, OptionValue] = filled(method.options, module.OPTIONS)
        self.method, self.shelf, self.tell, self.patience = method, shelf, tell, patience
        self.found, self.device = found, device_name
        self.spent: dict[str, float] = {}
        self.full = ""

    def make(self, samples: list[Sample]) -> None:
        """Make a batch, then try again what failed, one by one."""
        ready = []
        for sample in samples:
            reason = missing_input(sample)
            if reason:
                self._tell_failed(sample, reason)
            else:
                ready.append(sample)
        failures = self._try(ready, 1) if ready else {}
        attempts = self.shelf.settings.attempts
        for sample in ready:
            failure = failures.get(sample["sample_id"])
            attempt = 2
            while failure and not failure.final and attempt <= attempts:
                failure = self._try([sample], attempt).get(sample["sample_id"])
                attempt += 1
            if failure:
                self._tell_failed(sample, failure.reason)
            elif attempts > 1 or not failures:
                staging.remove(self.shelf.work(sample["sample_id"]))

    def _tell_failed(self, sample: Sample, reason: str) -> None:
        self.tell(self.shelf.failed(sample, reason), self.spent.get(sample["sample_id"], 0.0))

    def _try(self, samples: list[Sample], attempt: int) -> dict[str, Failure]:
        """Run the generator once; tell the rows of what is made, return the rest by sample id."""
        names = [sample["sample_id"] for sample in samples]
        if self.full:
            reason = flaw("disk_full", f"it was not tried, since the disk is full: {self.full}")
            return dict.fromkeys(names, Failure(reason, final=True))
        # A killed run leaves its work behind, a failed one too, for its files to be looked at.
        work = self.shelf.work(names[0])
        failures = dict.fromkeys(names, Failure(""))
        started = time.monotonic()
        try:
            with staging.place(work, self.found.repo, self.generator.private) as place:
                made, failures = self._try_in(place, samples, attempt)
                seconds = (time.monotonic() - started) / len(samples)
                for name in names:
                    self.spent[name] = self.spent.get(name, 0.0) + seconds
                # Until they are moved and recorded, they may still fail.
                failures |= {sample["sample_id"]: Failure("") for sample, _, _ in made}
                for sample, path, found in made:
                    row = self.shelf.accept(sample, path, found)
                    del failures[sample["sample_id"]]
                    self.tell(row, self.spent[sample["sample_id"]])
        except UserError:
            raise
        except NotPreparedError as error:
            if len(samples) > 1:  # one of them spoils the list, and nothing has been run
                return {k: f for one in samples for k, f in self._try([one], attempt).items()}
            return {names[0]: Failure(flaw("not_prepared", str(error)), final=True)}
        except Exception as error:
            log.debug("%s: generation failed", names[0], exc_info=True)
            failure = self._own_failure(error)
            if self.full:
                staging.remove(work)
            failures = {name: f if f.reason else failure for name, f in failures.items()}
        return failures

    def _own_failure(self, error: Exception) -> Failure:
        """What an error on our side means for the items that it met."""
        if is_full(error):
            self.full = str(error)
            return Failure(flaw("disk_full", str(error)), final=True)
        return Failure(flaw("generation_failed", _told(error)))

    def _try_in(
        self, place: staging.Place, samples: list[Sample], attempt: int
    ) -> tuple[list[tuple[Sample, Path, str]], dict[str, Failure]]:
        """What was made (sample, file, flaw), and what was not."""
        staged: list[tuple[Sample, Item]] = []
        failures: dict[str, Failure] = {}
        for sample in samples:
            item = self._staged(place, sample)
            if isinstance(item, Item):
                staged.append((sample, item))
            else:
                failures[sample["sample_id"]] = item
        if not staged:
            return [], failures
        run = Run(
            items=tuple(item for _, item in staged),
            cwd=place.cwd,
            checkpoints=place.cwd / self.found.weights,
            work=place.work,
            python=self.found.python,
            seed=self.shelf.settings.seed,
            options=self.options,
        )
        outcome = self._run(place, run, attempt)
        made = []
        for sample, item in staged:
            path, text = outcome.judged(self.generator, item)
            if path is None:
                failures[item.sample_id] = Failure(text)
            else:
                made.append((sample, path, text))
        return made, failures

    def _staged(self, place: staging.Place, sample: Sample) -> Item | Failure:
        stem = digest(sample["sample_id"])[:12]
        image = place.inputs / f"i{stem}{self.generator.image_suffix}"
        audio = place.inputs / f"a{stem}.wav"
        kind = "image"
        try:
            staging.stage_image(Path(sample["image_path"]), image)
            kind = "clip"
            seconds = staging.stage_sound(
                Path(sample["clip_path"]), audio, self.generator.staged_sec
            )
        except media.MediaError as error:
            if is_full(error):
                raise
            return Failure(flaw(f"bad_{kind}", str(error)), final=True)
        return Item(
            sample_id=sample["sample_id"],
            image=image,
            audio=audio,
            seconds=seconds,
            prompt=sample.get("prompt") or "",
            output=place.outputs / f"v{stem}.mp4",
        )

    def _run(self, place: staging.Place, run: Run, attempt: int) -> _Outcome:
        try:
            self.generator.prepare(run)
            argv = self.generator.command(run)
            extra = self.generator.environment(run)
        except Exception as error:
            if is_full(error):
                raise
            raise NotPreparedError(_told(error)) from error
        env = process.environment(run.python, place.tools, place.temporary, self.device, extra)
        first, more = run.items[0].sample_id, len(run.items) - 1
        said = self.shelf.folder / "logs" / (f"{first}+{more}.log" if more else f"{first}.log")
        said.parent.mkdir(parents=True, exist_ok=True)
        with open(said, "a", encoding="utf-8") as out:
            out.write(f"== attempt {attempt}: {shlex.join(argv)}\n")
        start = said.stat().st_size
        # The file system's own clock: that of a server may differ from ours.
        mark = place.root / "started"
        mark.touch()
        since = mark.stat().st_mtime_ns

        def results() -> object:
            newest = [_newest(self.generator, run, item, since) for item in run.items]
            return None if None in newest else tuple(newest)

        limit_sec = 60.0 * self.method.minutes * len(run.items)
        ended = process.run(argv, run.cwd, env, said, limit_sec, results, self.patience)
        return _Outcome(run, ended, said, start, since, limit_sec)


@dataclass(frozen=True)
class _Outcome:
    """How a run ended, and where its log starts."""

    run: Run
    ended: process.Ended
    log: Path
    start: int
    since: int
    limit_sec: float

    def judged(self, generator: Generator, item: Item) -> tuple[Path | None, str]:
        """The item's checked file and its flaw or ''; or None and the reason."""
        found = _newest(generator, self.run, item, self.since)
        bad_end = self._bad_end()
        # A list of pairs stops at one of them; what was made before is as good as ever.
        if bad_end and (len(self.run.items) == 1 or found is None):
            return None, self._reason(bad_end)
        if found is None:
            return None, self._reason(flaw("no_output", f"{self.ended.sentence}, without a result"))
        try:
            path, text = generator.finish(self.run, item, found[0])
        except media.MediaError as error:
            if is_full(error):
                raise
            return None, self._reason(bad_end or flaw("broken", told(error)))
        expected = generator.expected_sec(item.seconds, self.run.options)
        reason = problem(path, expected_sec=expected, moving=True)
        return (None, self._reason(bad_end or reason)) if reason else (path, text)

    def _bad_end(self) -> str:
        if self.ended.timed_out:
            minutes = self.limit_sec / 60
            return flaw("timed_out", f"it was stopped after {minutes:g} minutes, its time limit")
        return flaw("exit_code", self.ended.sentence) if self.ended.code else ""

    def _reason(self, reason: str) -> str:
        """A reason with the end of the log, under a word for its cause where the log tells one."""
        word, _, sentence = reason.partition(": ")
        text = process.whole_tail(self.log, self.start)
        word = next((cause for sign, cause in _CAUSES.items() if sign in text), word)
        end = process.tail(self.log, self.start)
        said = f"the log ends with: {end}" if end else "the log is empty"
        return flaw(word, staging.plain(f"{sentence}, {said} (logs/{self.log.name})"))


def _told(error: Exception) -> str:
    text = str(error) if isinstance(error, UserError) else f"{type(error).__name__}: {error}"
    return staging.plain(text[:500])


def _newest(generator: Generator, run: Run, item: Item, since: int) -> tuple[Path, int, int] | None:
    """The newest candidate since the start, its size and time."""
    found = []
    for path in generator.candidates(run, item):
        with contextlib.suppress(OSError):  # it is not there, or just renamed
            facts = path.stat()
            if path.is_file() and facts.st_mtime_ns >= since:
                found.append((facts.st_mtime_ns, str(path), facts.st_size))
    if not found:
        return None
    time_ns, name, size = max(found)
    return Path(name), size, time_ns
