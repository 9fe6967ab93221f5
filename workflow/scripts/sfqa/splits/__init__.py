"""How samples are divided into train, validation and test rows."""
