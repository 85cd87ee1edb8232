"""A TIFF read part by part gives what the same file gives read at once, in little memory; broken ones give one line."""

import tracemalloc

import imagecodecs
import numpy as np
import pytest
import tifffile
from PIL import Image

from reading import decoding, images, intensity, large_images
from reading.files import InputError

HEIGHT, WIDTH = 301, 263  # multiples of no strip or tile


@pytest.fixture(autouse=True)
def small_is_large(monkeypatch):
    monkeypatch.setattr(large_images, "LARGE_PIXELS", 10_000)


def scene(dtype=np.uint8, height=HEIGHT, width=WIDTH):
    """Waves and noise in colour: (height, width, 3)."""
    rows, columns = np.mgrid[:height, :width]
    waves = 120 + 60 * np.sin(rows / 17) * np.cos(columns / 23)
    noise = np.random.default_rng(0).integers(0, 40, (height, width, 3))
    picture = (waves[..., np.newaxis] + noise) * (257 if dtype == np.uint16 else 1)
    return picture.astype(dtype)


def colour(dtype=np.uint8, **options):
    return lambda path: tifffile.imwrite(path, scene(dtype), **{"photometric": "rgb"} | options)


def grey(dtype=np.uint8, **options):
    return lambda path: tifffile.imwrite(path, scene(dtype)[..., 0], photometric="minisblack", **options)


def planar(dtype=np.uint8, **options):
    planes = scene(dtype).transpose(2, 0, 1)
    return lambda path: tifffile.imwrite(path, planes, photometric="rgb", planarconfig="separate", **options)


def jpeg_planes(count, **options):
    """Planes of JPEG tiles of one sample, encoded here since tifffile 2026.3 writes none."""
    padded = np.pad(scene(), [(0, -HEIGHT % 64), (0, -WIDTH % 96), (0, 0)])
    places = [(row, column) for row in range(0, HEIGHT, 64) for column in range(0, WIDTH, 96)]
    tiles = [
        imagecodecs.jpeg_encode(np.ascontiguousarray(padded[row : row + 64, column : column + 96, plane]), level=90)
        for plane in range(count)
        for row, column in places
    ]
    shape = (HEIGHT, WIDTH) if count == 1 else (count, HEIGHT, WIDTH)
    options |= {"shape": shape, "dtype": np.uint8, "tile": (64, 96), "compression": "jpeg"}
    return lambda path: tifffile.imwrite(path, iter(tiles), **options)


def pillow(**options):
    return lambda path: Image.fromarray(scene()).save(path, **options)


JPEG = {"compression": "jpeg", "compressionargs": {"level": 90}}
SUBSAMPLED = {**JPEG, "photometric": "ycbcr", "subsampling": (2, 2)}
STREAMED = {
    "jpeg strips": colour(**SUBSAMPLED, rowsperstrip=16),
    "jpeg tiles": colour(**SUBSAMPLED, tile=(64, 96)),
    "jpeg tiles not subsampled": colour(**JPEG, photometric="ycbcr", tile=(64, 96)),
    "jpeg tiles of rgb": colour(**JPEG, tile=(64, 96)),
    "grey jpeg tiles": jpeg_planes(1, photometric="minisblack"),
    "jpeg of libtiff": pillow(compression="jpeg", quality=90),  # its tables stand outside the strips
    "planar": planar(),
    "planar strips": planar(compression="zlib", rowsperstrip=7),
    "planar tiles, uint16": planar(np.uint16, compression="zlib", predictor=True, tile=(64, 96)),
    "planar, uint16, big-endian": planar(np.uint16, byteorder=">"),
    "planar jpeg": jpeg_planes(3, photometric="rgb", planarconfig="separate"),
    "one strip": colour(),
    "one compressed strip": colour(compression="zlib", rowsperstrip=HEIGHT),
    "strips of a row": colour(compression="zlib", rowsperstrip=1),
    "tiles": colour(tile=(64, 96)),
    "uint16 strips": colour(np.uint16, rowsperstrip=7),
    "uint16 tiles, big-endian": colour(np.uint16, byteorder=">", compression="lzw", predictor=True, tile=(64, 96)),
    "grey uint16": grey(np.uint16, compression="zstd", rowsperstrip=11),
    "grey uint16, big-endian": grey(np.uint16, byteorder=">"),
    "bigtiff": colour(bigtiff=True, compression="zlib", rowsperstrip=7),
    "lzw of libtiff": pillow(compression="tiff_lzw"),
    "imagej": lambda path: tifffile.imwrite(path, scene(np.uint16)[..., 0], imagej=True),
    "ome": lambda path: tifffile.imwrite(path, scene()[..., 0], ome=True, compression="zlib", tile=(64, 96)),
}


def assert_same(path):
    """The parts of a streamed file are those of the whole; so are the intensities that they are normalised by."""
    assert large_images.is_large(path)
    whole, source = images.read(path), large_images.open_source(path)
    assert (source.height, source.width) == whole.shape[:2]
    for row, column, height, width in (
        (0, 0, *whole.shape[:2]), (13, 100, 99, 70), (whole.shape[0] - 1, whole.shape[1] - 1, 1, 1), (64, 0, 64, 96),
    ):  # fmt: skip
        part = source.read(row, column, height, width)
        assert part.dtype == whole.dtype and part.dtype.isnative
        np.testing.assert_array_equal(part, whole[row:, column:][:height, :width])
    for channels in (1, 3):
        assert source.spread(channels) == intensity.spread_of(intensity.to_channels(whole, channels))
    source.close()


@pytest.mark.parametrize("kind", STREAMED)
def test_parts_are_those_of_the_picture_read_at_once(tmp_path, kind):
    STREAMED[kind](tmp_path / "a.tif")
    assert_same(tmp_path / "a.tif")


def test_real_files_are_streamed_as_they_are_read(real_data, monkeypatch):
    monkeypatch.setattr(large_images, "LARGE_PIXELS", 1000)
    streamed = []
    for path in sorted((real_data / "odd_formats").iterdir()):
        if path.suffix in (".tif", ".tiff") and large_images.is_large(path):
            assert_same_pixels(path)
            streamed.append(path.name)
    assert {"old-style-jpeg-compression.tif", "tiff_tiled_planar_raw.tif", "hopper_lzw.tif"} <= set(streamed)


def assert_same_pixels(path):
    whole, source = images.read(path), large_images.open_source(path)
    np.testing.assert_array_equal(source.read(0, 0, source.height, source.width), whole)
    source.close()


TALL = scene(height=4000)  # 3 MB


@pytest.mark.parametrize(
    "layout",
    [
        {**SUBSAMPLED, "tile": (64, 96)},
        {"compression": "zlib", "rowsperstrip": 1},
        {"compression": "zlib", "tile": (64, 96)},
        {"planarconfig": "separate", "compression": "zlib", "rowsperstrip": 32},
        {},  # one strip, not compressed
    ],
)
def test_memory_does_not_grow_with_the_picture(tmp_path, monkeypatch, layout):
    monkeypatch.setattr(large_images, "CACHE_BYTES", 200_000)
    array = TALL.transpose(2, 0, 1) if "planarconfig" in layout else TALL
    tifffile.imwrite(tmp_path / "a.tif", array, **{"photometric": "rgb"} | layout)
    source = large_images.open_source(tmp_path / "a.tif")
    source.read(0, 0, 1, 1)
    tracemalloc.start()
    for row in range(0, len(TALL), 50):
        source.read(row, 0, 50, WIDTH)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    source.close()
    assert peak < 500_000  # twice 50 rows, the cache, and one part more


@pytest.mark.parametrize("share", [0.2, 0.6, 0.98])
@pytest.mark.parametrize("kind", STREAMED)
def test_a_file_cut_short_is_one_line(tmp_path, kind, share):
    path = tmp_path / "a.tif"
    STREAMED[kind](path)
    whole, content = images.read(path), path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    try:
        image = read_in_parts(path) if large_images.is_large(path) else images.read(path)
    except InputError as error:
        assert "\n" not in str(error) and path.name in str(error)
    else:  # only what stands after the pixels was lost
        np.testing.assert_array_equal(image, whole)


def read_in_parts(path):
    source = large_images.open_source(path)
    try:
        return np.concatenate(
            [source.read(row, 0, min(50, source.height - row), source.width) for row in range(0, source.height, 50)]
        )
    finally:
        source.close()


@pytest.mark.parametrize("kind", ["strips of a row", "jpeg tiles", "planar strips", "uint16 tiles, big-endian"])
def test_damage_in_the_middle_is_one_line(tmp_path, kind):
    path = tmp_path / "a.tif"
    STREAMED[kind](path)
    with tifffile.TiffFile(path) as tiff:
        offsets, counts = tiff.pages[0].dataoffsets, tiff.pages[0].databytecounts
    content = bytearray(path.read_bytes())
    middle = len(offsets) // 2
    content[offsets[middle] : offsets[middle] + counts[middle]] = bytes(counts[middle])
    path.write_bytes(content)
    assert large_images.is_large(path)
    with pytest.raises(InputError, match=r"a\.tif: damaged or unsupported image") as error:
        read_in_parts(path)
    assert "\n" not in str(error.value)


def upside_down(path):
    tifffile.imwrite(path, scene(), photometric="rgb", extratags=[(274, "H", 1, 3, True)])


READ_AT_ONCE = {
    "upside down": upside_down,
    "white is zero": lambda path: tifffile.imwrite(path, scene()[..., 0], photometric="miniswhite"),
    "palette": lambda path: Image.fromarray(scene()[..., 0]).convert("P").save(path),
    "transparent": lambda path: Image.fromarray(scene()).convert("RGBA").save(path),
    "grey and alpha": lambda path: Image.fromarray(scene()[..., 0]).convert("LA").save(path),
    "cmyk": lambda path: Image.fromarray(scene()).convert("CMYK").save(path),
    "lab": lambda path: Image.fromarray(scene()).convert("LAB").save(path),
    "float": grey(np.float32),
    "one bit": lambda path: Image.fromarray(scene()[..., 0] > 128).save(path),
    "two pages": lambda path: tifffile.imwrite(path, scene().transpose(2, 0, 1)[:2], photometric="minisblack"),
    "channels in pages": lambda path: tifffile.imwrite(
        path, scene().transpose(2, 0, 1), ome=True, metadata={"axes": "CYX"}
    ),
    "imagej hyperstack": lambda path: tifffile.imwrite(path, scene(np.uint16).transpose(2, 0, 1), imagej=True),
    "not a tiff": lambda path: path.write_bytes(b"II*\0 no"),
}


@pytest.mark.parametrize("kind", READ_AT_ONCE)
def test_other_kinds_are_left_to_be_read_at_once(tmp_path, kind):
    READ_AT_ONCE[kind](tmp_path / "a.tif")
    assert not large_images.is_large(tmp_path / "a.tif")


def test_the_limit_of_pixels_holds_for_what_is_decoded_at_once(tmp_path, monkeypatch):
    monkeypatch.setattr(decoding, "MAX_PIXELS", 64 * 96)
    STREAMED["tiles"](tmp_path / "a.tif")
    assert large_images.is_large(tmp_path / "a.tif")
    monkeypatch.setattr(decoding, "MAX_PIXELS", 64 * 96 - 1)
    assert not large_images.is_large(tmp_path / "a.tif")
