"""What a model file says of itself beside its weights: a dictionary, in `.keras` files and their ONNX exports alike.

`classes`, `channels`, `depth`, `crop_px` (the size of the crops that it was trained on), `fit` (whether single cells
were scaled to it), `normalisation`, `threshold`, `apart` (whether the network gives a second answer,
`model.with_apart`), `masks` (what the values of the masks meant), `objects` (how large those learnt were, of
`pairing.objects.sizes`; in files of earlier versions not there), `um_per_px` (of the pixels learnt, None where it was
not stated) and the run's settings; of the shipped weights also `trained_on`, what `known_pictures.remember` kept of
each picture.
"""

import json

MEMBER = "unet_card.json"  # in a .keras file, which is a zip archive; Keras itself ignores it
RENAMED = {"tile_px": "crop_px"}  # keys of earlier versions, and what they are called now


def parse(text):
    """The metadata in a text of JSON, of whatever version: a dictionary. Raises ValueError where it is none."""
    return with_present_names(json.loads(text))


def with_present_names(found):
    """The same dictionary with the keys that earlier versions named otherwise under their present names."""
    return {RENAMED.get(key, key): value for key, value in found.items()}
