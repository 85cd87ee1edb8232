"""How the memory that a training step gives back is kept for the next step.

A step allocates and frees some hundred megabytes of feature maps. When TensorFlow builds its first dataset from a
generator, as in each of our trainings, it has glibc, the usual C library of Linux, fetch every block above 128 KB from
the system and return it at once (its remedy for a leak with Python 3.11). A step of the default network then touches
hundreds to thousands of new pages; with freed blocks kept it touches next to none, and takes some hundredths less time
(benchmarks/README.md). Blocks of 32 MiB and more, as of much wider networks, come from the system all the same.
"""

import ctypes
import gc
import sys

import keras

# Of `mallopt` in glibc's malloc.h: the size from which on a block comes from the system, and how much free memory at
# the heap's end goes back to it.
MMAP_THRESHOLD, TRIM_THRESHOLD = -3, -1
LARGEST = 2**25  # bytes; the highest such size that glibc takes
NEVER = -1


def _libc(function, *arguments):
    """What a function of the C library returns, 0 where it has none of this name or is not asked, outside Linux."""
    if not sys.platform.startswith("linux"):
        return 0
    try:
        return getattr(ctypes.CDLL(None), function)(*arguments)
    except (OSError, AttributeError):
        return 0


def keep():
    """Have freed memory kept for later blocks below 32 MiB; True where the C library can."""
    return _libc("mallopt", MMAP_THRESHOLD, LARGEST) == 1 and _libc("mallopt", TRIM_THRESHOLD, NEVER) == 1


def release():
    """Drop objects that nothing refers to any more, and give back to the system what is free then."""
    gc.collect()
    _libc("malloc_trim", 0)


class KeepMemory(keras.callbacks.Callback):
    """Calls `keep` after the first step of each epoch: TensorFlow has built its dataset then."""

    def on_train_batch_end(self, batch, logs=None):
        if batch == 0:
            keep()
