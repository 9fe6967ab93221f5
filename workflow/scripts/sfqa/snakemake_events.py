"""Follow a run of Snakemake by its log events: print the time left, and what came of it at the end.

The events and their attributes are those that Snakemake's logger plugins receive.
"""

from __future__ import annotations

import atexit
import logging
import sys
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

from sfqa.results_lock import ResultsLock
from sfqa.run_progress import RunTimes, format_time_left

#: Seconds between two estimates, and seconds without any after which the timer prints one.
_ESTIMATE_SEC, _SILENCE_SEC = 10.0, 60.0
#: The target rule of a whole run.
_ALL = "all"


class RunFollower(logging.Handler):
    """A log handler that follows the jobs of one run of the dataset in ``results``.

    ``workflow`` is the object of that name in a Snakefile. :meth:`lock_results` and :meth:`start`
    belong into ``onstart``, :meth:`report_success` into ``onsuccess`` and :meth:`report_failure`
    into ``onerror``.
    """

    def __init__(self, workflow: Any, results: Path) -> None:
        super().__init__()
        self.workflow, self.results = workflow, Path(results)
        self.times = RunTimes()
        self.started_rules: set[str] = set()
        #: Rule and log files of each job that failed.
        self.failed_jobs: dict[int, tuple[str, tuple[str, ...]]] = {}
        self._finished_jobs: set[int] = set()
        self._last_counted = self._last_printed = float("-inf")
        self._ended = threading.Event()
        self._lock = ResultsLock(self.results)

    def emit(self, record: logging.LogRecord) -> None:
        """Take note of one event; an event of an unknown form is ignored."""
        try:
            self._take_note(record)
        except Exception:
            logging.getLogger("sfqa").debug("an event of Snakemake was not read", exc_info=True)

    def _take_note(self, record: Any) -> None:
        event = str(getattr(record, "event", None) or "")
        if event == "job_info":
            if time.monotonic() - self._last_counted > _ESTIMATE_SEC:
                self._count_waiting()
            self.started_rules.add(record.rule_name)
            self.failed_jobs.pop(record.jobid, None)  # another attempt
            # All jobs are of one dataset.
            values = [str(v) for k, v in record.wildcards.items() if k != "dataset"]
            name = " ".join([record.rule_name, *values])
            self.times.start_job(record.jobid, record.rule_name, name, record.log)
        elif event == "job_finished":
            self.times.finish_job(record.job_id)
            self._finished_jobs.add(record.job_id)
        elif event == "job_error":
            self.times.finish_job(record.jobid, succeeded=False)
            self.failed_jobs[record.jobid] = (record.rule_name, tuple(record.log))
        elif event == "progress" and record.done < record.total and self._is_due():
            self._count_waiting()
            self.print_time_left()

    def _is_due(self) -> bool:
        return time.monotonic() - self._last_printed > _ESTIMATE_SEC

    def _count_waiting(self) -> None:
        """Count the jobs that have not started; called where Snakemake changes no job meanwhile."""
        self._last_counted = time.monotonic()
        dag = self.workflow.dag
        started = {*self.times.running, *self._finished_jobs}
        jobs = [job for job in dag.needrun_jobs() if dag.jobid(job) not in started]
        self.times.count_waiting(Counter(job.rule.name for job in jobs))

    def print_time_left(self) -> None:
        """Log the time left, if any job has finished, and how far the running jobs are."""
        left = self.times.estimate()
        running = self.times.describe_running()
        if left is None and not running:
            return
        self._last_printed = time.monotonic()
        lines = [] if left is None else [format_time_left(left, self._has_checkpoint())]
        lines += [f"Running: {running}"] if running else []
        log_text("\n".join(lines), quiet_with="progress")

    def _has_checkpoint(self) -> bool:
        """Return whether a checkpoint of this run has not finished, after which jobs are added."""
        dag = self.workflow.dag
        return any(not dag.finished(job) for job in list(getattr(dag, "checkpoint_jobs", ())))

    def _print_regularly(self) -> None:
        while not self._ended.wait(_SILENCE_SEC / 4):
            if time.monotonic() - self._last_printed > _SILENCE_SEC:
                try:
                    self.print_time_left()
                except RuntimeError:  # Snakemake changed its jobs meanwhile
                    continue

    def lock_results(self) -> None:
        """Refuse this run if another one works on the results; call it before anything else.

        Snakemake calls ``onstart`` in the process of the run only: not in its jobs, and not for a
        plan (``-n``). Raises :class:`UserError`.
        """
        self._lock.acquire()
        atexit.register(self._lock.release)

    def start(self) -> None:
        """Follow the run from here on, and print the time left once a minute if nothing else is."""
        from snakemake.logging import logger

        logger.addHandler(self)
        threading.Thread(target=self._print_regularly, daemon=True).start()

    def end(self) -> None:
        """Stop following the run."""
        from snakemake.logging import logger

        self._ended.set()
        self._lock.release()
        logger.removeHandler(self)

    def report_success(self) -> None:
        """Print where the results are and which rows are not ok."""
        from sfqa.run_summary import describe_success

        self.end()
        log_text(f"\n{describe_success(self.results, _ALL in self.started_rules)}\n")

    def report_failure(self) -> None:
        """Print what is kept and which rows are not ok; the errors are the last lines of the run.

        Snakemake prints lines of its own after ``onerror``, so the errors are printed as the
        process exits.
        """
        from sfqa.run_summary import FailedJob, describe_errors, describe_failure

        self.end()
        failed_jobs = [FailedJob(rule, logs) for rule, logs in self.failed_jobs.values()]
        log_text(f"\n{describe_failure(self.results, failed_jobs)}\n")
        if failed_jobs:
            text = describe_errors(failed_jobs)
            atexit.register(print, f"\n{text}", file=sys.stderr, flush=True)


def log_text(text: str, quiet_with: str | None = None) -> None:
    """Log text as Snakemake does; ``quiet_with``: the choice of --quiet that suppresses it."""
    from snakemake.logging import logger
    from snakemake.settings.enums import Quietness

    extra = {"quietness": Quietness.parse_choice(quiet_with)} if quiet_with else {}
    logger.info(text, extra=extra)
