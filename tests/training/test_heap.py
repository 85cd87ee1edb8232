"""Freed memory is kept after `heap.keep`, and after a training, where TensorFlow had it returned to the system."""

import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parents[1]
COUNT = """
import ctypes, resource
libc = ctypes.CDLL(None)
libc.malloc.restype, libc.malloc.argtypes, libc.free.argtypes = ctypes.c_void_p, [ctypes.c_size_t], [ctypes.c_void_p]
for _ in range(2):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(10):
        block = libc.malloc(2**23)
        ctypes.memset(block, 1, 2**23)
        libc.free(block)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""
LOWER = "import ctypes; assert ctypes.CDLL(None).mallopt(-3, 128 * 1024)\n"  # the threshold, as TensorFlow does
KEEP = "from training import heap; assert heap.keep()\n"
TRAIN = """
import sys, pathlib
from tests.helpers import make_folder
from training.settings import Settings
from training.train import train
folder = pathlib.Path(sys.argv[1])
make_folder(folder)
train(folder, folder / "run", Settings(epochs=1, steps=2, filters=2, depth=2, init="none"), quiet=True)
"""


def page_faults(before, *arguments):
    """Of writing ten times to a new block of 8 MiB, in a process that ran `before`."""
    own = {name: value for name, value in os.environ.items() if not name.startswith(("MALLOC_", "GLIBC_", "LD_PRE"))}
    own["PYTHONPATH"] = str(TESTS.parent)
    run = subprocess.run([sys.executable, "-c", before + COUNT, *arguments], env=own, capture_output=True, check=True)
    return int(run.stdout.split()[-1])


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc can be told what to keep")
def test_freed_memory_is_kept(tmp_path):
    returned = page_faults(LOWER)
    assert page_faults(LOWER + KEEP) < returned / 10
    assert page_faults(TRAIN, str(tmp_path)) < returned / 10
