"""From a mask to cells, one by one.

Read cells.py first (mask → separate cells), then whole_cells.py and overlaps.py (nuclei with their cytoplasm, which may
share pixels), selection.py (which of them are kept), divisions.py (how sure it is
that they are separate), measurements.py (cells → the columns of cells.csv), counting.py (how many there truly are) and
cell_files.py (the files for other programs).
"""

from measuring.cell_files import CellWriter
from measuring.cells import find_cells
from measuring.measurements import measure

__all__ = ["CellWriter", "find_cells", "measure"]
