"""How the memory that a training step gives back is kept for the next step.

A step allocates and frees some hundred megabytes of feature maps. glibc gives each thread a heap of its own, and such a
heap returns to the system what is free at its end, so that the next step touches six thousand new pages, for a tenth of
its time (benchmarks/README.md). The one heap that all threads share does not.
"""

import ctypes
import sys

ARENA_MAX = -8  # of `mallopt` (glibc's malloc.h)


def share():
    """Let all threads allocate from one heap; True where the C library can, which is glibc, the usual one of Linux.

    To be called before a second thread allocates anything: before numpy, OpenCV or TensorFlow are imported.
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        return ctypes.CDLL(None).mallopt(ARENA_MAX, 1) == 1
    except (OSError, AttributeError):
        return False
