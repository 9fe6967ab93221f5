"""The official weights files of quality models: where they are published, found and checked."""
