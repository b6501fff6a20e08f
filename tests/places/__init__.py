"""One program, computed wherever bkgflow may compute."""
