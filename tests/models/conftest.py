"""Fixtures of the tests of weights and quality models."""

from loopback_server import server as server
