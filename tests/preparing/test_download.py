"""Fetching the public set from servers of 127.0.0.1 that behave, and from servers that do not."""

import functools
import hashlib
import http.server
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pairing import pairs
from pairing.survey import survey
from preparing import download
from reading.files import InputError

ROOT = Path(__file__).resolve().parents[2]
SHAPE = (24, 20)
SOON = {"wait_s": 0.01, "timeout_s": 10}  # a busy machine may answer late


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


@pytest.fixture(scope="module")
def small_set(tmp_path_factory):
    """Three made-up fields with two nuclei each, laid out as the public set; returns (folder, registry)."""
    folder, rng, lines = tmp_path_factory.mktemp("served"), np.random.default_rng(0), ["# a comment"]
    for number, split in enumerate(("train", "train", "test")):
        source = f"{number:064x}"
        field = folder / "stage1_train" / source
        (field / "images").mkdir(parents=True)
        (field / "masks").mkdir()
        grey = rng.integers(0, 255, (*SHAPE, 1), np.uint8)
        opaque = np.full((*SHAPE, 1), 255, np.uint8)
        Image.fromarray(np.concatenate([grey, grey, grey, opaque], axis=2)).save(field / "images" / f"{source}.png")
        lines.append(f"EDF00{number} {split} {source} {sha256(field / 'images' / f'{source}.png')}")
        for nucleus in range(2):
            mask = np.zeros(SHAPE, np.uint8)
            mask[2 + 8 * nucleus : 8 + 8 * nucleus, 3 + number : 9] = 255
            path = field / "masks" / f"{nucleus:064x}.png"
            Image.fromarray(mask).save(path)
            lines.append(f"{path.stem} {sha256(path)}")
    registry = folder / "files.txt"
    registry.write_text("\n".join(lines) + "\n")
    return folder, registry


def sha256(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


class Server:
    """Serves a folder; `fault(handler, times)` answers in its stead where it returns True.

    `asked` counts the requests of each path; `times` is that of the path asked for, from 1.
    """

    def __init__(self, folder, fault=lambda handler, times: False):
        self.asked = asked = {}
        self.fault = fault
        lock, owner = threading.Lock(), self

        class Handler(http.server.SimpleHTTPRequestHandler):
            protocol_version = "HTTP/1.1"  # connections are kept, as by the real server

            def do_GET(self):
                with lock:
                    times = asked[self.path] = asked.get(self.path, 0) + 1
                if not owner.fault(self, times):
                    super().do_GET()

            def log_message(self, *args):
                pass

        class Quiet(http.server.ThreadingHTTPServer):
            def handle_error(self, request, client_address):
                pass  # a client that went away

        self.server = Quiet(("127.0.0.1", 0), functools.partial(Handler, directory=folder))
        self.url = f"http://127.0.0.1:{self.server.server_port}/"

    def __enter__(self):
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        return self

    def __exit__(self, *error):
        self.server.shutdown()
        self.server.server_close()


def snapshot(folder):
    """Every file below `folder`: its path, bytes and time of change."""
    return {
        path.relative_to(folder).as_posix(): (path.read_bytes(), path.stat().st_mtime_ns)
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def contents(folder):
    return {name: content for name, (content, _) in snapshot(folder).items()}


def assert_whole(data_dir, folder):
    """The data folder holds the three fields, merged and split."""
    for number, part in enumerate(("Train data", "Train data", "Test data")):
        source = folder / "stage1_train" / f"{number:064x}"
        grey = np.asarray(Image.open(source / "images" / f"{source.name}.png"))[..., 0]
        numbers = np.zeros(SHAPE, np.uint16)
        for nucleus, path in enumerate(sorted((source / "masks").iterdir()), 1):
            numbers[np.asarray(Image.open(path)) > 0] = nucleus
        for split in (part, "Raw data"):
            picture, mask = (Image.open(data_dir / split / kind / f"EDF00{number}.png") for kind in ("Images", "Masks"))
            assert picture.mode == mask.mode == "L"
            np.testing.assert_array_equal(np.asarray(picture), grey)
            np.testing.assert_array_equal(np.asarray(mask), np.where(numbers > 0, 255, 0))
        labels = np.asarray(Image.open(data_dir / "Raw data" / "Labels" / f"EDF00{number}.png"))
        np.testing.assert_array_equal(labels, numbers)
    assert [pair.stem for pair in pairs.find_pairs(data_dir / "Train data")] == ["EDF000", "EDF001"]
    assert [pair.stem for pair in pairs.find_pairs(data_dir / "Test data")] == ["EDF002"]
    assert "CC0" in (data_dir / "Raw data" / "cervix" / "LICENCE.txt").read_text(encoding="utf-8")


def assert_nothing_half_done(data_dir, folder):
    """No merged file, no temporary file, and every file under a final name has the published bytes."""
    published = {sha256(path) for path in (folder / "stage1_train").rglob("*.png")}
    for path in data_dir.rglob("*"):
        if path.is_file():
            assert path.is_relative_to(data_dir / "Raw data" / "cervix") and path.suffix == ".png", path
            assert sha256(path) in published


def assert_one_clear_line(error, *words):
    text = str(error.value)
    assert "\n" not in text and all(word in text for word in ("expected", *words)), text


# ------------------------------------------------------------------------------------------------------ all is well


def test_from_nothing_and_again(tmp_path, small_set, capsys):
    folder, registry = small_set
    with Server(folder) as server:
        assert download.fetch_cervix(tmp_path / "a", server.url, registry, **SOON) == 3
        out = capsys.readouterr().out
        assert "CC0" in out and "Caicedo" in out and "2 fields to train on and 1 to test" in out
        assert_whole(tmp_path / "a", folder)
        assert len(server.asked) == 9 and set(server.asked.values()) == {1}
        before = snapshot(tmp_path / "a")
        assert not [name for name in before if Path(name).name.startswith((".", "tmp"))]
        assert download.fetch_cervix(tmp_path / "a", server.url, registry, **SOON) == 0
        assert "nothing was fetched" in capsys.readouterr().out
        assert snapshot(tmp_path / "a") == before and set(server.asked.values()) == {1}
        download.fetch_cervix(tmp_path / "b", server.url, registry, **SOON)
        assert contents(tmp_path / "b") == contents(tmp_path / "a")


def test_complete_without_the_downloads_and_offline(tmp_path, small_set):
    folder, registry = small_set
    with Server(folder) as server:
        download.fetch_cervix(tmp_path, server.url, registry, **SOON)
        shutil.rmtree(tmp_path / "Raw data" / "cervix" / "EDF000")
    assert download.fetch_cervix(tmp_path, server.url, registry, **SOON) == 0


def test_a_deleted_field_comes_back_and_the_others_stay(tmp_path, small_set):
    folder, registry = small_set
    with Server(folder) as server:
        download.fetch_cervix(tmp_path, server.url, registry, **SOON)
        before = snapshot(tmp_path)
        (tmp_path / "Train data" / "Masks" / "EDF001.png").unlink()
        assert download.fetch_cervix(tmp_path, server.url, registry, **SOON) == 3
        assert set(server.asked.values()) == {1}
    assert_whole(tmp_path, folder)
    after, again = snapshot(tmp_path), {"Train data/Masks/EDF001.png"}
    rewritten = again | {"Raw data/cervix/LICENCE.txt", "Raw data/cervix/written.json"}
    assert contents(tmp_path) == {name: content for name, (content, _) in before.items()}
    assert all(after[name] == before[name] for name in before if name not in rewritten)


def test_whole_files_are_kept_and_damaged_ones_fetched_again(tmp_path, small_set):
    folder, registry = small_set
    cache = tmp_path / "Raw data" / "cervix" / "EDF000"
    shutil.copytree(folder / "stage1_train" / f"{0:064x}", cache)
    damaged = cache / "masks" / f"{1:064x}.png"
    damaged.write_bytes(damaged.read_bytes()[:-9])
    (cache / "masks" / "tmpabc123").write_bytes(b"left by a killed program")
    with Server(folder) as server:
        download.fetch_cervix(tmp_path, server.url, registry, **SOON)
        assert len(server.asked) == 7  # six of the other two fields, and the damaged one
    assert_whole(tmp_path, folder)
    assert not (cache / "masks" / "tmpabc123").exists()


def test_overlapping_nuclei_belong_to_the_later_one(tmp_path):
    first, second = np.zeros((2, 6, 5), np.uint8)
    first[:4], second[2:] = 255, 255
    for name, array in {"image": np.full((6, 5, 3), 7, np.uint8), "first": first, "second": second}.items():
        Image.fromarray(array).save(tmp_path / f"{name}.png")
    picture, labels = download.merge(tmp_path / "image.png", [tmp_path / "first.png", tmp_path / "second.png"])
    assert picture.dtype == np.uint8 and labels.dtype == np.uint16 and picture.shape == labels.shape == (6, 5)
    assert labels[:, 0].tolist() == [1, 1, 2, 2, 2, 2] and (picture == 7).all()


# -------------------------------------------------------------------------------------------------- faulty servers


def answer(handler, status, body=b"", **headers):
    handler.send_response(status)
    for name, value in headers.items():
        handler.send_header(name.replace("_", "-"), value)
    handler.send_header("Content-Length", str(len(body)))
    handler.end_headers()
    handler.wfile.write(body)
    return True


def bytes_of(handler):
    return Path(handler.translate_path(handler.path)).read_bytes()


def cut_in_the_middle(handler, times):
    body = bytes_of(handler)
    handler.send_response(200)
    handler.send_header("Content-Length", str(len(body)))
    handler.end_headers()
    handler.wfile.write(body[: len(body) // 2])
    handler.close_connection = True
    return True


def cut_in_the_middle_without_a_length(handler, times):
    handler.send_response(200)
    handler.send_header("Connection", "close")
    handler.end_headers()
    handler.wfile.write(bytes_of(handler)[:40])
    handler.close_connection = True
    return True


def hang_up(handler, times):
    handler.close_connection = True
    return True


def silent(handler, times):
    time.sleep(1.0)
    return hang_up(handler, times)


def stall_in_the_middle(handler, times):
    handler.send_response(200)
    handler.send_header("Content-Length", "1000")
    handler.end_headers()
    handler.wfile.write(bytes_of(handler)[:40])
    handler.wfile.flush()
    return silent(handler, times)


def altered(handler, times):
    body = bytearray(bytes_of(handler))
    body[len(body) // 2] ^= 1
    return answer(handler, 200, bytes(body))


def log_in_page(handler, times):
    return answer(handler, 200, b"<html>Welcome to the hotel</html>", Content_Type="text/html")


def server_error(handler, times):
    return answer(handler, 500)


def overloaded(handler, times):
    return answer(handler, 429, Retry_After="0")


PASSING_FAULTS = [
    server_error, overloaded, cut_in_the_middle, cut_in_the_middle_without_a_length, hang_up, silent,
    stall_in_the_middle, altered, log_in_page,
]  # fmt: skip
SILENT_FAULTS = [silent, stall_in_the_middle]


def patience(fault):
    """Seconds after which an attempt fails: few only where the test is about them."""
    return 0.3 if fault in SILENT_FAULTS else 10


@pytest.mark.parametrize("fault", PASSING_FAULTS, ids=lambda fault: fault.__name__)
def test_a_fault_that_passes_is_overcome(tmp_path, small_set, fault):
    folder, registry = small_set
    with Server(folder, lambda handler, times: times == 1 and fault(handler, times)) as server:
        assert download.fetch_cervix(tmp_path, server.url, registry, wait_s=0.01, timeout_s=patience(fault)) == 3
        assert len(server.asked) == 9 and min(server.asked.values()) == 2
        assert fault in SILENT_FAULTS or max(server.asked.values()) == 2
    assert_whole(tmp_path, folder)
    assert not list(tmp_path.rglob("tmp*"))


@pytest.mark.parametrize(
    "fault, words",
    [
        (server_error, "500 Internal Server Error, 5 times"),
        (overloaded, "429 Too Many Requests, 5 times"),
        (cut_in_the_middle, "cut, 5 times"),
        (cut_in_the_middle_without_a_length, "SHA-256 differs"),
        (hang_up, "5 times"),
        (stall_in_the_middle, "no answer in time, 5 times"),
        (altered, "SHA-256 differs"),
        (log_in_page, "log-in page"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_a_fault_that_stays_ends_in_one_line(tmp_path, small_set, fault, words):
    folder, registry = small_set
    bad = f"{1:064x}.png"
    with Server(
        folder, lambda handler, times: handler.path.endswith(f"masks/{bad}") and fault(handler, times)
    ) as server:
        with pytest.raises(InputError) as error:
            download.fetch_cervix(tmp_path, server.url, registry, wait_s=0.01, timeout_s=patience(fault))
        assert_one_clear_line(error, words, bad, server.url.split("/")[2], "run it again")
        assert max(server.asked.values()) == 5
    assert_nothing_half_done(tmp_path, folder)
    kept = {path.name for path in (tmp_path / "Raw data" / "cervix").rglob("*.png")}
    with Server(folder) as server:  # the fault is mended: only what is missing is fetched
        download.fetch_cervix(tmp_path, server.url, registry, **SOON)
        assert kept and len(server.asked) <= 9 - len(kept)
    assert_whole(tmp_path, folder)


@pytest.mark.parametrize("status", [404, 403, 410])
def test_a_file_that_is_gone_is_not_asked_for_again(tmp_path, small_set, status):
    folder, registry = small_set
    with Server(folder, lambda handler, times: answer(handler, status)) as server:
        with pytest.raises(InputError) as error:
            download.fetch_cervix(tmp_path, server.url, registry, wait_s=60, timeout_s=0.5)
        assert set(server.asked.values()) == {1}
    assert_one_clear_line(error, str(status), "newer version")
    assert_nothing_half_done(tmp_path, folder)


def test_offline(tmp_path, small_set):
    folder, registry = small_set
    with Server(folder) as server:
        pass  # nobody listens any more
    with pytest.raises(InputError) as error:
        download.fetch_cervix(tmp_path, server.url, registry, **SOON)
    assert_one_clear_line(error, "no connection", "internet", server.url.split("/")[2])
    assert server.url not in str(error.value), "the address of a file alone is longer than the line"
    assert_nothing_half_done(tmp_path, folder)
    assert tmp_path.is_dir() and not (tmp_path / "Raw data").exists()


def test_a_server_that_drips_is_given_up(tmp_path, small_set):
    """Each byte comes in time, the file never: the whole file has a limit too, ten times `timeout_s`."""
    folder, registry = small_set

    def drip(handler, times):
        if times > 1 or f"{1:064x}/images" not in handler.path:
            return False
        handler.send_response(200)
        handler.send_header("Content-Length", "1000")
        handler.end_headers()
        for _ in range(200):
            handler.wfile.write(b"x")
            handler.wfile.flush()
            time.sleep(0.05)
        return hang_up(handler, times)

    started = time.monotonic()
    with Server(folder, drip) as server:
        assert download.fetch_cervix(tmp_path, server.url, registry, wait_s=0.01, timeout_s=0.3) == 3
    assert 3 < time.monotonic() - started < 9  # the whole drip takes 10 s
    assert_whole(tmp_path, folder)


def test_a_slow_server_is_waited_for(tmp_path, small_set):
    folder, registry = small_set

    def slow(handler, times):
        body = bytes_of(handler)
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        for start in range(0, len(body), 400):
            time.sleep(0.05)
            handler.wfile.write(body[start : start + 400])
            handler.wfile.flush()
        return True

    with Server(folder, slow) as server:
        download.fetch_cervix(tmp_path, server.url, registry, **SOON)
        assert set(server.asked.values()) == {1}
    assert_whole(tmp_path, folder)


def test_the_wait_doubles_and_heeds_the_server(tmp_path, small_set, monkeypatch):
    folder, registry = small_set
    waits = []

    class Event(threading.Event):
        def wait(self, timeout=None):
            if timeout is not None and threading.current_thread().name.startswith("ThreadPoolExecutor"):
                waits.append(timeout)
                return self.is_set()
            return super().wait(timeout)

    monkeypatch.setattr(download.threading, "Event", Event)
    monkeypatch.setattr(download, "THREADS", 1)
    with Server(folder, server_error) as server, pytest.raises(InputError):
        download.fetch_cervix(tmp_path / "a", server.url, registry, wait_s=0.5, timeout_s=0.5)
    assert waits[:5] == [0.5, 1, 2, 4, 0]
    waits.clear()
    with (
        Server(folder, lambda handler, times: answer(handler, 503, Retry_After="7")) as server,
        pytest.raises(InputError),
    ):
        download.fetch_cervix(tmp_path / "b", server.url, registry, wait_s=0.5, timeout_s=0.5)
    assert waits[:5] == [7, 7, 7, 7, 0]


# ------------------------------------------------------------------------------------------- stopped in the middle


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
@pytest.mark.parametrize("how", ["SIGINT", "SIGKILL"])
def test_stopped_while_downloading(tmp_path, small_set, how):
    folder, registry = small_set
    stalled, go_on = threading.Event(), threading.Event()

    def stall_on_test_field(handler, times):
        if f"{2:064x}/masks" not in handler.path:
            return False
        handler.send_response(200)
        handler.send_header("Content-Length", "1000")
        handler.end_headers()
        handler.wfile.write(bytes_of(handler)[:40])
        handler.wfile.flush()
        stalled.set()
        go_on.wait(10)
        return hang_up(handler, times)

    code = "import sys; from preparing import download; download.fetch_cervix(*sys.argv[1:4], 0.01, 20)"
    data = tmp_path / "data"
    with Server(folder, stall_on_test_field) as server:
        child = subprocess.Popen(
            [sys.executable, "-c", code, data, server.url, registry], cwd=ROOT, stderr=subprocess.DEVNULL
        )
        try:
            assert stalled.wait(20)
            deadline = time.monotonic() + 10
            while len(list(data.rglob("*.png"))) < 7 and time.monotonic() < deadline:
                time.sleep(0.02)
            child.send_signal(getattr(signal, how))
            time.sleep(0.2)
            go_on.set()
            assert child.wait(20) != 0
        finally:
            go_on.set()
            child.kill()
            child.wait()
    assert len(list(data.rglob("*.png"))) == 7
    if how == "SIGINT":
        assert_nothing_half_done(data, folder)
    else:
        assert len(list(data.rglob("tmp*"))) == 2 and not (data / "Train data").exists()
    with Server(folder) as server:
        assert download.fetch_cervix(data, server.url, registry, **SOON) == 3
        assert len(server.asked) == 2
    assert_whole(data, folder)
    assert not list(data.rglob("tmp*"))


@pytest.mark.parametrize("moves", range(15))
def test_stopped_while_writing(tmp_path, small_set, monkeypatch, moves):
    """Whichever file is the last to be moved into place, the next run ends with the whole set."""
    folder, registry = small_set
    real, done = os.replace, []

    def stop(source, target):
        if ".unfinished" in str(source) and "Raw data/cervix" not in Path(target).as_posix():
            if len(done) == moves:
                raise KeyboardInterrupt
            done.append(target)
        real(source, target)

    with Server(folder) as server:
        monkeypatch.setattr(os, "replace", stop)
        with pytest.raises(KeyboardInterrupt):
            download.fetch_cervix(tmp_path, server.url, registry, **SOON)
        monkeypatch.setattr(os, "replace", real)
        for part, count in (("Train data", 2), ("Test data", 1)):  # a part of the set is refused, not trained on
            try:
                found = pairs.find_pairs(tmp_path / part)
            except InputError:
                continue
            assert len(found) == count
        assert download.fetch_cervix(tmp_path, server.url, registry, **SOON) == 3
    assert_whole(tmp_path, folder)
    assert not (tmp_path / "Raw data" / "cervix" / ".unfinished").exists()


# ------------------------------------------------------------------------------------------------ the user's files


@pytest.mark.parametrize("folder_name", download.FOLDERS)
@pytest.mark.parametrize("name", ["EDF000.png", "mine.tif"])
def test_files_of_the_user_are_never_overwritten(tmp_path, small_set, folder_name, name):
    folder, registry = small_set
    mine = tmp_path / folder_name / name
    mine.parent.mkdir(parents=True)
    mine.write_bytes(b"mine")
    with Server(folder) as server, pytest.raises(InputError) as error:
        download.fetch_cervix(tmp_path, server.url, registry, **SOON)
    assert_one_clear_line(error, str(mine), "--data")
    assert contents(tmp_path) == {f"{folder_name}/{name}": b"mine"} and not server.asked


def test_a_mask_that_the_user_changed_is_kept(tmp_path, small_set):
    folder, registry = small_set
    with Server(folder) as server:
        download.fetch_cervix(tmp_path, server.url, registry, **SOON)
        changed = tmp_path / "Train data" / "Masks" / "EDF000.png"
        changed.write_bytes(changed.read_bytes() + b" ")
        before = snapshot(tmp_path)
        with pytest.raises(InputError) as error:
            download.fetch_cervix(tmp_path, server.url, registry, **SOON)
    assert_one_clear_line(error, str(changed), "changed since")
    assert snapshot(tmp_path) == before


def test_hidden_files_and_predictions_are_no_obstacle(tmp_path, small_set):
    folder, registry = small_set
    for name in ("Train data/Images/.DS_Store", "Test data/Predicted images/EDF002_predict.png"):
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).write_bytes(b"mine")
    with Server(folder) as server:
        download.fetch_cervix(tmp_path, server.url, registry, **SOON)
    assert (tmp_path / "Test data" / "Predicted images" / "EDF002_predict.png").read_bytes() == b"mine"
    assert_whole(tmp_path, folder)


def test_a_folder_that_cannot_be_written(tmp_path, small_set):
    folder, registry = small_set
    (tmp_path / "data").write_text("a file, not a folder")
    with Server(folder) as server, pytest.raises(InputError) as error:
        download.fetch_cervix(tmp_path / "data", server.url, registry, **SOON)
    assert_one_clear_line(error, str(tmp_path / "data"), "--data")


# --------------------------------------------------------------------------------------------------- the public set


def test_the_list_of_the_public_set():
    fields = download.read_registry()
    assert [field.name for field in fields] == [f"EDF{number:03}" for number in range(16)]
    assert [field.part for field in fields] == ["Train data"] * 8 + ["Test data"] * 8
    sums = [checksum for field in fields for checksum in field.files.values()]
    assert len(sums) == len(set(sums)) == 1356 and all(len(checksum) == 64 for checksum in sums)
    assert len({field.source for field in fields}) == 16 and download.BASE_URL.startswith("https://")


def test_the_list_agrees_with_the_published_sums(real_data):
    published = {}
    for line in (real_data / "cervix_cc0" / "SHA256SUMS").read_text().splitlines():
        checksum, path = line.split(maxsplit=1)
        published[path] = checksum
    listed = {f"{f.source}/{file}": checksum for f in download.read_registry() for file, checksum in f.files.items()}
    assert listed == published


@pytest.mark.slow
def test_the_public_set_from_a_local_server(tmp_path, real_data):
    import scipy.ndimage

    with Server(real_data / "cervix_cc0") as server:
        assert download.fetch_cervix(tmp_path, server.url) == 16
        assert len(server.asked) == 1356 and set(server.asked.values()) == {1}
        assert download.fetch_cervix(tmp_path, server.url) == 0
        assert set(server.asked.values()) == {1}
    nuclei = [136, 63, 99, 55, 46, 95, 44, 75, 94, 132, 78, 57, 71, 114, 83, 98]
    for number, expected in enumerate(nuclei):
        labels = np.asarray(Image.open(tmp_path / "Raw data" / "Labels" / f"EDF{number:03}.png"))
        assert labels.shape == (1024, 1024) and labels.max() == expected
        assert all(scipy.ndimage.find_objects(labels)), "a nucleus without a pixel"
    for part in ("Train data", "Test data"):
        found = survey(pairs.find_pairs(tmp_path / part), quiet=True)
        assert len(found.sizes) == 8 and not found.colour and set(found.mask_values) == {0, 255}
