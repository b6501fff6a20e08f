"""Damaged and hostile files: each ends in a product that is right or in an error that says why.

    python -m tests.fuzz --files 300 --associations 200 --seed 1

Every case is tried by a process of its own kind (`tests.fuzz.trial`), which is watched from
outside: no traceback, no hang, no memory beyond 2 GB, and no COMPLETE on a file whose damage
astropy or a checksum sees. `tests/fuzz/test_fuzz.py` tries a few of each.
"""
