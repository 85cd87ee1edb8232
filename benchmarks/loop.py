"""The loop annotate → train → correct → train again, with a user who is played by the truth.

    python benchmarks/loop.py FOLDER [--fields N]

FOLDER as for `python benchmarks/real_data.py cervix`. The training fields are corrected one after the other in the
program that `main.py correct` starts, by the requests of its page; after each field it trains again, and the next field
comes with the cells of the new network. The first cells are those of weights/sample.keras, which has seen nothing real
(weights/pap_smear.keras has seen these very fields). What the user does with each cell found:

- it fits a nucleus (intersection over union of at least `FITS`): left as it is, so training sees the outline found;
- it is roughly one (at least `ROUGHLY`): reshaped;
- it holds the larger part of several: split, each part then judged as above;
- it is none: deleted.

What is still missing is drawn by hand. Dice and F1 are of the test fields, which are scored by `evaluate` after each
round and looked at by nobody. The last line is of the same training fields with all outlines as they are published.
"""

import argparse
import gzip
import json
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import requests
from real_data import ROOT, run, run_chain, write_cervix

from reading import images

FITS, ROUGHLY = 0.8, 0.4  # intersection over union
PART = 0.6  # of a nucleus, in a cell that holds several


def overlaps(truth, found):
    """{(true, found): pixels} where both are above 0, and the pixels of each, two dictionaries."""
    both = np.unique(np.stack([truth.ravel(), found.ravel()]), axis=1, return_counts=True)
    pairs = {(t, f): n for t, f, n in zip(*both[0].tolist(), both[1].tolist(), strict=True) if t and f}
    sizes = [dict(zip(*(part.tolist() for part in np.unique(one, return_counts=True)), strict=True))
             for one in (truth, found)]  # fmt: skip
    return pairs, *sizes


class Corrector:
    """Corrects one field as a user would, act by act; each act is a function that gets labels of a rectangle.

    truth : the published nuclei, int (height, width). found : the cells that the field came with.
    send : function of (row, column, labels of a rectangle), called after each act.
    """

    def __init__(self, truth, found, send):
        self.truth, self.labels, self.send = truth, found.copy(), send
        self.counts = dict.fromkeys(("kept", "reshaped", "split", "deleted", "drawn"), 0)
        self.highest = int(found.max())

    def correct(self):
        self._split()
        pairs, true_sizes, found_sizes = overlaps(self.truth, self.labels)
        matched, kept = set(), set()
        by_fit = {(t, f): n / (true_sizes[t] + found_sizes[f] - n) for (t, f), n in pairs.items()}
        for (true, cell), fit in sorted(by_fit.items(), key=lambda item: -item[1]):
            if fit < ROUGHLY or true in matched or cell in kept:
                continue
            matched.add(true)
            kept.add(cell)
            if fit >= FITS:
                self.counts["kept"] += 1
            else:
                self._set((self.labels == cell) | self._free(true, cell), self.truth == true, cell)
                self.counts["reshaped"] += 1
        for cell in sorted(set(found_sizes) - {0} - kept):
            self._set(self.labels == cell, None, 0)
            self.counts["deleted"] += 1
        for true in sorted(set(true_sizes) - {0} - matched):
            pixels = (self.truth == true) & (self.labels == 0)
            if pixels.any():  # what another cell holds already cannot be drawn
                self.highest += 1
                self._set(pixels, pixels, self.highest)
                self.counts["drawn"] += 1
        return self.counts

    def _split(self):
        """Cut cells that hold the larger part of several nuclei, each pixel to the nucleus that is nearest."""
        from scipy.ndimage import distance_transform_edt

        pairs, true_sizes, _ = overlaps(self.truth, self.labels)
        held = {}
        for (true, cell), pixels in pairs.items():
            if pixels >= PART * true_sizes[true]:
                held.setdefault(cell, []).append(true)
        for cell, several in held.items():
            if len(several) < 2:
                continue
            pixels = self.labels == cell
            inner = np.where(np.isin(self.truth, several), self.truth, 0)
            nearest = distance_transform_edt(inner == 0, return_distances=False, return_indices=True)
            owner = inner[tuple(nearest)]
            for true in several[1:]:
                self.highest += 1
                self._set(pixels & (owner == true), pixels & (owner == true), self.highest)
                self.counts["split"] += 1

    def _free(self, true, cell):
        return (self.truth == true) & ((self.labels == 0) | (self.labels == cell))

    def _set(self, changed, pixels, number):
        """Where `changed`, the labels become `number` in `pixels` (all where None), else 0; sent as one rectangle."""
        rows, columns = np.flatnonzero(changed.any(1)), np.flatnonzero(changed.any(0))
        place = np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
        inside = changed[place] if pixels is None else changed[place] & pixels[place]
        part = np.where(changed[place], 0, self.labels[place])
        part[inside] = number
        self.labels[place] = part
        self.send(int(rows[0]), int(columns[0]), part)


class Page:
    """What the page of `main.py correct` asks its program, by the same requests."""

    def __init__(self, *arguments):
        command = [sys.executable, str(ROOT / "main.py"), "correct", *map(str, arguments), "--no-browser"]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        lines = []
        for line in self.process.stdout:
            lines.append(line)
            if found := re.search(r"(http://127\.0\.0\.1:\d+)/\?token=(\S+)", line):
                self.address, token = found.groups()
                break
        else:
            raise RuntimeError("".join(lines))
        self.session = requests.Session()
        self.session.headers["X-Token"] = token
        self.session.trust_env = False  # no proxy between a program and its own computer

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait()

    def ask(self, path, told=None):
        send = self.session.get if told is None else self.session.post
        answer = send(f"{self.address}/api/{path}", **({} if told is None else {"json": told}))
        if not answer.ok:
            raise RuntimeError(f"{path}: {answer.status_code} {answer.text}")
        return answer

    def open(self, field):
        """(labels, version) of a field, once the network has looked at it."""
        while (answer := self.ask(f"fields/{field['id']}/labels")).status_code == 202:
            time.sleep(0.2)
        content = answer.content
        content = gzip.decompress(content) if content[:2] == b"\x1f\x8b" else content
        labels = np.frombuffer(content, "<u2").reshape(field["height"], field["width"])
        return labels.astype(np.int64), int(answer.headers["X-Version"])

    def correct(self, field, truth):
        """Correct a field as its truth would, and mark it done; returns the counts of what was done to it."""
        labels, version = self.open(field)

        def send(row, column, part):
            nonlocal version
            change = np.flatnonzero(np.diff(part.ravel())) + 1
            ends = np.concatenate([[0], change, [part.size]])
            runs = np.stack([part.ravel()[ends[:-1]], np.diff(ends)], 1).ravel().tolist()
            edit = {"version": version, "row": row, "column": column, "height": part.shape[0], "width": part.shape[1]}
            version = self.ask(f"fields/{field['id']}/edits", edit | {"runs": runs}).json()["version"]

        corrector = Corrector(truth, labels, send)
        counts = corrector.correct()
        state = self.ask(f"fields/{field['id']}/state", {"done": True}).json()
        if state["state"] != "done" or state["problem"]:
            raise RuntimeError(str(state))
        saved, _ = self.open(field)
        if not (saved == corrector.labels).all():
            raise RuntimeError(f"{field['name']}: not saved as it was corrected")
        return counts

    def train(self):
        """Train again, to its end; what `GET /api/train` then says."""
        self.ask("train", {})
        while (told := self.ask("train").json())["state"] == "running":
            time.sleep(1)
        if told["state"] != "finished":
            raise RuntimeError(str(told))
        return told


def test_scores(data, runs):
    """Dice and F1 of the test fields by the newest network."""
    run("predict", "--data", data, "--runs", runs, "--cells")
    run("evaluate", "--data", data)
    scores = json.loads((data / "Test data" / "Predicted images" / "scores.json").read_text(encoding="utf-8"))
    return scores["dice"], scores["objects"]["f1"]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--fields", type=int, default=8, help="so many of the training fields (default: 8)")
    parser.add_argument("--no-full", action="store_true", help="leave out the training on the published outlines")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        full, data, runs, pictures = (folder / name for name in ("full", "data", "runs", "pictures"))
        write_cervix(args.folder, full, numbered=True)
        shutil.copytree(full / "Test data", data / "Test data")
        shutil.copytree(full / "Train data" / "Images", pictures)
        truths = {path.name: images.read_mask(path) for path in (full / "Train data" / "Masks").iterdir()}
        columns = f"{'kept':>6}{'reshaped':>10}{'split':>7}{'deleted':>9}{'drawn':>7}{'Dice':>8}{'F1':>7}{'seconds':>9}"
        print(f"{'field':10}{'nuclei':>8}{'found':>7}{columns}")
        totals, nuclei, started = {}, 0, time.time()
        names = sorted(truths)[: args.fields]
        with Page(pictures, "--data", data, "--runs", runs, "--model", ROOT / "weights" / "sample.keras") as page:
            for name in names:
                field = next(one for one in page.ask("fields").json()["fields"] if one["name"] == name)
                truth = truths[name].astype(np.int64)
                found = len(np.unique(page.open(field)[0])) - 1
                counts = page.correct(field, truth)
                page.train()
                dice, f1 = test_scores(data, runs)
                many = len(np.unique(truth)) - 1
                row = f"{name.removesuffix('.png'):10}{many:8}{found:7}{counts['kept']:6}{counts['reshaped']:10}"
                row += f"{counts['split']:7}{counts['deleted']:9}{counts['drawn']:7}{dice:8.3f}{f1:7.3f}"
                print(f"{row}{time.time() - started:9.0f}", flush=True)
                totals = {key: totals.get(key, 0) + count for key, count in counts.items()}
                nuclei += many
        print(f"of {nuclei} outlines {totals['drawn']} were drawn by hand ({totals['drawn'] / nuclei:.0%}): {totals}")
        if not args.no_full:
            scores = run_chain(full, 0)
            print(f"all outlines as published: Dice {scores['dice']:.3f}, F1 {scores['objects']['f1']:.3f}")


if __name__ == "__main__":
    main()
