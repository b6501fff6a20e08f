"""Lazy stacks, tasks, and the plan they are built from."""
