"""Splits, design matrices, heads and controls: from features and MOS to predictions."""
