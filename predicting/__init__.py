"""Masks for images of any size, and what is told of them.

Read predictor.py first (a model file → image → probability → mask), then folder.py (many images) and evaluate.py (their
scores). Images of any size go through sliding_window.py, slides through whole_slides.py; engine.py runs the network.
export.py writes it for other programs, by onnx_graph.py, and quantize.py in numbers of 8 bits.
"""

from predicting.evaluate import evaluate_folder
from predicting.folder import predict_files
from predicting.predictor import Predictor

__all__ = ["Predictor", "evaluate_folder", "predict_files"]
