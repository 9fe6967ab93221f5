"""Raw ratings, imported or simulated, to mean opinion scores."""
