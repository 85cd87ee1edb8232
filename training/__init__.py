"""From settings to a finished run folder.

Read settings.py and run.py first (what can be told, and a run as one value), then train.py (data → examples) and
fitting.py (network → model.keras), with losses.py, callbacks.py, checkpoints.py and watchdog.py at its side. budget.py
tells seconds and memory, precision.py the number format; run_folder.py and run_card.py keep runs apart and repeatable.
`training.train.train` is not handed on here, since it loads Keras.
"""

from training.run import Run
from training.run_folder import newest_model
from training.settings import Settings

__all__ = ["Run", "Settings", "newest_model"]
