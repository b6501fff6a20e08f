"""Arrays in, arrays out: no dask, no files, no data models."""
