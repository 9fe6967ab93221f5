"""Videos to feature rows: extractors, their weights, the row cache, sharded Parquet."""
