"""Data folders made ready for training.

Read sources.py first: where the images come from. prepare.py puts one's own fields into Train data and Test data;
finding.py finds them, fields.py cuts them out of slides before, split.py divides them, standing.py says what is copied
and what stays, tiles.py cuts tiles on request. field_table.py and told.py are what is kept of it: fields.csv and
prepared.json; earlier.py reads what earlier versions kept. sample.py makes the synthetic sample, download.py fetches
the public set that cervix_files.txt lists.
"""

from preparing.prepare import prepare_fields
from preparing.sample import write_sample

__all__ = ["prepare_fields", "write_sample"]
