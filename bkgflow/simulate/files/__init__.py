"""Files that only simulated programs need."""
