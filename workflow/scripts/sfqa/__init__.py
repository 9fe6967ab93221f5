"""Build and benchmark quality datasets of AI-generated singing and talking faces."""

__version__ = "0.1.0"
