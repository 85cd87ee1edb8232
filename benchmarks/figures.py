"""Draw the figures of img/, all from the project's own code and its synthetic sample.

    python benchmarks/figures.py [--model FILE]      FILE: a run's model.keras (default: the newest run's)

The fields shown are made here and belong to a test slide of the sample, one that no training of `main.py` sees.
"""

import argparse
import shutil
import sys
import tempfile
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from checking import contact_sheet, doctor
from main import quiet_start
from measuring import cell_files
from measuring.cells import Cells, find_cells
from pairing.pairs import find_pairs
from predicting.evaluate import evaluate_folder
from predicting.folder import predict_files
from predicting.predictor import Predictor
from preparing.canvas import NUCLEUS
from preparing.sample import make_field, numbered_field, write_sample
from reading import images, show
from reading.files import InputError
from reporting import figures
from reporting.page import write_page
from scoring.objects import match_objects
from tests.browser import chromium
from training.run_folder import newest_model
from weights.start import PAP_SMEAR

FIRST_TEST_SLIDE = write_sample.__kwdefaults__["train"][0]  # test slides are numbered after the training slides
PART = slice(256, 768), slice(256, 768)  # rows and columns, 512×512 px


def main():
    """Draw all figures; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, metavar="FILE")
    parser.add_argument("--out", type=Path, metavar="DIR", default=ROOT / "img", help="(default: img)")
    args = parser.parse_args()
    try:
        draw(args.model or newest_model(ROOT / "runs"), args.out)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


def draw(model, out):
    """Write the figures into the folder `out`."""
    with quiet_start():
        from model import unet
        from training.settings import Settings

        predictor = Predictor(model)
    settings = Settings()
    network = unet(
        filters=settings.filters,
        depth=settings.depth,
        normalization=settings.normalization,
        upsampling=settings.upsampling,
        dropout=settings.dropout,
    )
    figures.draw_architecture(network, out / "u-net-architecture.png", settings.crop_px)
    figures.draw_curves(Path(model).with_name("history.csv"), out / "curves.png")

    field, _ = make_field(FIRST_TEST_SLIDE, 0)
    images.write_png(out / "1.png", field[PART])
    predict_files(predictor, [out / "1.png"], out)  # writes 1_predict.png …
    for name in ("predictions.json", "probabilities.npz"):  # … and records that only a scored folder needs
        (out / name).unlink()
    draw_check(out / "check.png")
    draw_correcting(out / "correcting.png")
    draw_page(predictor, out / "report.png")

    field = field[..., None]
    mask = predictor.mask(predictor.probability(field))[PART]
    pictures = {
        "a smear (synthetic)": show.display(field[PART]),
        "nuclei found by the network": show.overlay(field[PART], mask, thickness=2),
        "their mask": mask > 0,
    }
    show.panels(pictures, out / "smear_to_mask.png", inches=3.6, dpi=100)
    for path in sorted(out.glob("*.png")):
        print(f"{path}: {path.stat().st_size / 1000:.0f} kB")


def draw_check(path):
    """The contact sheet of `check`, of a sample with a mask that fits another image."""
    with tempfile.TemporaryDirectory() as folder:
        write_sample(folder, train=(3, 2), test=(1, 2), size=512)
        masks = sorted((Path(folder) / "Train data" / "Masks").iterdir())
        shutil.copyfile(masks[1], masks[4])
        contact_sheet.write_contact_sheet(doctor.examine(folder, quiet=True), path)


def draw_correcting(path):
    """A picture's cells as weights of other pictures find them, and as they are when somebody has corrected them."""
    field, _, nuclei = numbered_field(FIRST_TEST_SLIDE, 0)
    field, true = field[PART][..., None], np.unique(nuclei[PART], return_inverse=True)[1].reshape(512, 512)
    predictor = Predictor(PAP_SMEAR)
    probability = predictor.probability(field)
    found = find_cells(predictor.mask(probability), probability=probability)
    kept = [
        any(
            np.array_equal(
                match_objects((true == n).astype(np.int32), (found.labels == m).astype(np.int32))[:3], (1, 0, 0)
            )
            for m in np.unique(found.labels[true == n])
            if m
        )
        for n in range(1, true.max() + 1)
    ]
    corrected = Cells(true.astype(np.int32), np.where(kept, 1, 2).astype(np.uint8))
    close = slice(242, 512), slice(90, 360)
    by_hand = np.unique(corrected.labels[close][np.isin(true[close], 1 + np.flatnonzero(~np.array(kept)))]).size
    pictures = {
        "the picture": show.display(field)[close],
        "outlines of the network": cell_files.draw(field, found)[close],
        f"corrected, {by_hand} by hand (blue)": cell_files.draw(field, corrected)[close],
    }
    show.panels(pictures, path, inches=3.6, dpi=100)


def draw_page(predictor, path):
    """The gallery of the report page, photographed in Chromium; nothing where there is none."""
    with tempfile.TemporaryDirectory() as folder:
        test_dir, out = Path(folder), Path(folder) / "Predicted images"
        for number in range(12):
            slide, field = FIRST_TEST_SLIDE + number // 2, number % 2
            image, classes = make_field(slide, field)
            name = f"slide{slide}_field{field}.png"
            images.write_png(test_dir / "Images" / name, image[PART])
            images.write_png(test_dir / "Masks" / name, (classes[PART] == NUCLEUS) * np.uint8(255))
        pairs = find_pairs(test_dir)
        predict_files(predictor, [pair.image for pair in pairs], out)
        written = write_page(out, pairs, evaluate_folder(test_dir, out))
        try:
            with chromium() as browser:
                page = browser.new_page(viewport={"width": 1240, "height": 900})
                page.goto(written.as_uri())
                shown = page.locator("section", has=page.locator("#gallery"))
                shown.scroll_into_view_if_needed()
                page.wait_for_timeout(1000)  # the pictures appear
                shown.screenshot(path=path)
        except LookupError as reason:
            print(f"{path} is not drawn: {reason}")


if __name__ == "__main__":
    sys.exit(main())
