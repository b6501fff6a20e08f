"""Which reference files an exposure needs, and what is in them."""
