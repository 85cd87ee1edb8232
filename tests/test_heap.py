"""Freed memory is kept after `heap.keep`, also where the C library had been told to return it."""

import platform
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
FAULTS = """
import ctypes, resource, sys
import heap
libc = ctypes.CDLL(None)
libc.malloc.restype, libc.malloc.argtypes, libc.free.argtypes = ctypes.c_void_p, [ctypes.c_size_t], [ctypes.c_void_p]
assert libc.mallopt(heap.MMAP_THRESHOLD, 128 * 1024)  # as TensorFlow does
if "keep" in sys.argv:
    assert heap.keep()
for _ in range(2):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(10):
        block = libc.malloc(2**23)
        ctypes.memset(block, 1, 2**23)
        libc.free(block)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def page_faults(*arguments):
    """Of writing ten times to a new block of 8 MiB."""
    run = subprocess.run([sys.executable, "-c", FAULTS, *arguments], cwd=ROOT, capture_output=True, check=True)
    return int(run.stdout.split()[-1])


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc can be told what to keep")
def test_freed_memory_is_kept():
    pages = 10 * 2**23 // 4096
    assert page_faults() > pages / 2
    assert page_faults("keep") < pages / 100
