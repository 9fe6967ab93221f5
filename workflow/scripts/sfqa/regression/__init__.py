"""Design matrices, heads and controls: from features and MOS to predictions."""
