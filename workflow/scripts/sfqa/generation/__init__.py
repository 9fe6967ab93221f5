"""Generation: pairs become videos, made by a method's adapter or brought by the user."""
