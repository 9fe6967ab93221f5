"""Which image is animated by which clip, and on which side of the split."""
