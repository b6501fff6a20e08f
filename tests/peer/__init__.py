"""The peer's own tests, run against bkgflow."""
