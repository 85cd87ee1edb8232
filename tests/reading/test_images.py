"""What goes into a file comes back; what cannot be read is one clear line."""

import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as st_numpy
from PIL import Image

from reading import images, pixel_size
from reading.files import InputError, replacing


def sides():
    return st.integers(1, 40)


@settings(max_examples=40)
@given(data=st.data(), dtype=st.sampled_from([np.uint8, np.uint16]), suffix=st.sampled_from([".png", ".tif"]))
def test_grey_images_come_back_equal(tmp_path_factory, data, dtype, suffix):
    array = data.draw(st_numpy.arrays(dtype, st.tuples(sides(), sides())))
    path = tmp_path_factory.mktemp("images") / f"a{suffix}"
    if suffix == ".png":
        images.write_png(path, array)
    else:
        import tifffile

        tifffile.imwrite(path, array)
    back = images.read(path)
    assert back.dtype == dtype
    np.testing.assert_array_equal(back[..., 0], array)


@settings(max_examples=20)
@given(data=st.data(), suffix=st.sampled_from([".png", ".bmp", ".tif", ".webp"]))
def test_colour_images_come_back_equal(tmp_path_factory, data, suffix):
    array = data.draw(st_numpy.arrays(np.uint8, st.tuples(sides(), sides(), st.just(3))))
    path = tmp_path_factory.mktemp("images") / f"a{suffix}"
    Image.fromarray(array).save(path, **({"lossless": True} if suffix == ".webp" else {}))
    np.testing.assert_array_equal(images.read(path), array)


def test_float_tiff_keeps_its_values(tmp_path):
    import tifffile

    array = np.linspace(-2, 3, 12, dtype=np.float32).reshape(3, 4)
    tifffile.imwrite(tmp_path / "a.tif", array)
    np.testing.assert_array_equal(images.read(tmp_path / "a.tif")[..., 0], array)


def test_transparency_is_flattened_on_white_and_palettes_are_resolved(tmp_path):
    Image.fromarray(np.array([[[10, 20, 30, 255], [10, 20, 30, 0]]], np.uint8)).save(tmp_path / "a.png")
    np.testing.assert_array_equal(images.read(tmp_path / "a.png"), [[[10, 20, 30], [255, 255, 255]]])
    palette = Image.fromarray(np.array([[0, 1]], np.uint8), mode="P")
    palette.putpalette([9, 8, 7, 6, 5, 4])
    palette.save(tmp_path / "p.png")
    np.testing.assert_array_equal(images.read(tmp_path / "p.png"), [[[9, 8, 7], [6, 5, 4]]])
    np.testing.assert_array_equal(images.read_mask(tmp_path / "p.png"), [[0, 1]])


def test_stored_orientation_is_applied(tmp_path):
    picture = Image.fromarray(np.arange(6, dtype=np.uint8).reshape(2, 3))
    exif = Image.Exif()
    exif[0x0112] = 6  # "rotate a quarter turn to the right to see it upright"
    picture.save(tmp_path / "a.png", exif=exif)
    np.testing.assert_array_equal(images.read(tmp_path / "a.png")[..., 0], [[3, 0], [4, 1], [5, 2]])
    assert images.size(tmp_path / "a.png") == (3, 2)


@pytest.mark.parametrize("orientation", (3, 4, 6, 7))
def test_real_oriented_photographs_show_the_same_upright_scene(real_data, orientation):
    folder = real_data / "odd_formats"
    upright = images.read(folder / "Landscape_1.jpg").astype(int)
    turned = images.read(folder / f"Landscape_{orientation}.jpg").astype(int)
    assert turned.shape == upright.shape
    assert np.abs(turned - upright).mean() < 12  # each was compressed on its own


MOVING = {
    "gif": {}, "webp": {"lossless": True}, "png": {}, "jpg": {"format": "MPO", "quality": 95},
    "png with a picture before its frames": {"format": "PNG", "default_image": True},
}  # fmt: skip


@pytest.mark.parametrize("kind", MOVING)
def test_of_several_frames_the_first_is_read(tmp_path, kind):
    """What a viewer that shows no motion shows; each frame is 40 grey values brighter than the one before."""
    rows, columns = np.mgrid[:24, :32]
    frames = [np.uint8(3 * rows + columns + 40 * k) for k in range(3)]
    pictures = [Image.fromarray(frame) for frame in frames]
    path = tmp_path / f"a.{kind.split()[0]}"
    pictures[0].save(path, save_all=True, append_images=pictures[1:], **MOVING[kind])
    with Image.open(path) as image:
        assert image.n_frames == 3
    tolerance = 3 if path.suffix == ".jpg" else 0
    for stored in (images.read(path)[..., 0], images.read_mask(path)):
        np.testing.assert_allclose(stored.astype(int), frames[0], atol=tolerance)
    assert images.size(path) == (24, 32)


@pytest.mark.parametrize(
    "content",
    [b"", b"not an image at all", b"\x89PNG\r\n\x1a\n" + b"\x00" * 40, b"II*\x00\xff\xff\xff\xff"],
    ids=["empty", "text", "broken png", "broken tiff"],
)
@pytest.mark.parametrize("suffix", [".png", ".tif", ".jpg"])
def test_damaged_files_are_one_clear_line(tmp_path, content, suffix):
    path = tmp_path / f"a{suffix}"
    path.write_bytes(content)
    with pytest.raises(InputError) as caught:
        images.read(path)
    assert "\n" not in str(caught.value) and path.name in str(caught.value)


def test_a_truncated_file_is_an_error_not_a_half_grey_image(tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    for suffix in (".jpg", ".png", ".tif"):
        path = tmp_path / f"a{suffix}"
        Image.fromarray(noise).save(path)
        path.write_bytes(path.read_bytes()[:-2000])
        with pytest.raises(InputError, match="damaged|readable"):
            images.read(path)


def test_a_missing_folder_or_file_is_named(tmp_path):
    with pytest.raises(InputError, match="nowhere"):
        images.list_images(tmp_path / "nowhere")
    with pytest.raises(InputError, match=r"nowhere\.png"):
        images.read(tmp_path / "nowhere.png")


def test_hidden_and_foreign_files_are_left_out(tmp_path):
    for name in (".DS_Store", "._a.png", "notes.txt", "Thumbs.db"):
        (tmp_path / name).write_bytes(b"x")
    images.write_png(tmp_path / "b.PNG", np.zeros((2, 2), np.uint8))
    images.write_png(tmp_path / "a.png", np.zeros((2, 2), np.uint8))
    assert [path.name for path in images.list_images(tmp_path)] == ["a.png", "b.PNG"]


def test_an_interrupted_write_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "a.png"
    images.write_png(path, np.zeros((2, 2), np.uint8))
    before = path.read_bytes()
    with pytest.raises(RuntimeError), replacing(path) as temporary:
        temporary.write_bytes(b"half")
        raise RuntimeError("killed")
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["a.png"]


# ------------------------------------------------------------------------------------------------------- pixel size


@pytest.mark.parametrize(
    "keywords, expected",
    [
        ({"resolution": (40000, 40000), "resolutionunit": "CENTIMETER"}, 0.25),
        ({"resolution": (50800, 50800), "resolutionunit": "INCH"}, 0.5),
        ({"resolution": (300, 300), "resolutionunit": "INCH"}, None),  # for print
        ({"resolution": (1, 1)}, None),
        ({"resolution": (40000, 20000), "resolutionunit": "CENTIMETER"}, None),  # pixels that are not square
        ({"resolution": (4, 4), "imagej": True, "metadata": {"unit": "um"}}, 0.25),
        ({"resolution": (4, 4), "imagej": True, "metadata": {"unit": "\\u00B5m"}}, 0.25),
        ({"resolution": (4, 4), "imagej": True, "metadata": {"unit": "pixel"}}, None),
        ({"resolution": (40000, 40000), "imagej": True}, None),
        ({}, None),
    ],
)
def test_the_size_of_a_pixel_by_a_tiff(tmp_path, keywords, expected):
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((5, 6), np.uint8), **keywords)
    assert pixel_size.um_per_px(tmp_path / "a.tif") == pytest.approx(expected)


@pytest.mark.parametrize("unit, side", [("µm", 0.25), ("nm", 250), ("mm", 0.00025)])
def test_the_size_of_a_pixel_by_ome(tmp_path, unit, side):
    about = {f"PhysicalSize{axis}": side for axis in "XY"} | {f"PhysicalSize{axis}Unit": unit for axis in "XY"}
    tifffile.imwrite(tmp_path / "a.ome.tif", np.zeros((5, 6), np.uint8), metadata=about)
    assert pixel_size.um_per_px(tmp_path / "a.ome.tif") == pytest.approx(0.25)


def test_no_size_of_a_pixel_where_none_can_be_made_out(tmp_path):
    images.write_png(tmp_path / "a.png", np.zeros((5, 6), np.uint8))
    (tmp_path / "b.tif").write_bytes(b"II*\0 cut short")
    tifffile.imwrite(tmp_path / "c.ome.tif", np.zeros((5, 6), np.uint8), description="<OME no xml </OME>")
    for name in ("a.png", "b.tif", "c.ome.tif", "missing.tif"):
        assert pixel_size.um_per_px(tmp_path / name) is None


def test_pillow_s_limit_is_the_caller_s_own(tmp_path, monkeypatch):
    images.write_png(tmp_path / "a.png", np.zeros((40, 50), np.uint8))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)  # twice as many and Pillow refuses
    assert images.read(tmp_path / "a.png").shape == (40, 50, 1)
    assert Image.MAX_IMAGE_PIXELS == 100
