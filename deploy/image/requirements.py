"""Print what bkgflow needs, with the extras that are named, as pyproject.toml has it."""

import sys
import tomllib
from pathlib import Path

project = tomllib.loads(Path("pyproject.toml").read_text(encoding="utf-8"))["project"]
extras = project["optional-dependencies"]
if unknown := set(sys.argv[1:]) - set(extras):
    sys.exit(f"Not among the extras of pyproject.toml: {', '.join(sorted(unknown))}")
for line in sum((extras[name] for name in sys.argv[1:]), project["dependencies"]):
    print(line)
