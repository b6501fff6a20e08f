"""Where files are, and how they appear."""
