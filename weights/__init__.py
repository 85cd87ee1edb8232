"""The weights that come with the repository (README.md says how good they are), and how model files are handled.

Read start.py first (where a training starts), then files.py (how models are written, opened and joined; it loads Keras)
and metadata.py (what a model file says of itself).
"""

from weights.start import PAP_SMEAR, SAMPLE

__all__ = ["PAP_SMEAR", "SAMPLE"]
