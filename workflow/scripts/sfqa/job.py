"""What every script does around its work: a log file, a sentence for errors the user can mend."""

from __future__ import annotations

import logging
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sfqa.errors import UserError


@contextmanager
def job(log_file: str | Path, level: int = logging.INFO) -> Iterator[logging.Logger]:
    """Log to a file and to the terminal while the block runs.

    A :class:`UserError` ends the process with status 1 and its sentence; any other error is
    logged with its traceback and raised.

    >>> import tempfile; path = Path(tempfile.mkdtemp()) / "job.log"
    >>> with job(path) as log: log.info("2 of 4 videos")
    >>> path.read_text().split(" ", 2)[2]
    '2 of 4 videos\\n'
    """
    path = Path(log_file)
    path.parent.mkdir(parents=True, exist_ok=True)
    logger = logging.getLogger("sfqa")
    logger.setLevel(level)
    logger.propagate = False  # libraries put handlers of their own on the root logger
    to_file = logging.FileHandler(path, mode="w", encoding="utf-8")
    to_file.setFormatter(logging.Formatter("%(asctime)s %(message)s", "%Y-%m-%d %H:%M:%S"))
    to_terminal = logging.StreamHandler(sys.stderr)
    to_terminal.setLevel(logging.WARNING)
    to_terminal.setFormatter(logging.Formatter("%(message)s"))
    handlers = (to_file, to_terminal)
    for handler in handlers:
        logger.addHandler(handler)
    try:
        yield logger
    except UserError as error:
        logger.error("Error: %s", error)
        raise SystemExit(1) from None
    except Exception:
        logger.error("%s", traceback.format_exc())
        raise
    finally:
        for handler in handlers:
            logger.removeHandler(handler)
            handler.close()
