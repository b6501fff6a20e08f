"""FITS: cards, HDUs, byte ranges, planes."""
