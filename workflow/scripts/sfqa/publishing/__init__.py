"""Publish a dataset: a folder that others can load, check and import again."""
