"""What every test shares."""

import os
import signal
import threading
from functools import partial
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import pytest
from hypothesis import settings

from training.settings import Settings

settings.register_profile("unhurried", deadline=None)  # on a busy machine any example may take long
settings.load_profile("unhurried")

if threading.current_thread() is threading.main_thread():
    # Tests of Ctrl-C and of a closed terminal hold also where shells have these ignored, as by `nohup` and by `&`.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if hasattr(signal, "SIGHUP"):
        signal.signal(signal.SIGHUP, signal.SIG_DFL)

REAL_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture
def real_data():
    """The folder of real images beside the checkout, which developers have and users do not."""
    if not REAL_DATA.is_dir():
        pytest.skip(f"the real images are not in {REAL_DATA}")
    return REAL_DATA


@pytest.fixture
def shallow(monkeypatch):
    """Within, `main.main` trains networks of one level, for which there is no option: compiled in half the time."""
    monkeypatch.setattr("training.settings.Settings", partial(Settings, depth=1))
