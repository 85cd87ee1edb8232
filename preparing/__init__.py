"""Data folders made ready for training.

Read sources.py first: where the images come from. prepare.py cuts one's own fields into the tiles of tiles.py, which
tile_files.py writes; fields.py cuts them out of slides before. sample.py makes the synthetic sample, download.py
fetches the public set that cervix_files.txt lists.
"""

from preparing.prepare import prepare_tiles
from preparing.sample import write_sample

__all__ = ["prepare_tiles", "write_sample"]
