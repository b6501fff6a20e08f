"""Programs as people keep them: which associations there are, and where their members lie."""
