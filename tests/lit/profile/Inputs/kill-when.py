"""kill-when.py FILE COMMAND...: kills the command, as a power cut would, as soon as FILE is there."""

import os
import subprocess
import sys
import time

process = subprocess.Popen(sys.argv[2:])
while not os.path.exists(sys.argv[1]):
    if process.poll() is not None:
        sys.exit(f"kill-when.py: the command ended with {process.returncode} before {sys.argv[1]} was there")
    time.sleep(0.01)
process.kill()
process.wait()
