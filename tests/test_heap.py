"""Threads allocate from one heap after `heap.share`."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
HEAPS = """
import ctypes, re, sys, threading
import heap
if "share" in sys.argv and not heap.share():
    sys.exit("no such library")
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
    code = [sys.executable, "-c", HEAPS, *arguments]
    run = subprocess.run(code, cwd=ROOT, capture_output=True, text=True)
    if run.returncode:
        pytest.skip(f"not glibc: {run.stderr.strip().splitlines()[-1]}")
    return run.stdout.count("<heap nr=")


def test_threads_share_one_heap():
    assert heaps() > 1
    assert heaps("share") == 1
