"""Names of tiles, as the programs that cut them write them: which part is the slide's, which says where in it they lie.

QuPath: "slide [x=0,y=512,w=256,h=256]", "slide [d=2,x=0,…]"; others: slide_x1024_y512, slide_r03_c04, slide_1024_512,
slide_tile_12. Names that say it in words or signs are read one by one (`slide_of`). Two bare numbers may be anything, a
date or a patient and a picture: all names of a folder together decide about them (`slides_by_grid`).
"""

import math
import re

UNNAMED = "unnamed slide"  # of tiles whose names hold nothing but their place
_NUMBER = r"[ _=:-]*-?\d+(?:\.\d+)?"
_X, _Y = (rf"{axis}(?:min|start|pos|coord)?{_NUMBER}" for axis in "xy")
_ROW, _COLUMN = rf"r(?:ow)?{_NUMBER}", rf"c(?:ol(?:umn)?)?{_NUMBER}"
_COUPLES = [(_X, _Y), (_ROW, _COLUMN), (rf"i{_NUMBER}", rf"j{_NUMBER}"), (rf"left{_NUMBER}", rf"top{_NUMBER}")]
_LABELLED = "|".join(rf"{one}[ _.,;-]*{two}" for couple in _COUPLES for one, two in (couple, couple[::-1]))
_ITEM = r"\s*(?:[a-z]+\s*=\s*)?-?\d+(?:\.\d+)?\s*"
# In brackets (QuPath, its older scripts, the TIGER challenge), or two labels that belong together.
_PLACE = re.compile(rf"(.*?)(?:[\[(]{_ITEM}(?:[,;]{_ITEM})+[\])]|(?<![a-z])(?:{_LABELLED})).*", re.IGNORECASE)
_WELL = re.compile(r"(.*?(?<![a-z])r\d+c\d+)f\d+.*", re.IGNORECASE)  # row and column of a plate, then the field in it
_WORDS = "field|fov|tile|crop|patch|region|roi"
_PIECE = re.compile(rf"(.+?)[ _.-](?:{_WORDS})[ _.-]*\(?\d.*", re.IGNORECASE)
_WORD_LEFT = re.compile(rf"(.+?)[ _.-](?:{_WORDS})s?", re.IGNORECASE)


def slide_of(stem):
    """The name of what a tile was cut from, by words and signs in its own name; `stem` itself where there are none."""
    if match := _WELL.fullmatch(stem):
        return match.group(1)
    if match := _PLACE.fullmatch(stem):
        name = match.group(1).rstrip(" _.,;=-[(")
        if not name and re.match(r"[rci]", stem, re.IGNORECASE):  # r03c04 alone may be a well, which is no tile
            return stem
        left = _WORD_LEFT.fullmatch(name)
        stem = left.group(1) if left else name or UNNAMED
    match = _PIECE.fullmatch(stem)
    return match.group(1) if match else stem


# --------------------------------------------------------------------------------------------- numbers without a label

_COUNTED = re.compile(  # what is numbered with its pictures: no slide of which 3_12 could be a place
    r"(?:.*[^a-z])?(?:patient|pat|subject|case|donor|animal|mouse|rat|cell|sample|plate|well|day|week|exp|experiment)s?",
    re.IGNORECASE,
)
PIXEL_STEP = 16  # px; no tiles lie closer, and what merely counts does not rise by so much each time
FULL = 1 / 3  # share of the places that are taken at least, since empty tiles are often left out


def slides_by_grid(stems):
    """From each name of a folder that ends with its place in a grid to its slide: a dictionary, perhaps empty.

    The last two numbers are a place where the whole folder says so: names share a beginning, and their numbers rise
    by steps of `PIXEL_STEP` or more, or count from 0 and are (to `FULL`) all there. Sizes and ends of the tiles behind
    the place do not matter (slide_1024_512_256_256, slide_0_0_256_256).
    """
    for behind in (0, 1, 2):
        pattern = re.compile(rf"(.+?)((?:[ _.,x-]+\d+){{{2 + behind}}})(?:\.ome)?")
        found = {stem: match.groups() for stem in stems if (match := pattern.fullmatch(stem))}
        numbers = {stem: [int(number) for number in re.findall(r"\d+", tail)] for stem, (_, tail) in found.items()}
        if not _is_size(list(numbers.values()), behind):
            continue
        slides = {}
        for stem, (slide, _) in found.items():
            slides.setdefault(slide, {})[stem] = numbers[stem][:2]
        slides = {slide: tiles for slide, tiles in slides.items() if len(tiles) > 1}
        if _is_grid({slide: list(tiles.values()) for slide, tiles in slides.items()}):
            return {stem: slide for slide, tiles in slides.items() for stem in tiles}
    return {}


def _is_size(rows, behind):
    """True where the last `behind` numbers of all rows are one size of all tiles, or their ends."""
    alike = len({tuple(row[2:]) for row in rows}) == 1
    ends = behind == 2 and len({(row[2] - row[0], row[3] - row[1]) for row in rows}) == 1
    return alike or ends


def _is_grid(slides):
    """True where the places, a dictionary from slide to (first, second) numbers, are those of tiles."""
    axes = [[{place[axis] for place in places} for places in slides.values()] for axis in (0, 1)]
    rises = [[value - min(values) for values in axis for value in values if value > min(values)] for axis in axes]
    if not all(rises):
        return False
    tiles, lines = sum(map(len, slides.values())), sum(max(map(len, both)) for both in zip(*axes, strict=True))
    crossing = tiles > lines  # rows with several columns, columns with several rows
    if math.gcd(*rises[0], *rises[1]) >= PIXEL_STEP:
        return crossing or len(rises[0]) + len(rises[1]) > 2
    places = sum(math.prod(max(values) - min(values) + 1 for values in both) for both in zip(*axes, strict=True))
    from_zero = all(min(map(min, axis)) == 0 for axis in axes)
    return crossing and from_zero and tiles >= FULL * places and not any(map(_COUNTED.fullmatch, slides))
