"""What can be asked of a campaign, and what can be mended."""
