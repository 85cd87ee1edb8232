"""How right a mask is: pure arithmetic on arrays.

Read metrics.py first (pixels: counts, then scores with intervals), then objects.py (cells found, missed, invented; how
far outlines are off), calibration.py (probabilities against the truth, the threshold) and baseline.py (Otsu).
"""

from scoring.metrics import confusion_counts, pooled_scores, scores_from_counts
from scoring.objects import match_objects

__all__ = ["confusion_counts", "match_objects", "pooled_scores", "scores_from_counts"]
