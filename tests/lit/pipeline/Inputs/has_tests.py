"""has_tests.py FOLDER: passes when each line of standard input, the name of a pass, has a test of that name in FOLDER."""

import pathlib
import sys

folder = pathlib.Path(sys.argv[1])
names = sys.stdin.read().split()
missing = [name for name in names if not any((folder / (name + suffix)).exists() for suffix in (".dv", ".test"))]
if missing or not names:
    sys.exit(f"has_tests.py: of {len(names)} passes, these have no test in {folder}: {', '.join(missing)}")
