"""Products: their names, what they say of themselves, and how they are written."""
