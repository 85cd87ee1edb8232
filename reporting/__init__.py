"""What people look at when a run or a prediction is done: figures, and report.html.

Read page.py first: it gathers what the report says, and page_template.html says it. picture_layers.py makes its
pictures, histogram.py its distributions. figures.py stands by itself: the curves of a run, the U of the network.
"""

from reporting.page import write_page

__all__ = ["write_page"]
