"""Networks of the heads: plain modules that ``torch.func.vmap`` can train as one batch.

None has batch normalisation, and none uses a fused kernel without a batching rule.
Input: a mapping from a role to a float32 tensor (rows, steps, width) or (rows, width).
Output: (rows, dims).
"""
