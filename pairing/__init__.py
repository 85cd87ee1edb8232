"""Which mask belongs to which image, and what its values mean.

Read pairs.py first (folders → pairs, by the conventions of naming.py and the groups of groups.py), then masks.py
(stored values → classes) and survey.py, which decides both once for a whole folder. file_cache.py keeps what was read.
annotations.py reads outlines as people and programs draw them, with a module for each tool; outlines.py and polygons.py
are outlines and their pixels, containers.py those that are drawn around others; objects.py is who is one object.
"""

from pairing.groups import split_by_group, with_tile_table
from pairing.masks import read_mask_of
from pairing.pairs import find_pairs
from pairing.survey import read_folder

__all__ = ["find_pairs", "read_folder", "read_mask_of", "split_by_group", "with_tile_table"]
