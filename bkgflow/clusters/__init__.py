"""Where a run computes: one family of clusters, one file each."""
