"""Zarr's own words: how a product lies in a group of arrays."""
