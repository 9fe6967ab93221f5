"""Where a generator comes from, and how it gets there: repository, weights, environment."""
