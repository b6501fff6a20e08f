"""Files and data models to arrays, and back."""
