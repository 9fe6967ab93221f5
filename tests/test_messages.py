"""Values that are sent between processes arrive as they were."""

from __future__ import annotations

import numpy as np
import pytest

from sfqa.features import base
from sfqa.messages import make_socket_pair, receive_value, send_value


def test_values_of_any_size_cross_unchanged():
    ours, theirs = make_socket_pair()
    rng = np.random.default_rng(0)
    sent = {
        "text": "é" * 300_000,
        "odd": rng.integers(0, 256, 7, dtype=np.uint8),
        "large": rng.integers(0, 256, (40, 300, 300, 3), dtype=np.uint8),
        "floats": rng.random((3, 5)),
        "turned": rng.random((3, 5)).T,
        "empty": np.zeros((0, 4)),
        "error": base.UnusableError("broken: x"),
    }
    with ours, theirs:
        send_value(ours, sent)
        got = receive_value(theirs)
        ours.close()
        with pytest.raises(EOFError):
            receive_value(theirs)
    assert got["text"] == sent["text"]
    assert str(got["error"]) == "broken: x"
    for name in ("odd", "large", "floats", "turned", "empty"):
        assert np.array_equal(got[name], sent[name])
        assert got[name].flags.aligned
        assert got[name].flags.writeable
