"""Seeded hostile model files, submissions, studies and weights: a sentence each, at little cost."""

from __future__ import annotations

from pathlib import Path

import pytest
from hostile_inputs import write_inputs
from outside_readings import read_files


def test_some_hostile_files_are_sentences(tmp_path: Path) -> None:
    for reading in read_files(write_inputs(tmp_path, range(25))):
        reading.check()


@pytest.mark.thorough
def test_a_thousand_hostile_files_are_sentences(tmp_path: Path) -> None:
    for reading in read_files(write_inputs(tmp_path, range(1000))):
        reading.check()
