"""The size of a network's passes, which is halved if a pass does not fit in memory."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from sfqa import gpu_memory, store
from sfqa.errors import UserError, is_out_of_memory
from sfqa.untrusted.documents import read_json

log = logging.getLogger("sfqa")


@dataclass
class PassReduction:
    """How often the passes of a job were halved; shared by all networks of an extractor.

    ``on_change`` is called after every halving, and before the error if one part does not fit.
    """

    halvings: int = 0
    on_change: Callable[[PassReduction], None] = lambda reduction: None
    #: Whether not even one part fits in a GPU that no other process uses.
    is_hopeless: bool = False
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def get_size(self, size: int) -> int:
        """Return the parts of a pass that would hold ``size`` parts without any halving.

        >>> PassReduction(halvings=2).get_size(16), PassReduction(halvings=9).get_size(16)
        (4, 1)
        """
        return max(1, size >> self.halvings)

    def halve(self, size: int, failed_size: int, error: BaseException) -> None:
        """Halve the passes after one of ``failed_size`` parts did not fit.

        Another thread may have done so already. Raises :class:`UserError` if one part is too much.
        """
        with self._lock:
            if failed_size == 1:
                self.is_hopeless = _is_on_gpu() and gpu_memory.has_gpu_to_itself()
                self.on_change(self)
                raise UserError(_describe_hopeless(error)) from error
            if self.get_size(size) < failed_size:
                return
            while self.get_size(size) >= failed_size:
                self.halvings += 1
            log.warning(
                "A pass of %d does not fit in memory (%s); from now on a pass has %d",
                failed_size, _describe_memory(), self.get_size(size),
            )  # fmt: skip
            self.on_change(self)


@dataclass(frozen=True)
class PassNote:
    """A file that keeps the halvings of a shard, so that the next attempt starts with them.

    Without it, the rows of two attempts would come from passes of different sizes, and a job that
    cannot fit would read all its videos in every attempt. A note for another ``identity`` of the
    rows, or of another GPU, is ignored.
    """

    path: Path
    identity: str

    def restore(self, reduction: PassReduction) -> None:
        """Take over the halvings of an earlier attempt and keep the note up to date.

        Raises :class:`UserError` if the earlier attempt found that one part does not fit.
        """
        try:
            note = read_json(self.path)
            is_same = (note["identity"], note["device"]) == (self.identity, _name_device())
            halvings, is_hopeless = int(note["halvings"]), note["is_hopeless"] is True
        except (OSError, ValueError, KeyError, TypeError):
            is_same = False  # no note, or a damaged one: start with the full size
        if is_same and is_hopeless:
            raise UserError(f"{_describe_hopeless(None)}; an earlier attempt wrote {self.path}")
        if is_same:
            reduction.halvings = max(0, halvings)
        reduction.on_change = self._write

    def _write(self, reduction: PassReduction) -> None:
        note = {
            "identity": self.identity,
            "device": _name_device(),
            "halvings": reduction.halvings,
            "is_hopeless": reduction.is_hopeless,
        }
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with store.replacing(self.path) as temporary:
            temporary.write_text(json.dumps(note) + "\n", encoding="utf-8")


def run_in_passes(
    size: int,
    is_filled: bool,
    reduction: PassReduction,
    count: int,
    run_pass: Callable[[int, int, int], None],
) -> None:
    """Call ``run_pass(start, stop, pass_size)`` for consecutive parts 0 to ``count``.

    It computes the parts from ``start`` to ``stop``; if ``is_filled``, it repeats one until there
    are ``pass_size``. A pass that runs out of memory is repeated in halves.
    """
    start = 0
    while start < count:
        pass_size = reduction.get_size(size)
        stop = min(count, start + pass_size)
        failure: Exception | None = None
        try:
            run_pass(start, stop, pass_size)
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            failure = error.with_traceback(None)  # its frames hold the tensors of the pass
        if failure is None:
            start = stop
            continue
        reduction.halve(size, pass_size if is_filled else stop - start, failure)
        _free_cached_memory()


def _is_on_gpu() -> bool:
    import torch

    return bool(torch.cuda.is_initialized())


def _free_cached_memory() -> None:
    if _is_on_gpu():
        import torch

        torch.cuda.empty_cache()


def _describe_memory() -> str:
    return gpu_memory.describe_gpu() if _is_on_gpu() else "the machine's"


def _name_device() -> str:
    return gpu_memory.name_gpu() if _is_on_gpu() else "cpu"


def _describe_hopeless(error: BaseException | None) -> str:
    reason = f"; {str(error).strip()[:150]}" if error else ""
    remedy = "give the job more (mem_mb), or run fewer jobs at a time"
    if _is_on_gpu():
        remedy = "use a GPU with more, let fewer jobs share it, or set gpu: 0 for this rule"
    return (
        f"one item does not fit in memory ({_describe_memory()}{reason}); {remedy} (docs/gpus.md)"
    )
