"""The result tables of published papers: their figures, their layout, and ours beside them."""
