"""Waiting for what another process does."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable
from typing import Any


def wait_until(
    condition: Callable[[], Any],
    process: subprocess.Popen[Any] | None = None,
    *,
    seconds: float = 180.0,
    why: str | Callable[[], str] = "",
    every_sec: float = 0.02,
) -> Any:
    """Wait for a condition and return its value.

    Fails with ``why`` when the time is over, or before if the ``process`` has ended.
    """
    end = time.monotonic() + seconds
    while not (value := condition()):
        over = time.monotonic() > end or (process is not None and process.poll() is not None)
        assert not over, why() if callable(why) else f"never: {why}"
        time.sleep(every_sec)
    return value
