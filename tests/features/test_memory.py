"""Memory that a thread frees is there for the next one."""

import subprocess
import sys

import pytest

ROUNDS = """
import resource, sys, threading
import numpy as np
from sfqa.features import memory

def rounds(count):
    def work():
        for _ in range(count):
            blocks = [np.ones(3_000_000, np.float32) for _ in range(8)]
            del blocks
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()

if sys.argv[1] == "keep":
    memory.keep_freed()
rounds(2)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
rounds(10)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def faults(way: str) -> int:
    done = subprocess.run(
        [sys.executable, "-c", ROUNDS, way],
        env={"PYTHONPATH": ":".join(sys.path)}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    return int(done.stdout)


@pytest.mark.skipif(sys.platform != "linux", reason="glibc's allocator is meant")
def test_pages_are_not_asked_for_again():
    kept = faults("keep")
    assert kept < 1000  # of 8 blocks of 12 MB, ten times: 234,375 pages of 4 KiB
    assert kept < faults("usual") / 2
