"""Backbones that are trained from cached views; docs/fine_tuning.md explains them."""
