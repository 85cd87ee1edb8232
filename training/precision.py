"""Which number format the layers of a training compute in.

Some processors multiply bfloat16 (8 bits of precision, the range of float32) at twice the rate of float32; the others
emulate it, three to four times slower (`python benchmarks/train_step.py`). What the processor says of itself decides,
and no timing, so that one seed gives one result on one machine however busy that is. Weights, statistics, loss and
optimiser are float32 either way (Micikevicius et al., Mixed Precision Training, ICLR 2018; Kalamkar et al.,
arXiv:1905.12322).
"""

import os
from contextlib import contextmanager
from pathlib import Path

import keras

from training.settings import FLOAT32, MIXED

INSTRUCTIONS = "avx512_bf16"  # of AMD since Zen 4, of Intel's servers since Cooper Lake
CPU_INFO = Path("/proc/cpuinfo")


def fastest():
    """`MIXED` where TensorFlow trains faster in it on this machine, as far as that was tried; else `FLOAT32`.

    That is with its oneDNN kernels, on a processor with instructions for it, under Linux, without a graphics card.
    """
    if keras.backend.backend() != "tensorflow" or os.environ.get("TF_ENABLE_ONEDNN_OPTS") == "0":
        return FLOAT32
    try:
        flags = next(line for line in CPU_INFO.read_text().splitlines() if line.startswith("flags")).split()
    except (OSError, StopIteration):
        return FLOAT32
    return MIXED if INSTRUCTIONS in flags and not keras.distribution.list_devices("gpu") else FLOAT32


@contextmanager
def layers_in(policy):
    """Layers made within compute in `policy`, `FLOAT32` or `MIXED`."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)
