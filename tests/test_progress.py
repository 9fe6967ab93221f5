from __future__ import annotations

import io
import re

import pytest

from sfqa import progress
from sfqa.progress import Progress


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def clock(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    return now


def test_rate_and_time_left_are_of_what_is_computed(clock, caplog):
    shown = Progress("lse", 7, 5, terminal=io.StringIO())
    with caplog.at_level("INFO", "sfqa"):
        shown.report("a", "ok", computed=False)
        shown.report("b", "failed broken: x", computed=False, failed=True)
        for name in ("c", "d"):
            clock[0] += 15
            shown.report(name, "ok")
    lines = [r.getMessage() for r in caplog.records]
    assert lines[0] == "lse 1 of 7: a ok (0 failed)"
    assert lines[1] == "lse 2 of 7: b failed broken: x (1 failed)"
    assert lines[3] == "lse 4 of 7: d ok (4 videos/min, 0:45 left, 1 failed)"
    assert shown._terminal.getvalue() == ""


def test_a_terminal_sees_one_line_that_changes(clock):
    terminal = Terminal()
    with Progress("lse", 100, 100, terminal=terminal) as shown:
        for number in range(100):
            clock[0] += 0.05
            shown.report(str(number), "ok")
    said = terminal.getvalue()
    assert said.count("\n") == 1
    assert said.endswith("\n")
    states = re.findall(
        r"\rlse (\d+) of 100, 1.2e\+03 videos/min, 0:0\d left, 0 failed\x1b\[K", said
    )
    assert 20 <= len(states) <= 30
    assert states[-1] == "100"


def test_nothing_done_leaves_no_line():
    terminal = Terminal()
    with Progress("lse", 0, 0, terminal=terminal):
        pass
    assert terminal.getvalue() == ""


def test_looking_for_finished_items_is_not_counted_as_work(clock):
    lines = []
    with Progress("fake", 12, 12, "fits", lines.append, io.StringIO()) as shown:
        shown.skip(2)
        clock[0] += 1000
        shown.report("a", "kept", computed=False)
        shown.to_compute = 9
        for name in ("b", "c"):
            clock[0] += 600
            shown.report(name, "failed no_face: x", failed=name == "c")
    assert lines == [
        "fake 3 of 12: a kept (0 failed)",
        "fake 4 of 12: b failed no_face: x (0.1 fits/min, 1:20:00 left, 0 failed)",
        "fake 5 of 12: c failed no_face: x (0.1 fits/min, 1:10:00 left, 1 failed)",
    ]
