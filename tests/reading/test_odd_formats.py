"""Every kind of image file gives its array or one clear line.

`EXPECTED` states it for each of the real files in odd_formats; the properties after it write arrays of our own through
every format that can hold them. Pixel values of the table were compared with Pillow's, libtiff's and tifffile's
readings and looked at as pictures; means are of all values.
"""

import io
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
import tifffile
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image

from reading import decoding, images
from reading.files import InputError

ROOT = Path(__file__).resolve().parents[2]

# name: (shape, dtype, smallest, largest, mean), or a pattern of the one line
EXPECTED = {
    "10ct_32bit_128.tiff": ((128, 128, 1), "float32", -3.1409369, 3.1406841, 0.156913),  # no photometric tag
    "12in16bit.tif": ((100, 100, 1), "uint16", 0, 30, 2.5882),
    "16_bit_binary.pgm": ((100, 20, 1), "uint16", 0, 65535, 32767.5),
    "16bit.cropped.jp2": ((64, 64, 1), "uint16", 291, 694, 384.113),
    "16bit.cropped.tif": ((64, 64, 1), "uint16", 291, 694, 384.113),
    "1_trns.png": ((64, 64, 1), "uint8", 0, 255, 124.138),  # 1-bit, its white is transparent
    "Landscape_0.jpg": ((1200, 1800, 3), "uint8", 0, 255, 116.076),  # orientation 0 does not exist: as stored
    "Landscape_1.jpg": ((1200, 1800, 3), "uint8", 0, 255, 115.968),
    "Landscape_3.jpg": ((1200, 1800, 3), "uint8", 0, 255, 116.070),
    "Landscape_4.jpg": ((1200, 1800, 3), "uint8", 0, 255, 116.054),
    "Landscape_6.jpg": ((1200, 1800, 3), "uint8", 0, 255, 116.110),  # stored 1800×1200, lying
    "Landscape_7.jpg": ((1200, 1800, 3), "uint8", 0, 255, 115.998),
    "Portrait_6.jpg": ((1800, 1200, 3), "uint8", 0, 255, 154.442),
    "balloon_eciRGBv2_aware.jp2": "damaged or unsupported image .*broken data stream",  # only its first 7 kB
    "broken_data_stream.png": "damaged or unsupported image .*data stream",
    "bw_text.png": ((333, 516, 3), "uint8", 0, 255, 217.485),  # grey in three channels
    "cell.png": ((660, 550, 1), "uint8", 0, 255, 67.961),
    "cells-1.jp2": ((261, 185, 3), "uint8", 14, 255, 213.594),
    "cells-2c.ome.tif": ((131, 93, 3), "uint8", 0, 255, 142.715),  # two channels and a third of zeros
    "cells-2z.ome.tif": r"2 z planes of 131×93 pixels in one TIFF; expected one picture\. Save the plane",
    "cells-gray16.tif": ((131, 93, 1), "uint16", 11308, 65535, 54893.559),  # ImageJ, big-endian
    "cells-gray8.png": ((131, 93, 1), "uint8", 44, 255, 213.594),
    "cells.jpg": ((261, 185, 3), "uint8", 19, 255, 213.586),
    "cells.png": ((131, 93, 3), "uint8", 35, 255, 213.590),
    "cells.tif": ((131, 93, 3), "uint8", 35, 255, 213.590),
    "chessboard_GRAY_U16.tif": ((200, 200, 1), "uint16", 0, 255, 127.5),
    "chessboard_GRAY_U16B.tif": ((200, 200, 1), "uint16", 0, 255, 127.5),  # the same, big-endian
    "dispose_bgnd.gif": ((100, 100, 3), "uint8", 30, 255, 162.811),  # the first of 5 frames
    "flower.webp": ((360, 480, 3), "uint8", 0, 255, 115.269),
    "g4_orientation_3.tif": ((88, 590, 1), "uint8", 0, 255, 226.755),  # 1-bit, white is zero, upside down
    "green_palette.png": ((240, 320, 3), "uint8", 0, 255, 0.960),
    "hopper.Lab.tif": ((128, 128, 3), "uint8", 0, 255, 88.022),
    "hopper.jpg": ((128, 128, 3), "uint8", 0, 255, 88.401),
    "hopper_16bit_qtables.jpg": ((128, 128, 3), "uint8", 0, 255, 88.406),
    "hopper_bigtiff.tif": ((128, 128, 3), "uint8", 0, 255, 88.391),
    "hopper_g4_500.tif": ((500, 500, 1), "uint8", 0, 255, 98.507),  # 1-bit, white is zero
    "hopper_gray.jpg": ((128, 128, 1), "uint8", 0, 255, 84.692),
    "hopper_lzma.tif": ((128, 128, 3), "uint8", 0, 255, 88.391),
    "hopper_lzw.tif": ((128, 128, 3), "uint8", 0, 255, 88.391),
    "hopper_orientation_3.jpg": ((128, 128, 3), "uint8", 0, 255, 88.345),
    "hopper_orientation_6.jpg": ((128, 128, 3), "uint8", 0, 255, 88.362),
    "hopper_orientation_8.jpg": ((128, 128, 3), "uint8", 0, 255, 88.362),
    "hopper_rle8.bmp": ((128, 128, 3), "uint8", 4, 254, 88.399),
    "horse.png": ((328, 400, 3), "uint8", 0, 255, 170.670),  # black on transparent: black on white
    "i_trns.png": ((64, 64, 1), "uint16", 0, 65535, 9032.974),  # 16-bit, grey 255 is transparent: white
    "ifd_tag_type.tiff": ((512, 640, 1), "uint16", 7301, 8206, 7717.104),
    "multipage.tif": "2 pages of 15×10 pixels in one TIFF; expected one picture",
    "multipage.tiff": r"2 pictures in one TIFF \(10×10, 20×20\); expected one\. Save the one",
    "multipage_rgb.tif": "2 pages × 3 channels of 10×10 pixels in one TIFF; expected one picture",
    "old-style-jpeg-compression.tif": ((870, 4160, 3), "uint8", 0, 255, 80.524),
    "palette_color.png": ((10, 10, 3), "uint8", 0, 255, 118.15),
    "palette_gray.png": ((10, 10, 3), "uint8", 25, 250, 137.5),
    "pil123p.png": ((150, 162, 3), "uint8", 0, 255, 183.522),
    "pil123rgba.png": ((150, 162, 3), "uint8", 0, 255, 183.758),  # the same bird, transparent around
    "rdf.tif": ((556, 518, 3), "uint8", 0, 255, 241.312),  # palette and alpha
    "rgb32bf-rgba.bmp": ((64, 127, 3), "uint8", 0, 255, 181.462),
    "separate_planar_extra_samples.tiff": "truncated: 1 of its 2 strips or tiles missing",  # its second plane
    "tiff_16bit_RGB.tiff": ((40, 100, 3), "uint16", 0, 39661, 7995.491),
    "tiff_strip_cmyk_16l_jpeg.tif": ((100, 100, 3), "uint16", 218, 65535, 3689.091),
    "tiff_strip_cmyk_jpeg.tif": ((100, 100, 3), "uint8", 1, 255, 14.353),
    "tiff_strip_planar_raw_with_overviews.tif": ((374, 278, 3), "uint8", 0, 255, 161.780),  # not its overviews
    "tiff_tiled_cmyk_jpeg.tif": ((100, 100, 3), "uint8", 1, 255, 14.352),
    "tiff_tiled_planar_raw.tif": ((374, 278, 3), "uint8", 0, 255, 161.780),
    "total-pages-zero.tif": "3 pages of 2156×1728 pixels in one TIFF; expected one picture",  # a fax
    "truncated.jpg": "damaged or unsupported image .*[Tt]runcated",
    "truncated_image.png": "damaged or unsupported image .*truncated",
    "truncated_jpeg.jpg": "damaged or unsupported image .*truncated",
}


@pytest.mark.parametrize("name", EXPECTED)
def test_a_real_file_gives_its_array_or_one_line(real_data, name):
    path = real_data / "odd_formats" / name
    if isinstance(EXPECTED[name], str):
        with pytest.raises(InputError, match=EXPECTED[name]) as caught:
            images.read(path)
        assert "\n" not in str(caught.value) and name in str(caught.value) and "; expected" in str(caught.value)
        return
    shape, dtype, smallest, largest, mean = EXPECTED[name]
    image = images.read(path)
    assert (image.shape, image.dtype) == (shape, dtype)
    assert images.size(path) == shape[:2]
    tolerance = 3 if path.suffix in (".jpg", ".jp2", ".webp") or "jpeg" in name else 1e-5  # decoders differ in rounding
    assert (image.min(), image.max()) == pytest.approx((smallest, largest), abs=tolerance)
    assert image.mean(dtype=np.float64) == pytest.approx(mean, rel=1e-4, abs=0.05 if tolerance == 3 else 1e-3)


def test_the_table_names_every_real_file(real_data):
    assert {path.name for path in (real_data / "odd_formats").iterdir()} == set(EXPECTED)
    assert len(EXPECTED) == 67


@pytest.mark.parametrize(
    ("name", "other", "tolerance"),
    [
        ("hopper_lzw.tif", "hopper_bigtiff.tif", 0),
        ("hopper_lzma.tif", "hopper_bigtiff.tif", 0),
        ("hopper.jpg", "hopper_bigtiff.tif", 5),
        ("hopper.Lab.tif", "hopper_bigtiff.tif", 5),
        ("hopper_rle8.bmp", "hopper_bigtiff.tif", 10),
        ("hopper_16bit_qtables.jpg", "hopper_bigtiff.tif", 20),
        ("hopper_orientation_3.jpg", "hopper_bigtiff.tif", 10),
        ("hopper_orientation_6.jpg", "hopper_bigtiff.tif", 10),
        ("hopper_orientation_8.jpg", "hopper_bigtiff.tif", 10),
        ("cells.tif", "cells.png", 0),
        ("cells-1.jp2", "cells.jpg", 10),
        ("16bit.cropped.jp2", "16bit.cropped.tif", 0),
        ("chessboard_GRAY_U16B.tif", "chessboard_GRAY_U16.tif", 0),
        ("tiff_tiled_planar_raw.tif", "tiff_strip_planar_raw_with_overviews.tif", 0),
        ("tiff_tiled_cmyk_jpeg.tif", "tiff_strip_cmyk_jpeg.tif", 2),
        ("pil123p.png", "pil123rgba.png", 10),
        ("Landscape_0.jpg", "Landscape_1.jpg", 12),
        ("Landscape_4.jpg", "Landscape_1.jpg", 12),
        ("Landscape_7.jpg", "Landscape_1.jpg", 12),
    ],
)
def test_one_scene_in_two_formats_reads_alike(real_data, name, other, tolerance):
    one, two = (images.read(real_data / "odd_formats" / n).astype(float) for n in (name, other))
    assert np.abs(one - two).mean() <= tolerance


def test_deep_and_shallow_cmyk_agree_and_channels_are_the_channels(real_data):
    deep, shallow = (
        images.read(real_data / "odd_formats" / f"tiff_strip_cmyk_{n}jpeg.tif").astype(float) for n in ("16l_", "")
    )
    assert np.abs(deep / 257 - shallow).mean() < 0.5
    colour, channels = (images.read(real_data / "odd_formats" / n) for n in ("cells.png", "cells-2c.ome.tif"))
    np.testing.assert_array_equal(channels[..., :2], colour[..., 1:])  # it was made of the picture's green and blue
    assert not channels[..., 2].any()


def test_reading_all_real_files_prints_nothing_and_warns_of_nothing(real_data):
    code = (
        "import sys\nfrom reading import images\nfrom reading.files import InputError\n"
        "for path in sys.argv[1:]:\n"
        "    for act in (images.size, images.read, images.read_mask):\n"
        "        try: act(path)\n"
        "        except InputError: pass\n"
    )
    paths = [str(path) for path in (real_data / "odd_formats").iterdir() if "andscape" not in path.name]
    done = subprocess.run([sys.executable, "-W", "error", "-c", code, *paths], cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


# ------------------------------------------------------------------------------------------- arrays through the formats


def tiff(**options):
    return lambda path, array: tifffile.imwrite(path, array, **options)


def pillow(**options):
    return lambda path, array: Image.fromarray(array).save(path, **options)


def tiff_of(array_options):
    return lambda path, array: tifffile.imwrite(path, array, **array_options(array))


def photometric(array):
    return {"photometric": "rgb" if array.ndim == 3 else "minisblack"}


def planar(path, array):
    tifffile.imwrite(path, np.moveaxis(array, -1, 0), photometric="rgb", planarconfig="separate", compression="zlib")


def through(encode):
    return lambda path, array: path.write_bytes(encode(array))


def pnm(path, array):
    kind, dtype = (b"P6" if array.ndim == 3 else b"P5"), (">u2" if array.dtype == np.uint16 else "u1")
    header = b"%s\n# a comment\n%d %d\n%d\n" % (kind, array.shape[1], array.shape[0], np.iinfo(array.dtype).max)
    path.write_bytes(header + array.astype(dtype).tobytes())


def plain_pnm(path, array):
    header = "P3" if array.ndim == 3 else "P2"
    numbers = "\n".join(" ".join(map(str, row)) for row in array.reshape(len(array), -1).tolist())
    path.write_text(f"{header} {array.shape[1]} {array.shape[0]} {np.iinfo(array.dtype).max}\n{numbers}\n")


def all_tiff(**options):
    return tiff_of(lambda array: photometric(array) | options)


U8, U16, ANY = [np.uint8], [np.uint8, np.uint16], [np.uint8, np.uint16, np.float32]
# name: (suffix, dtypes, channels that the format holds, writer)
WRITERS = {
    "png": (".png", U8, [1, 3], pillow()),
    "png 16-bit": (".png", [np.uint16], [1, 3], through(imagecodecs.png_encode)),
    "bmp": (".bmp", U8, [1, 3], pillow()),
    "gif": (".gif", U8, [1], pillow()),
    "webp": (".webp", U8, [3], pillow(lossless=True)),
    "jpeg 2000": (".jp2", U16, [1, 3], through(lambda array: imagecodecs.jpeg2k_encode(array, level=0))),
    "pnm": (".pgm", U16, [1, 3], pnm),
    "plain pnm": (".ppm", U16, [1, 3], plain_pnm),
    "pillow tiff": (".tif", U8, [1, 3], pillow()),
    "tiff": (".tif", [*ANY, np.float64, np.float16, np.int16], [1, 3], all_tiff()),
    "tiff big-endian": (".tiff", ANY, [1, 3], all_tiff(byteorder=">")),
    "bigtiff": (".tif", ANY, [1, 3], all_tiff(bigtiff=True)),
    "tiff lzw": (".tif", ANY, [1, 3], all_tiff(compression="lzw", rowsperstrip=5, predictor=True)),
    "tiff deflate": (".tif", ANY, [1, 3], all_tiff(compression="zlib", tile=(16, 16))),
    "tiff lzma": (".tif", ANY, [1, 3], all_tiff(compression="lzma")),
    "tiff zstd": (".tif", ANY, [1, 3], all_tiff(compression="zstd", tile=(32, 16))),
    "tiff packbits": (".tif", U8, [1, 3], all_tiff(compression="packbits")),
    "tiff planar": (".tif", ANY, [3], planar),
    "imagej tiff": (".tif", ANY, [1], tiff(imagej=True)),
    "ome tiff": (".ome.tif", ANY, [1], tiff(ome=True)),
    "tiff pages 3 wide": (".tif", [np.float32], [3], tiff(photometric="minisblack")),
}


@settings(max_examples=15)
@given(data=st.data())
@pytest.mark.parametrize("name", WRITERS)
def test_an_array_comes_back_equal(tmp_path_factory, name, data):
    suffix, dtypes, channels, write = WRITERS[name]
    dtype, n = np.dtype(data.draw(st.sampled_from(dtypes))), data.draw(st.sampled_from(channels))
    height, width = data.draw(st.integers(1, 40)), data.draw(st.integers(1, 40))
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    array = rng.random((height, width, n)[: 2 if n == 1 else 3])
    top = np.iinfo(dtype).max + 1 if dtype.kind in "ui" else 1
    array = (array * top).astype(np.float16).astype(dtype) if dtype.kind == "f" else (array * top).astype(dtype)
    path = tmp_path_factory.mktemp("through") / f"a{suffix}"
    write(path, array)
    back = images.read(path)
    assert back.dtype == (dtype if dtype in (np.uint8, np.uint16) else np.float32)
    assert images.size(path) == back.shape[:2] == (height, width)
    if name == "gif":
        back = back[..., :1]  # a palette of greys
    np.testing.assert_array_equal(back, array.reshape(height, width, n))


@pytest.mark.parametrize("compression", [None, "group3", "group4", "tiff_lzw", "png"])
@settings(max_examples=15)
@given(seed=st.integers(0, 2**32), height=st.integers(1, 40), width=st.integers(1, 40))
def test_one_bit_files_are_black_and_white(tmp_path_factory, compression, seed, height, width):
    array = np.random.default_rng(seed).random((height, width)) < 0.5
    path = tmp_path_factory.mktemp("bits") / ("a.png" if compression == "png" else "a.tif")
    Image.fromarray(array).save(path, **({} if compression in (None, "png") else {"compression": compression}))
    np.testing.assert_array_equal(images.read(path)[..., 0], array * 255)
    np.testing.assert_array_equal(images.read_mask(path), array)
    assert images.size(path) == array.shape


@settings(max_examples=40)
@given(
    orientation=st.integers(1, 8),
    kind=st.sampled_from(["png", "tif", "planar", "16-bit png", "lab"]),
    height=st.integers(1, 20),
    width=st.integers(1, 20),
)
def test_every_orientation_in_every_reader(tmp_path_factory, orientation, kind, height, width):
    array = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
    path = tmp_path_factory.mktemp("turned") / ("a.tif" if kind in ("tif", "planar", "lab") else "a.png")
    exif = Image.Exif()
    exif[0x0112] = orientation
    tag = [(274, 3, 1, orientation, True)]
    if kind == "png":
        Image.fromarray(array).save(path, exif=exif)
    elif kind == "16-bit png":
        content, chunk = (
            imagecodecs.png_encode(array.astype(np.uint16)),
            b"eXIf" + exif.tobytes().removeprefix(b"Exif\0\0"),
        )
        chunk = struct.pack(">I", len(chunk) - 4) + chunk + struct.pack(">I", zlib.crc32(chunk))
        path.write_bytes(content[:33] + chunk + content[33:])
    elif kind == "planar":
        tifffile.imwrite(path, np.moveaxis(array, -1, 0), photometric="rgb", planarconfig="separate", extratags=tag)
    else:
        tifffile.imwrite(path, array, photometric="cielab" if kind == "lab" else "rgb", extratags=tag)
    expected = array if kind != "lab" else images.read(_saved(path.with_name("b.tif"), array, photometric="cielab"))
    upright = {
        1: expected,
        2: expected[:, ::-1],
        3: np.rot90(expected, 2),
        4: expected[::-1],
        5: expected.swapaxes(0, 1),
        6: np.rot90(expected, -1),  # a quarter turn to the right
        7: np.rot90(expected, 2).swapaxes(0, 1),
        8: np.rot90(expected),
    }[orientation]
    np.testing.assert_array_equal(images.read(path), upright)
    assert images.size(path) == upright.shape[:2]


def _saved(path, array, **options):
    tifffile.imwrite(path, array, **options)
    return path


@pytest.mark.parametrize("comment", ["", "# 7 8, by hand\n"])
@pytest.mark.parametrize("maximum", [1, 3, 100, 255, 1000, 4095, 65535])
@pytest.mark.parametrize("kind", ["P2", "P3", "P5", "P6"])
def test_a_pnm_keeps_its_numbers_whatever_its_maximum(tmp_path, kind, maximum, comment):
    array = np.resize(np.arange(maximum + 1)[-20:], (4, 5))
    written = array if kind in ("P2", "P5") else np.dstack([array] * 3)
    header = f"{kind}\n{comment}5 {comment}4\n{comment}{maximum}\n".encode()
    text = " ".join(map(str, written.ravel())).encode()
    raw = written.astype("u1" if maximum < 256 else ">u2").tobytes()
    (tmp_path / "a.pnm").write_bytes(header + (text if kind in ("P2", "P3") else raw))
    image = images.read(tmp_path / "a.pnm")
    assert image.dtype == (np.uint8 if maximum < 256 else np.uint16)
    np.testing.assert_array_equal(image, written.reshape(image.shape))
    np.testing.assert_array_equal(images.read_mask(tmp_path / "a.pnm"), array)


@pytest.mark.parametrize("number", ["300", "-1", "1.5", "a"])
def test_a_plain_pnm_of_impossible_numbers_is_one_line(tmp_path, number):
    (tmp_path / "a.pgm").write_text(f"P2 2 1 255 7 {number}\n")
    with pytest.raises(InputError, match="damaged or unsupported"):
        images.read_mask(tmp_path / "a.pgm")


def test_12_bits_stay_12_bits_in_jpeg_2000(tmp_path):
    array = np.arange(4096, dtype=np.uint16).reshape(64, 64)
    (tmp_path / "a.jp2").write_bytes(imagecodecs.jpeg2k_encode(array, level=0, bitspersample=12, reversible=True))
    np.testing.assert_array_equal(images.read(tmp_path / "a.jp2")[..., 0], array)


# --------------------------------------------------------------------------------------- transparency, channels, colour


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("suffix", [".png", ".tif"])
@pytest.mark.parametrize("colours", [1, 3])
def test_transparency_is_flattened_on_white_in_every_depth(tmp_path, dtype, suffix, colours):
    top = np.iinfo(dtype).max
    array = np.full((2, 3, colours + 1), 10, dtype)
    array[..., -1] = [top, 0, top // 5]
    path = tmp_path / f"a{suffix}"
    if suffix == ".png":
        path.write_bytes(imagecodecs.png_encode(array))
    else:
        kind = "rgb" if colours == 3 else "minisblack"
        tifffile.imwrite(path, array, photometric=kind, extrasamples=["unassalpha"], planarconfig="contig")
    expected = [10, top, round(10 * (top // 5) / top + top * (1 - (top // 5) / top))]
    np.testing.assert_array_equal(images.read(path)[1, :, 0], expected)
    assert images.read(path).shape == (2, 3, colours)
    np.testing.assert_array_equal(images.read_mask(path), np.full((2, 3), 10))  # transparency says nothing of classes


def test_colours_multiplied_by_alpha_are_not_multiplied_again(tmp_path):
    array = np.array([[[100, 100, 100, 128], [0, 0, 0, 0]]], np.uint8)
    tifffile.imwrite(tmp_path / "a.tif", array, photometric="rgb", extrasamples=["assocalpha"])
    np.testing.assert_array_equal(images.read(tmp_path / "a.tif")[..., 0], [[227, 255]])  # 100 + 255 × (1 − 128/255)


@pytest.mark.parametrize("options", [{"imagej": True}, {"ome": True}, {"planarconfig": "separate"}])
@pytest.mark.parametrize("channels", [2, 3, 5])
def test_two_or_three_channels_are_read_and_five_are_a_line(tmp_path, options, channels):
    array = np.random.default_rng(0).integers(0, 60000, (channels, 20, 30), np.uint16)
    if "planarconfig" not in options:
        options = options | {"metadata": {"axes": "CYX"}}
    path = _saved(tmp_path / "a.ome.tif", array, photometric="minisblack", **options)
    if channels == 5:
        for act in (images.read, images.size):
            with pytest.raises(InputError, match="5 channels of 20×30 pixels; expected 1 to 3 channels"):
                act(path)
        return
    image = images.read(path)
    assert image.shape == (20, 30, 3)
    np.testing.assert_array_equal(image[..., :channels], np.moveaxis(array, 0, -1))
    assert not image[..., channels:].any()


@pytest.mark.parametrize(("axes", "shape", "said"), [
    ("TYX", (4, 20, 30), "4 time points of 20×30"),
    ("TZYX", (4, 7, 20, 30), "4 time points × 7 z planes of 20×30"),
    ("ZCYX", (7, 2, 20, 30), "7 z planes × 2 channels of 20×30"),
])  # fmt: skip
def test_time_points_and_z_planes_are_named(tmp_path, axes, shape, said):
    path = _saved(tmp_path / "a.tif", np.zeros(shape, np.uint16), imagej=True, metadata={"axes": axes})
    for act in (images.read, images.read_mask, images.size):
        with pytest.raises(InputError, match=said):
            act(path)


def test_a_pyramid_with_preview_and_label_is_its_full_resolution(tmp_path):
    array = np.random.default_rng(0).integers(0, 256, (64, 96, 3), np.uint8)
    with tifffile.TiffWriter(tmp_path / "a.tif") as file:
        file.write(array, photometric="rgb", subifds=1, tile=(32, 32))
        file.write(array[::2, ::2], photometric="rgb", subfiletype=1, tile=(32, 32))
        file.write(array[::4, ::4], photometric="rgb", subfiletype=1)
        file.write(array[:30, :20], photometric="rgb", subfiletype=9)
    np.testing.assert_array_equal(images.read(tmp_path / "a.tif"), array)
    assert images.size(tmp_path / "a.tif") == (64, 96)


def test_a_real_slide_region_is_read_without_its_thumbnail_label_and_macro(real_data):
    path = real_data / "slides" / "cmu-1-small-region.svs"
    with Image.open(path) as image:  # libtiff's reading
        expected = np.asarray(image.convert("RGB"))
    assert images.size(path) == (2967, 2220)
    assert np.abs(images.read(path).astype(int) - expected).mean() < 1


def test_white_is_zero_is_turned_over_in_its_own_bits(tmp_path):
    for name, array, top in (("a", np.arange(6, dtype=np.uint8), 255), ("b", np.arange(6, dtype=np.uint16), 65535)):
        path = _saved(tmp_path / f"{name}.tif", array.reshape(2, 3), photometric="miniswhite")
        np.testing.assert_array_equal(images.read(path)[..., 0], top - array.reshape(2, 3))
        np.testing.assert_array_equal(images.read_mask(path), top - array.reshape(2, 3))  # what the eye sees


def test_an_imagej_mask_with_inverting_table_keeps_imagejs_numbers(tmp_path):
    mask = np.array([[0, 255, 255]], np.uint8)
    path = _saved(tmp_path / "a.tif", mask, photometric="miniswhite", description="ImageJ=1.54f\n", metadata=None)
    np.testing.assert_array_equal(images.read_mask(path), mask)
    np.testing.assert_array_equal(images.read(path)[..., 0], 255 - mask)


BOOL = np.random.default_rng(5).random((20, 37)) < 0.7


@pytest.mark.parametrize(
    "options",
    [{}, {"compression": "zlib"}, {"ome": True}, {"metadata": None}, {"software": "a lab's own"}, {"tile": (16, 16)},
     {"photometric": "minisblack"}],
)  # fmt: skip
def test_a_bool_array_saved_by_tifffile_comes_back_as_it_was(tmp_path, options):
    path = _saved(tmp_path / "a.tif", BOOL, **options)
    np.testing.assert_array_equal(images.read_mask(path), BOOL)


@pytest.mark.parametrize("options", [{}, {"compression": "group4"}, {"tiffinfo": {262: 0}}])
def test_a_one_bit_tiff_of_other_programs_is_what_the_eye_sees(tmp_path, options):
    Image.fromarray(BOOL).save(tmp_path / "a.tif", **options)
    np.testing.assert_array_equal(images.read_mask(tmp_path / "a.tif"), BOOL)


def test_a_lookup_table_of_imagej_shows_values_and_a_palette_holds_colours(tmp_path):
    array = np.arange(256, dtype=np.uint8).reshape(16, 16)
    green = np.zeros((3, 256), np.uint16)
    green[1] = np.arange(256) * 257
    path = _saved(
        tmp_path / "lut.tif", array, photometric="palette", colormap=green, description="ImageJ=1.54f\n", metadata=None
    )
    np.testing.assert_array_equal(images.read(path)[..., 0], array)
    path = _saved(tmp_path / "palette.tif", array, photometric="palette", colormap=green, metadata=None)
    np.testing.assert_array_equal(images.read(path), np.dstack([0 * array, array, 0 * array]))
    shuffled = np.random.default_rng(0).permutation(256).astype(np.uint16) * 257  # ImageJ's "8-bit Color"
    path = _saved(
        tmp_path / "8bit.tif", array, photometric="palette", colormap=np.stack([shuffled] * 3),
        description="ImageJ=1.54f\n", metadata=None,
    )  # fmt: skip
    np.testing.assert_array_equal(images.read(path)[..., 0], (shuffled >> 8)[array])
    np.testing.assert_array_equal(images.read_mask(path), array)


@pytest.mark.parametrize("suffix", [".jpg", ".tif"])
def test_cmyk_becomes_rgb(tmp_path, suffix):
    ink = np.full((16, 16, 4), (255, 0, 0, 0), np.uint8)  # cyan
    Image.fromarray(ink, mode="CMYK").save(tmp_path / f"a{suffix}")
    assert np.abs(images.read(tmp_path / f"a{suffix}").astype(int) - [0, 255, 255]).max() <= 2


@pytest.mark.parametrize("options", [{"compression": "jpeg"}, {"compression": "tiff_adobe_deflate"}, {}])
def test_ycbcr_in_tiff_becomes_rgb(tmp_path, options):
    rgb = np.full((16, 16, 3), (200, 40, 90), np.uint8)
    Image.fromarray(rgb).convert("YCbCr").save(tmp_path / "a.tif", **options)
    assert np.abs(images.read(tmp_path / "a.tif").astype(int) - rgb).max() <= 3
    Image.fromarray(rgb).save(tmp_path / "b.tif", **options)
    assert np.abs(images.read(tmp_path / "b.tif").astype(int) - rgb).max() <= 3


# ------------------------------------------------------------------------------------------------------- damage, bombs


def scene():
    rows, columns = np.mgrid[:48, :56]
    waves = 120 + 80 * np.sin(rows / 5) * np.cos(columns / 7)
    noise = np.random.default_rng(0).integers(0, 40, (48, 56, 3))
    return (waves[..., np.newaxis] + noise).astype(np.uint8)


def jpeg(**options):
    return pillow(quality=90, **options)


DAMAGED = {
    "jpg": (".jpg", jpeg()),
    "progressive jpg": (".jpg", jpeg(progressive=True)),
    "png": (".png", pillow()),
    "16-bit png": (".png", lambda path, array: path.write_bytes(imagecodecs.png_encode(array.astype(np.uint16)))),
    "bmp": (".bmp", pillow()),
    "gif": (".gif", lambda path, array: Image.fromarray(array[..., 0]).save(path)),
    "webp": (".webp", pillow(lossless=True)),
    "jp2": (".jp2", through(lambda array: imagecodecs.jpeg2k_encode(array, level=0))),
    "ppm": (".ppm", pnm),
    "tiff": (".tif", all_tiff(rowsperstrip=7)),
    "tiff deflate": (".tif", all_tiff(compression="zlib", rowsperstrip=7)),
    "tiff lzw tiles": (".tif", all_tiff(compression="lzw", tile=(16, 16))),
    "tiff jpeg": (".tif", all_tiff(compression="jpeg", rowsperstrip=16)),
    "tiff, header last": (".tif", pillow(compression="tiff_lzw")),
    "tiff group4": (".tif", lambda path, array: Image.fromarray(array[..., 0] > 128).save(path, compression="group4")),
    "tiff planar": (".tif", planar),
}  # fmt: skip


@pytest.mark.parametrize("kind", DAMAGED)
@settings(max_examples=40)
@given(share=st.floats(0, 1, exclude_max=True))
@example(share=0.99)
@example(share=0.5)
def test_a_file_cut_short_is_an_error_or_the_whole_picture(tmp_path_factory, kind, share):
    suffix, write = DAMAGED[kind]
    path = tmp_path_factory.mktemp("cut") / f"a{suffix}"
    write(path, scene())
    whole, content = images.read(path), path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    try:
        image = images.read(path)
    except InputError as error:
        assert "\n" not in str(error)
    else:  # only what stands after the pixels was lost
        np.testing.assert_array_equal(image, whole)


@pytest.mark.parametrize("kind", DAMAGED)
@settings(max_examples=30)
@given(places=st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), min_size=1, max_size=4))
def test_altered_bytes_are_one_line_or_a_picture_but_never_a_crash(tmp_path_factory, kind, places):
    suffix, write = DAMAGED[kind]
    path = tmp_path_factory.mktemp("altered") / f"a{suffix}"
    write(path, scene())
    content = bytearray(path.read_bytes())
    for share, value in places:
        content[int(share * len(content))] = value
    path.write_bytes(content)
    for act in (images.size, images.read, images.read_mask):
        try:
            act(path)
        except InputError as error:
            assert "\n" not in str(error)


def test_the_first_page_of_a_cut_stack_is_not_taken_for_a_picture(tmp_path):
    array = np.random.default_rng(0).integers(0, 256, (3, 40, 50), np.uint8)
    first, *rest = [Image.fromarray(plane) for plane in array]
    first.save(tmp_path / "a.tif", save_all=True, append_images=rest)
    with pytest.raises(InputError, match="3 pages of 40×50"):
        images.read(tmp_path / "a.tif")
    with tifffile.TiffFile(tmp_path / "a.tif") as file:
        second = file.pages[1].offset
    content = (tmp_path / "a.tif").read_bytes()
    for end in (second, second + 30):  # before the second page's header, and within it
        (tmp_path / "a.tif").write_bytes(content[:end])
        with pytest.raises(InputError, match="further pages are missing|corrupted IFD"):
            images.read(tmp_path / "a.tif")


def test_a_jpeg_whose_end_was_never_written_is_an_error(tmp_path):
    Image.fromarray(scene()).save(tmp_path / "a.jpg")
    content = (tmp_path / "a.jpg").read_bytes()
    (tmp_path / "a.jpg").write_bytes(content + bytes(100))  # padding after the end harms nothing
    assert images.read(tmp_path / "a.jpg").shape == (48, 56, 3)
    (tmp_path / "a.jpg").write_bytes(content[: len(content) // 2] + bytes(len(content) // 2))
    with pytest.raises(InputError, match="never written"):
        images.read(tmp_path / "a.jpg")


def huge_png(side):
    def chunk(name, data):
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", b"") + chunk(b"IEND", b"")


def huge_tiff(side):
    file = io.BytesIO()
    tifffile.imwrite(file, np.zeros((16, 16), np.uint8), tile=(16, 16), compression="zlib")
    content = file.getvalue()
    for tag in (256, 257):  # ImageWidth, ImageLength, LONG
        content = content.replace(struct.pack("<HHII", tag, 4, 1, 16), struct.pack("<HHII", tag, 4, 1, side))
    return content


@pytest.mark.parametrize(("suffix", "content"), [(".png", huge_png), (".tif", huge_tiff)])
def test_a_decompression_bomb_is_refused_from_its_header(tmp_path, suffix, content):
    path = tmp_path / f"a{suffix}"
    path.write_bytes(content(100_000))
    for act in (images.size, images.read, images.read_mask):
        with pytest.raises(InputError, match=r"100000×100000 pixels, 10000 megapixels.*at most 500.*--max-megapixels"):
            act(path)


@pytest.mark.parametrize("suffix", [".png", ".tif", ".jpg", ".bmp", ".pgm"])
def test_the_limit_can_be_raised_and_lowered(tmp_path, suffix, monkeypatch):
    Image.fromarray(np.zeros((30, 40), np.uint8)).save(tmp_path / f"a{suffix}")
    monkeypatch.setattr(decoding, "MAX_PIXELS", 30 * 40)
    assert images.read(tmp_path / f"a{suffix}").shape == (30, 40, 1)
    monkeypatch.setattr(decoding, "MAX_PIXELS", 30 * 40 - 1)
    with pytest.raises(InputError, match="megapixels"):
        images.read(tmp_path / f"a{suffix}")


def test_the_content_decides_and_not_the_name(tmp_path):
    array = scene()
    tifffile.imwrite(tmp_path / "a.png", array.astype(np.uint16), photometric="rgb")
    Image.fromarray(array).save(tmp_path / "a.tif", format="PNG")
    for name in ("a.png", "a.tif"):
        np.testing.assert_array_equal(images.read(tmp_path / name), array)


def test_masks_keep_large_labels_and_refuse_fractions(tmp_path):
    labels = np.array([[0, 70_000, 2**31 + 5]], np.uint32)
    np.testing.assert_array_equal(images.read_mask(_saved(tmp_path / "a.tif", labels)), labels)
    np.testing.assert_array_equal(images.read_mask(_saved(tmp_path / "b.tif", labels.astype(np.float64))), labels)
    for bad in (0.5, np.nan, np.inf):
        with pytest.raises(InputError, match="fractional"):
            images.read_mask(_saved(tmp_path / "c.tif", np.array([[0, bad]], np.float32)))
