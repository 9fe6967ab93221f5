"""Install generators: repository at a commit, weights with their digests, environment."""
