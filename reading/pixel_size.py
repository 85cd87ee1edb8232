"""How large a pixel is: the micrometres that a TIFF states, in any of the three ways that microscopes write them.

Without a size, cells are measured in pixels. Slides state theirs by `slides.Slide.mpp`.
"""

from contextlib import suppress
from pathlib import Path
from xml.etree import ElementTree

from reading.decoding import one_line_errors
from reading.files import InputError
from reading.tiff_files import is_tiff, tag_value

LARGEST_PIXEL_UM = 10  # of a microscope; beyond is a resolution for printing
ALIKE = 1.05  # times as large or small is the same magnification: training zooms by up to 1.25 anyway
_UM = {"nm": 1e-3, "µm": 1, "um": 1, "micron": 1, "microns": 1, "micrometer": 1, "mm": 1e3, "cm": 1e4, "inch": 25400}


def um_per_px(path):
    """Micrometres per pixel that a TIFF states, or None where it states none that a microscope could have.

    Read are OME-XML (PhysicalSizeX), ImageJ's unit, and the TIFF resolution in pixels a centimetre or an inch; the
    latter only below `LARGEST_PIXEL_UM`, since programs write 72 or 300 pixels an inch for want of knowledge. Pixels
    that are not square have no such size. Files that are no TIFF state none: what PNG and JPEG hold is about print.
    """
    path, sides = Path(path), []
    with suppress(InputError), one_line_errors(path):  # a size that cannot be made out is none
        if is_tiff(path):
            import tifffile

            with tifffile.TiffFile(path) as tiff:
                sides = _ome_sides(tiff.ome_metadata) if tiff.is_ome else _tag_sides(tiff)
    if len(sides) != 2 or not all(0 < side <= LARGEST_PIXEL_UM for side in sides) or max(sides) > 1.01 * min(sides):
        return None
    return sum(sides) / 2


def _ome_sides(xml):
    """PhysicalSizeX and …Y of the first image, in micrometres."""
    pixels = next(iter(ElementTree.fromstring(xml).iterfind(".//{*}Pixels")), None)
    given = {} if pixels is None else pixels.attrib
    scale = [_UM.get(given.get(f"PhysicalSize{axis}Unit", "µm").replace("μ", "µ")) for axis in "XY"]
    sides = [given.get(f"PhysicalSize{axis}") for axis in "XY"]
    return [] if None in scale + sides else [float(side) * unit for side, unit in zip(sides, scale, strict=True)]


def _tag_sides(tiff):
    """Width and height of a pixel in micrometres by the resolution tags; ImageJ keeps their unit in its own words."""
    page = tiff.pages[0]
    unit = {2: 25400, 3: 10000}.get(int(tag_value(page, 296, 2)))
    if tiff.is_imagej:
        word = str((tiff.imagej_metadata or {}).get("unit", "")).replace("\\u00B5", "µ").replace("μ", "µ")
        unit = _UM.get(word)
    rates = [tag_value(page, code, (0, 1)) for code in (282, 283)]
    if unit is None or not all(above and below for above, below in rates):
        return []
    return [unit * below / above for above, below in rates]
