"""Becomes another program, which ends with the process that wanted it: ``python launch.py PARENT COMMAND ARGUMENT…``.

Run by path, never imported, and by nothing but :mod:`datawald.cli.processes`. It is a program of its own and no
``preexec_fn``, which may dead-lock where the parent has threads.
"""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1


def main() -> None:
    parent, command = int(sys.argv[1]), sys.argv[2:]
    if sys.platform == "linux":
        # kept over exec; elsewhere the next run recognises what was left and ends it
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            sys.exit("the process that wanted this ended before it began")
    os.execvp(command[0], command)  # noqa: S606 - the command is the parent's, no shell is involved


if __name__ == "__main__":
    main()
