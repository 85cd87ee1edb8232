"""Slides for tests: small pyramidal TIFFs of noise."""

import numpy as np
import tifffile


def make_slide(path, size=(300, 400), seed=0, levels=2, dtype=np.uint8, resolution=None):
    """Write a tiled pyramidal TIFF of noise, which keeps every pixel; returns its full resolution."""
    rng = np.random.default_rng(seed)
    full = rng.integers(0, np.iinfo(dtype).max, (*size, 3), dtype, endpoint=True)
    with tifffile.TiffWriter(path) as tiff:
        for level in range(levels):
            tiff.write(
                full[:: 2**level, :: 2**level], tile=(64, 64), photometric="rgb", compression="zlib", metadata=None,
                subfiletype=int(level > 0), resolution=resolution, resolutionunit="CENTIMETER" if resolution else None,
            )  # fmt: skip
    return full
