"""Train one PyTorch network: the heads of :mod:`sfqa.regression`, and backbones.

:class:`~sfqa.training.trainer.Trainer` runs the loop. It knows nothing of MOS, trials or features:
it is given a network, a source of inputs by row, targets and a loss.
"""
