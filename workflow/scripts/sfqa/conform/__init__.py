"""Videos to one size, rate and audio form, probed and checked."""
