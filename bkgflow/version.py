"""The version. It is part of every key: another version may compute other numbers."""

__all__ = ["VERSION"]

VERSION = "0.1.0"
