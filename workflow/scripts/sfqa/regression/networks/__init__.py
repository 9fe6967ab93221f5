"""Networks of the heads that are trained many at once: plain modules, fit for ``torch.func.vmap``.

None has batch normalisation, and none uses a fused kernel without a batching rule.
Input: a mapping from a role to a float32 tensor (rows, steps, width) or (rows, width).
Output: (rows, dims).
"""
