"""What a run hands over beside its tables: rejects and the catalog."""
