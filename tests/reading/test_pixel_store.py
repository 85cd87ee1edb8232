"""Pixels on the disk come back as they were, and leave nothing behind."""

import shutil
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from reading.pixel_store import PixelStore
from tests.helpers import ROOT

PIXELS = st.sampled_from([np.uint8, np.uint16, np.float32, np.int32]).flatmap(
    lambda kind: arrays(kind, array_shapes(min_dims=2, max_dims=3, max_side=9))
)


@settings(max_examples=30)
@given(st.lists(st.tuples(PIXELS, st.booleans()), max_size=8))
def test_arrays_come_back_in_any_order(given_arrays):
    store, kept = PixelStore(), []
    for array, at_once in given_arrays:
        kept.append((array, *store.add(array[::-1])))
        if at_once:
            np.testing.assert_array_equal(store.get(kept[-1][1]), array[::-1])
    for array, place in reversed(kept):
        found = store.get(place)
        assert found.dtype == array.dtype
        np.testing.assert_array_equal(found, array[::-1])


def test_threads_share_one(tmp_path):
    store = PixelStore(tmp_path)

    def keep(number):
        array = np.full((30, 30), number, np.uint16)
        (place,) = store.add(array)
        return (store.get(place) == number).all()

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(keep, range(100)))


def test_a_full_disk_is_told_and_nothing_is_kept(tmp_path, monkeypatch):
    store = PixelStore(tmp_path)
    (place,) = store.add(np.arange(6))
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(10, 10, 0))
    assert store.add(np.arange(7)) is None and store.lacking >= 7 * 8
    assert store.get(place).tolist() == list(range(6))


def test_a_killed_process_leaves_nothing(tmp_path):
    code = """if True:
        import pathlib, sys, time
        import numpy as np
        from reading.pixel_store import PixelStore
        store = PixelStore(pathlib.Path(sys.argv[1]) / "new")
        places = store.add(np.zeros((100, 100)))
        print(store.get(places[0]).shape, flush=True)
        time.sleep(60)
    """
    process = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "(100, 100)\n"
    process.send_signal(signal.SIGKILL if hasattr(signal, "SIGKILL") else signal.SIGTERM)
    process.wait()
    process.stdout.close()
    assert not list((tmp_path / "new").iterdir())
