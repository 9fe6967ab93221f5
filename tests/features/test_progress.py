from __future__ import annotations

import io
import re

import pytest

from sfqa.features import progress
from sfqa.features.progress import Progress


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def clock(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    return now


def test_rate_and_time_left_are_of_what_is_computed(clock, caplog):
    shown = Progress("lse", 7, 5, io.StringIO())
    with caplog.at_level("INFO", "sfqa"):
        shown.row("a", "ok", "", computed=False)
        shown.row("b", "failed", "broken: x", computed=False)
        for name in ("c", "d"):
            clock[0] += 15
            shown.row(name, "ok", "", computed=True)
    lines = [r.getMessage() for r in caplog.records]
    assert lines[0] == "lse 1 of 7: a ok (0 failed)"
    assert lines[1] == "lse 2 of 7: b failed broken: x (1 failed)"
    assert lines[3] == "lse 4 of 7: d ok (4 videos/min, 0:45 left, 1 failed)"
    assert shown.terminal.getvalue() == ""


def test_a_terminal_sees_one_line_that_changes(clock):
    terminal = Terminal()
    shown = Progress("lse", 100, 100, terminal)
    for number in range(100):
        clock[0] += 0.05
        shown.row(str(number), "ok", "", computed=True)
    shown.close()
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
    Progress("lse", 0, 0, terminal).close()
    assert terminal.getvalue() == ""
