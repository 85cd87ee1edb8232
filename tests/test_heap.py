"""Threads allocate from one heap after `heap.share`."""

import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
HEAPS = """
import ctypes, sys, threading
import heap
if "share" in sys.argv:
    assert heap.share()
libc = ctypes.CDLL(None)
libc.malloc.restype, libc.malloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
thread = threading.Thread(target=lambda: libc.malloc(50_000))
thread.start()
thread.join()
libc.malloc_info.argtypes = [ctypes.c_int, ctypes.c_void_p]
libc.fdopen.restype = ctypes.c_void_p
out = libc.fdopen(1, b"w")
libc.malloc_info(0, out)
libc.fflush(ctypes.c_void_p(out))
"""


def heaps(*arguments):
    own = {name: value for name, value in os.environ.items() if not name.startswith(("MALLOC_", "GLIBC_"))}
    run = subprocess.run([sys.executable, "-c", HEAPS, *arguments], cwd=ROOT, env=own, capture_output=True, check=True)
    return run.stdout.count(b"<heap nr=")


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc gives each thread a heap of its own")
def test_threads_share_one_heap():
    assert heaps() > 1
    assert heaps("share") == 1
