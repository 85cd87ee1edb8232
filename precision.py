"""Which number format the layers of a training compute in: the faster one of this machine, found by measurement.

Recent processors multiply bfloat16 (8 bits of precision, the range of float32) at twice the rate of float32, older ones
only emulate it, many times slower. On graphics cards the same measurement decides; it was not tried there. Weights,
statistics, loss and optimiser are float32 either way (Micikevicius et al., Mixed Precision Training, ICLR 2018;
Kalamkar et al., arXiv:1905.12322).
"""

import time
from contextlib import contextmanager
from functools import cache

import keras
from keras import ops

FLOAT32, MIXED = "float32", "mixed_bfloat16"  # names of Keras' policies
WORTH = 1.2  # times as fast; measured were 1.6 to 2.3 where the processor has instructions for it, else 0.25 to 0.4


@cache
def fastest():
    """`MIXED` where a convolution in bfloat16 is clearly faster here than one in float32, else `FLOAT32`."""
    try:
        return MIXED if _seconds("float32") > WORTH * _seconds("bfloat16") else FLOAT32
    except Exception:  # each backend has its own way of saying that it cannot
        return FLOAT32


def _seconds(dtype):
    """The least that a convolution of a middle level of the network took."""
    x = keras.random.normal((4, 64, 64, 32), seed=0, dtype=dtype)
    kernel = keras.random.normal((3, 3, 32, 32), seed=1, dtype=dtype)
    seconds = []
    for _ in range(10):
        began = time.perf_counter()
        ops.convert_to_numpy(ops.conv(x, kernel, padding="same")[0, 0, 0])
        seconds.append(time.perf_counter() - began)
    return min(seconds)


@contextmanager
def layers_in(policy):
    """Layers made within compute in `policy`, `FLOAT32` or `MIXED`."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)
