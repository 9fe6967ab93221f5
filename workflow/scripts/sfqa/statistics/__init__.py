"""The statistics of agreement between scores and MOS: a registry, and how each is computed."""
