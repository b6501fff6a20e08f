"""A plan run to its end, and everything that a run leaves behind."""
