"""Programs that are repositories of others: install them, and run them in private folders.

Generators and quality models of kind ``command`` are such programs: a repository at a commit,
weights with their digests, and an environment of their own.
"""
