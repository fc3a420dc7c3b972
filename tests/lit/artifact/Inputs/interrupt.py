"""interrupt.py SIGNAL ARTIFACT COMMAND...: sends the signal once the command has begun to write ARTIFACT.

Passes when the command ends by that signal and neither the artifact nor a temporary folder is left.
"""

import glob
import shutil
import signal
import subprocess
import sys
import time

number = getattr(signal, "SIG" + sys.argv[1])
artifact = sys.argv[2]
for path in glob.glob(artifact + "*"):
    shutil.rmtree(path)
# Shells start background jobs with SIGINT ignored, which the command would keep.
process = subprocess.Popen(sys.argv[3:], preexec_fn=lambda: signal.signal(number, signal.SIG_DFL))
while not glob.glob(artifact + ".tmp-*"):
    if process.poll() is not None:
        sys.exit("interrupt.py: the command ended before it began to write")
    time.sleep(0.001)
process.send_signal(number)
code = process.wait()
left = glob.glob(artifact + "*")
# A container's first process cannot end by a signal and exits with 128 + signal.
if code not in (-number, 128 + number) or left:
    sys.exit(f"interrupt.py: exit code {code}, left behind: {left}")
