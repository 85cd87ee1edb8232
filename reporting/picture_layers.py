"""Pictures for the report page: each image small and large, with its predicted mask and its errors as layers over it.

A layer is a picture with few colours, transparent where there is nothing, so that a page can lay it over the image at
any opacity. All of it is embedded in the page as data URIs. Nothing here knows HTML.
"""

import base64
import io

import cv2
import numpy as np
from PIL import Image

from pairing.masks import IGNORED, read_stored_mask_of
from pairing.objects import components
from reading import images, intensity, show
from reading.files import InputError
from reading.resize import fitted_size, resize
from reading.show import CLASS_COLOURS, hatching

SMALL_PX, LARGE_PX = 256, 768  # longer side in the gallery and in the large view
LARGE_BYTES = 10_000_000  # for the large pictures of all images together; those that come later stay small
JPEG_QUALITY = 80
FILL, ERROR = 100, 190  # of 255: opacity of what lies inside an outline, and of errors; the cells shine through
RIGHT, MISSED, INVENTED, CONFUSED = (0, 158, 115), (240, 228, 66), (213, 94, 0), (204, 121, 167)  # Okabe & Ito
HATCH = ((90, 90, 90), (235, 235, 235))  # stripes of what is ignored, seen on dark and on bright pictures


def layers_of(pair, mask, truth_coding=None, large=True):
    """One image as the page shows it.

    Parameters
    ----------
    pair : `pairing.pairs.Pair`; its mask is the truth.
    mask : class ids of the prediction, uint8 (height, width); with one class 0 and 1.
    truth_coding : `pairing.masks.MaskCoding` for the truth; None draws no errors.
    large : whether to make the large pictures too.

    Returns a dictionary: `width` and `height` in pixels; `shown_px`, the longer side of the best picture; `area`, the
    share of marked pixels; `regions`, the number of connected components, of each class by itself; `small` and `large`
    (None without), dictionaries of data URIs: `image` (missing in `large` where the small one shows every pixel),
    `overlay`, `mask`, `errors` (with a truth alone).
    Raises `InputError` where image or truth cannot be read or differ in size from the prediction.
    """
    picture = images.read(pair.image)
    if picture.shape[:2] != mask.shape:
        raise InputError(
            f"{pair.image}: {picture.shape[0]}×{picture.shape[1]} pixels, and its predicted mask has "
            f"{mask.shape[0]}×{mask.shape[1]}; expected the same. Run `predict` again."
        )
    truth = truth_coding.class_ids(read_stored_mask_of(pair, mask.shape)) if truth_coding and pair.mask else None
    spread = pair.intensity_range or intensity.spread_of(picture)
    height, width = mask.shape
    classes = [number for number in np.unique(mask).tolist() if number]
    return {
        "width": width,
        "height": height,
        "shown_px": min(max(mask.shape), LARGE_PX if large else SMALL_PX),
        "area": float((mask > 0).mean()),
        "regions": sum(int(components(mask == number).max()) for number in classes),
        "small": {"image": _jpeg(picture, spread, SMALL_PX)} | _layers(mask, truth, SMALL_PX),
        "large": _large(picture, spread, mask, truth) if large else None,
    }


def _large(picture, spread, mask, truth):
    image = {"image": _jpeg(picture, spread, LARGE_PX)} if max(mask.shape) > SMALL_PX else {}
    return image | _layers(mask, truth, int(np.clip(max(mask.shape), 2 * SMALL_PX, LARGE_PX)))


def bytes_of(pictures):
    """What a dictionary of data URIs, or None, weighs in the page."""
    return sum(map(len, (pictures or {}).values()))


def _jpeg(picture, spread, side):
    """An image of any intensity as a JPEG, its longer side at most `side` pixels, as a data URI."""
    height, width = fitted_size(*picture.shape[:2], min(side, max(picture.shape[:2])))
    return jpeg(intensity.to_channels(show.display(resize(picture, height, width), spread), 3))


def jpeg(picture):
    """uint8 (height, width, 3) as a JPEG, as a data URI."""
    _, encoded = cv2.imencode(".jpg", picture[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    return _uri("jpeg", encoded.tobytes())


def _layers(mask, truth, side):
    """The layers of one image, their longer side `side` pixels, so that lines are equally thin on every image."""
    height, width = fitted_size(*mask.shape, side)
    several = mask.max(initial=0) > 1 or (truth is not None and np.isin(truth, (0, 1, IGNORED), invert=True).any())
    mask = resize(mask, height, width, nearest=True)
    n = len(CLASS_COLOURS)  # beyond it colours begin again, as in the preview
    plain = (1 + np.arange(256) % n).astype(np.uint8)[mask]
    plain[mask == 0] = 0
    overlay = plain.copy()
    for number in np.unique(mask[mask > 0]):
        outlines, _ = cv2.findContours((mask == number).astype(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
        cv2.drawContours(overlay, outlines, -1, int(1 + n + number % n), 1)
    opaque = [255] * n
    layers = {
        "overlay": _png(overlay, np.concatenate([CLASS_COLOURS, CLASS_COLOURS]), [FILL] * n + opaque),
        "mask": _png(plain, CLASS_COLOURS if several else np.full((n, 3), 255), opaque),
    }
    if truth is not None:
        truth = resize(truth, height, width, nearest=True)
        kind_of = np.array([[0, 3], [2, 4]], np.uint8)  # rows: truth, columns: prediction
        kinds = kind_of[(truth > 0).astype(np.uint8), (mask > 0).astype(np.uint8)]
        kinds[(truth > 0) & (mask == truth)] = 1
        kinds[truth == IGNORED] = np.where(hatching(truth.shape, side // 16), 5, 6)[truth == IGNORED]
        layers["errors"] = _png(kinds, [RIGHT, MISSED, INVENTED, CONFUSED, *HATCH], [ERROR] * 4 + [FILL] * 2)
    return layers


def _png(indices, colours, opacities):
    """A palette PNG as a data URI: index 0 is transparent, index i has the i-th colour and opacity, from 1 on."""
    picture = Image.fromarray(indices)
    picture.putpalette(bytes(3) + np.asarray(colours, np.uint8).tobytes())
    file = io.BytesIO()
    bits = 2 if len(colours) < 4 else 4
    picture.save(file, format="PNG", bits=bits, transparency=bytes([0, *opacities]), compress_level=6)
    return _uri("png", file.getvalue())


def _uri(kind, content):
    return f"data:image/{kind};base64,{base64.b64encode(content).decode('ascii')}"
