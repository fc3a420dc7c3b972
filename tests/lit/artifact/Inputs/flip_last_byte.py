"""flip_last_byte.py FILE [BACK]: changes the byte BACK (1: the last) from the file's end, as a bad disk would."""

import sys

back = int(sys.argv[2]) if len(sys.argv) > 2 else 1
with open(sys.argv[1], "r+b") as file:
    file.seek(-back, 2)
    byte = file.read(1)[0]
    file.seek(-back, 2)
    file.write(bytes([byte ^ 1]))
