"""The contact sheet: masks outlined and tinted, names and faults below, nothing left out."""

import numpy as np

from checking.contact_sheet import draw_contact_sheet
from reading.images import read
from reading.show import OUTLINE_COLOUR


def test_a_contact_sheet_shows_outlines_names_and_unreadable_files(tmp_path):
    rng = np.random.default_rng(1)
    mask = np.zeros((50, 70), np.uint8)
    mask[20:30, 20:40] = 1
    mask[35:45, 20:40] = 2
    tiles = [
        {"image": None, "mask": None, "name": "broken $.png", "faults": ["unreadable image"]},
        {"image": rng.integers(0, 99, (50, 70, 1), np.uint16), "mask": mask, "name": "細胞.png", "faults": ["a", "b"]},
        {"image": rng.random((300, 20, 3), np.float32), "mask": None, "name": "n" * 200, "faults": []},
    ]
    draw_contact_sheet(tiles, tmp_path / "sheet.png")
    picture = read(tmp_path / "sheet.png")[..., :3]
    colours = {tuple(colour) for colour in picture.reshape(-1, 3).tolist()}
    assert {OUTLINE_COLOUR, (0, 114, 178)} <= colours, "a class has no outline"
    assert (picture[:, -8:] == 255).all(), "something runs out of the picture"


def test_a_contact_sheet_tells_which_side_of_an_outline_is_foreground(tmp_path):
    mask = np.zeros((200, 200), np.uint8)
    mask[50:150, 50:150] = 1
    for name, shown in (("cells", mask), ("inverted", 1 - mask)):
        tile = {"image": np.zeros((200, 200, 1), np.uint8), "mask": shown, "name": name, "faults": []}
        draw_contact_sheet([tile], tmp_path / "sheet.png", side_px=200)
        picture = read(tmp_path / "sheet.png")[10:210, 10:210, :3]
        tint = np.rint(0.25 * np.array(OUTLINE_COLOUR))  # a quarter of the colour over black
        assert np.abs(picture[100, 100] - tint * shown[100, 100]).max() <= 1
        assert np.abs(picture[20, 20] - tint * shown[20, 20]).max() <= 1


def test_a_contact_sheet_shows_an_empty_tile_in_the_intensity_range_of_its_field(tmp_path):
    image = np.random.default_rng(0).integers(2360, 2400, (200, 200, 1)).astype(np.uint16)
    tile = {"image": image, "mask": None, "name": "tile", "faults": [], "spread": ((400.0,), (2400.0,))}
    draw_contact_sheet([tile], tmp_path / "sheet.png", side_px=200)
    picture = read(tmp_path / "sheet.png")[12:208, 12:208, 0]
    assert picture.min() >= 249  # 2360 of 400…2400 is 98 %, 250 of 255


def test_a_contact_sheet_shows_colours_as_they_are(tmp_path):
    violet = np.full((200, 200, 3), (150, 90, 190), np.uint8)
    violet[50:100, 50:100] = 70, 20, 110
    tile = {"image": violet, "mask": None, "name": "smear", "faults": []}
    draw_contact_sheet([tile], tmp_path / "sheet.png", side_px=200)
    np.testing.assert_array_equal(read(tmp_path / "sheet.png")[10:210, 10:210, :3], violet)
