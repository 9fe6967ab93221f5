"""Run the program of a quality model: stage, call, read its results, and say why one is missing."""

from __future__ import annotations

import contextlib
import errno
import logging
import shlex
import time
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from sfqa.errors import UnusableError, UserError, format_count
from sfqa.features.base import Video
from sfqa.features.command_calls import (
    CommandAdapter,
    CommandItem,
    CommandRun,
    Result,
    check_result,
)
from sfqa.features.weights import Program
from sfqa.identity import digest
from sfqa.repositories import process
from sfqa.repositories.installation import find_installation
from sfqa.repositories.workspace import (
    Workspace,
    open_workspace,
    remove_aliases,
    remove_workspace,
)
from sfqa.tables import flaw
from sfqa.workers import LostTaskError

log = logging.getLogger("sfqa")

Row = dict[str, Any] | UnusableError

#: Messages in a log that name a cause outside the program, and the words of their rows.
_CAUSES = {
    "No space left on device": "disk_full",
    "CUDA out of memory": "out_of_memory",
    "OutOfMemoryError": "out_of_memory",
    "DefaultCPUAllocator: can't allocate memory": "out_of_memory",
}
#: How often the results of a running program are read, in seconds.
_READ_EVERY_SEC = 0.5
#: Processes in a row that may end without any result before the other videos are not tried.
_MOST_FAILURES = 5


class CommandRunner:
    """Runs the program of one extractor for the videos of one job.

    Raises :class:`UserError` if a part of the installation is missing.
    """

    def __init__(self, adapter: CommandAdapter, program: Program) -> None:
        self.adapter, self.program = adapter, program
        self.installation = find_installation(
            f"model {program.model}",
            program.home.absolute(),
            program.weights,
            "run snakemake fetch_models, or fill the folder by hand (docs/adding_a_model.md)",
        )
        self.log = program.work / "program.log"
        self.failures = 0  # processes without any result, since the last result
        self.stopped = ""  # why no other video is tried

    def score(self, videos: Sequence[Video]) -> Iterator[Row]:
        """Yield the row of each video, in order, as soon as it is there.

        A process that dies has failed at the first video without a result; the program is called
        again for the others.
        """
        rows: dict[int, Row] = {}
        position = 0
        while position < len(videos):
            missing = {n: videos[n] for n in range(position, len(videos)) if n not in rows}
            if self.stopped:
                rows |= self._fail(missing, self.stopped)
            for new_rows in [{}] if self.stopped else self._run(missing):
                rows |= new_rows
                while position in rows:
                    yield rows.pop(position)
                    position += 1

    def _run(self, videos: Mapping[int, Video]) -> Iterator[dict[int, Row]]:
        """Run one process and yield new rows by the number of the video, one of them at least."""
        missing = dict(videos)
        work = self.program.work / "run"
        try:
            with open_workspace(work, self.installation.repo, self.adapter.private) as workspace:
                items = {number: _stage_video(workspace, videos[number]) for number in videos}
                call = self._prepare(workspace, tuple(items.values()))
                numbers = {item.name: number for number, item in items.items()}
                results: Mapping[str, Result] = {}
                accepted: dict[str, str] = {}
                for results in self._iterate_results(call):
                    new_rows = {
                        numbers[name]: self._check(call.run, result)
                        for name, result in results.items()
                        if numbers.get(name) in missing
                    }
                    accepted |= {
                        name: missing[number].sample_id
                        for name, number in numbers.items()
                        if number in new_rows and not isinstance(new_rows[number], LostTaskError)
                    }
                    missing = {n: v for n, v in missing.items() if n not in new_rows}
                    yield new_rows
                self._warn_of_second_results(results, accepted)
                self.failures = 0 if len(missing) < len(videos) else self.failures + 1
                if missing:
                    yield self._explain_missing(call, missing, set(results) - set(numbers))
            if not missing:
                remove_workspace(work)
        except UserError:
            raise
        except _NotPreparedError as error:
            if len(videos) > 1:  # one of them spoils the list, and nothing has been run
                for number, video in videos.items():
                    yield from self._run({number: video})
            else:
                yield self._fail(missing, flaw("not_prepared", str(error)))
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise
            self.stopped = flaw("disk_full", str(error))
            yield self._fail(missing, self.stopped)

    def _prepare(self, workspace: Workspace, items: tuple[CommandItem, ...]) -> _Call:
        """Return the call of the program for staged videos, with its files written."""
        self.log.parent.mkdir(parents=True, exist_ok=True)
        self.log.touch()
        process.trim_log(self.log)
        adapter = self.adapter
        run = CommandRun(
            items=items,
            cwd=workspace.cwd,
            checkpoints=workspace.cwd / self.installation.weights,
            work=workspace.work,
            inputs=workspace.inputs,
            python=self.installation.python,
            options=adapter.options,
            device=adapter.device,
            log=self.log,
            log_start=self.log.stat().st_size,
        )
        try:
            adapter.prepare(run)
            argv = adapter.build_command(run)
            # Without a GPU of its own the program must not take that of another job.
            variables = {} if adapter.device != "cpu" else {"CUDA_VISIBLE_DEVICES": ""}
            variables |= adapter.build_environment(run)
        except OSError:
            raise
        except Exception as error:
            raise _NotPreparedError(_describe_error(error)) from error
        env = process.make_environment(
            run.python, workspace.tools, workspace.temporary, None, variables,
            self.program.pass_environment,
        )  # fmt: skip
        with open(self.log, "a", encoding="utf-8") as log_file:
            log_file.write(f"== {format_count(len(items), 'video')}: {shlex.join(argv)}\n")
        run = replace(run, log_start=self.log.stat().st_size)
        return _Call(run, argv, env, 60.0 * self.program.minutes)

    def _iterate_results(self, call: _Call) -> Iterator[Mapping[str, Result]]:
        """Run the call; yield its results, while it runs if it streams, and at its end."""
        adapter, run = self.adapter, call.run
        started = progressed = read_at = time.monotonic()
        count = 0

        def get_deadline() -> float:
            if adapter.streams:
                return progressed + call.limit_sec
            return started + call.limit_sec * len(run.items)

        def list_results() -> object:
            try:
                results = adapter.read_results(run)
            except Exception:  # half written
                return None
            return sorted(results) if len(results) >= len(run.items) else None

        steps = process.watch_command(
            call.argv, run.cwd, call.env, run.log, get_deadline, list_results, adapter.timeouts
        )
        with contextlib.closing(steps):
            while True:
                try:
                    next(steps)
                except StopIteration as stop:
                    call.ended = stop.value
                    break
                if adapter.streams and time.monotonic() - read_at >= _READ_EVERY_SEC:
                    read_at = time.monotonic()
                    with contextlib.suppress(Exception):  # half written
                        results = adapter.read_results(run)
                        if len(results) > count:
                            count, progressed = len(results), time.monotonic()
                            # The newest video may still get a second result, which is a fault.
                            yield dict(list(results.items())[:-1])
        try:
            yield adapter.read_results(run)
        except UserError:
            raise
        except Exception as error:
            call.unreadable = flaw("bad_result", f"its result cannot be read ({error})"[:300])

    def _check(self, run: CommandRun, result: Result) -> Row:
        """Return the row of a result, an error if the result has a fault."""
        if isinstance(result, UnusableError):
            return result
        fault = check_result(result, self.adapter.FEATURES, self.adapter.optional)
        return LostTaskError(self._add_log(run, fault)) if fault else dict(result)

    def _warn_of_second_results(
        self, results: Mapping[str, Result], accepted: Mapping[str, str]
    ) -> None:
        """Log videos, by the name of their item, that got another result after their row."""
        for name, sample_id in accepted.items():
            if isinstance(results.get(name), LostTaskError):
                log.warning(
                    "%s: %s got a second result after its row was kept, and the first counts",
                    self.program.model, sample_id,
                )  # fmt: skip

    def _explain_missing(
        self, call: _Call, missing: Mapping[int, Video], strangers: Collection[str]
    ) -> dict[int, Row]:
        """Return failed rows: of all missing videos after a good end, else of the first one."""
        ended = call.ended
        if ended.timed_out:
            minutes = format_count(call.limit_sec / 60, "minute")
            of_what = "after its last result" if self.adapter.streams else "for each video"
            reason = flaw("timed_out", f"it was stopped: {minutes} {of_what}, its limit")
        elif ended.code:
            reason = flaw("exit_code", ended.describe())
        elif call.unreadable:
            reason = call.unreadable
        elif strangers:
            example = sorted(strangers)[0][:80]
            reason = flaw("other_video", f"its result is of {example!r}, which is not its video")
        else:
            reason = flaw("no_output", f"{ended.describe()}, without a result")
        reason = self._add_log(call.run, reason)
        log.warning("%s: %s", self.program.model, reason)
        if reason.startswith("disk_full: "):
            self.stopped = reason
        elif self.failures >= _MOST_FAILURES:
            word, _, sentence = reason.partition(": ")
            self.stopped = flaw(word, f"not tried after {self.failures} failures: {sentence}")
        is_one = ended.timed_out or ended.code != 0
        return self._fail([next(iter(missing))] if is_one else missing, reason)

    def _fail(self, numbers: Iterable[int], reason: str) -> dict[int, Row]:
        return {number: LostTaskError(reason) for number in numbers}

    def _add_log(self, run: CommandRun, reason: str) -> str:
        """Return a reason with the end of the log; its word is the cause if the log names one."""
        word, _, sentence = reason.partition(": ")
        text = run.read_output()
        word = next((cause for message, cause in _CAUSES.items() if message in text), word)
        last_lines = process.read_last_lines(run.log, run.log_start)
        ending = f"the log ends with: {last_lines}" if last_lines else "the log is empty"
        name = "/".join(run.log.parts[-4:])
        return flaw(word, remove_aliases(f"{sentence}, {ending} ({name})"))


class _NotPreparedError(Exception):
    """An adapter cannot write the files or the arguments of a run."""


@dataclass
class _Call:
    """A process of the program; ``unreadable`` says why its results cannot be read, or is ''."""

    run: CommandRun
    argv: list[str]
    env: dict[str, str]
    limit_sec: float
    ended: process.ProcessEnd = field(default_factory=lambda: process.ProcessEnd(0))
    unreadable: str = ""


def _stage_video(workspace: Workspace, video: Video) -> CommandItem:
    """Link the files of a video into a workspace, under names that hold letters and digits only."""
    stem = digest(video.sample_id)[:12]
    path = workspace.inputs / f"v{stem}{video.path.suffix}"
    path.symlink_to(video.path.absolute())
    audio = None
    if video.audio_path is not None:
        audio = workspace.inputs / f"v{stem}{video.audio_path.suffix}"
        audio.symlink_to(video.audio_path.absolute())
    return CommandItem(f"v{stem}", path, audio, video.prompt or "", video.fps, video.frames)


def _describe_error(error: Exception) -> str:
    text = str(error) if isinstance(error, UserError) else f"{type(error).__name__}: {error}"
    return remove_aliases(text[:500])
