"""Exposures: their facts, and where their pixels come from."""
