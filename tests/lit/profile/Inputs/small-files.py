"""small-files.py BYTES COMMAND...: runs the command where no file can grow beyond so many bytes, as on a full disk."""

import os
import resource
import signal
import sys

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # writes fail instead, as they do without space
limit = int(sys.argv[1])
resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
os.execvp(sys.argv[2], sys.argv[2:])
