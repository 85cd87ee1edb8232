"""How the memory that a training step gives back is kept for the next step.

A step allocates and frees some hundred megabytes of feature maps. When TensorFlow first reads from a generator, as in
each of our trainings, it has glibc, the usual C library of Linux, fetch every block above 128 KB from the system and
return it at once (its remedy for a leak with Python 3.11). A step then touches hundreds to thousands of new pages; with
the blocks kept it touches next to none, and takes some hundredths less time (benchmarks/README.md).
"""

import ctypes
import sys

import keras

# Of `mallopt` in glibc's malloc.h: the size from which on a block comes from the system, and how much free memory at
# the heap's end goes back to it.
MMAP_THRESHOLD, TRIM_THRESHOLD = -3, -1
LARGEST = 2**25  # bytes; the highest such size that glibc takes
NEVER = -1


def keep():
    """Have freed blocks of up to 32 MiB kept for later ones; True where the C library can."""
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return False
    return mallopt(MMAP_THRESHOLD, LARGEST) == 1 and mallopt(TRIM_THRESHOLD, NEVER) == 1


class KeepMemory(keras.callbacks.Callback):
    """Calls `keep` after the first step of each epoch: TensorFlow has read from its generator then."""

    def on_train_batch_end(self, batch, logs=None):
        if batch == 0:
            keep()
