"""Networks of the heads: plain torch modules.

Input: a mapping from a role to a float32 tensor (rows, steps, width) or (rows, width).
Output: (rows, dims).
"""
