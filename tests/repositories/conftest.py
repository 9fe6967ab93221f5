"""A server on loopback, from which files and repositories are fetched."""

from loopback_server import server as server
