"""exits.py CODE COMMAND...: runs the command and passes when it exits with exactly this code."""

import subprocess
import sys

expected = int(sys.argv[1])
actual = subprocess.run(sys.argv[2:], check=False).returncode
if actual != expected:
    sys.exit(f"exits.py: expected exit code {expected}, but got {actual}: {' '.join(sys.argv[2:])}")
