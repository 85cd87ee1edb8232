"""Pictures and masks that a program has in memory, brought to what `images.read` and `images.read_mask` give."""

import numpy as np

from reading.files import InputError
from reading.images import plain_dtype, whole_numbers


def as_image(array, name="image"):
    """A picture (height, width, 1 or 3) of uint8, uint16 or float32.

    array : ndarray (height, width), (height, width, 1) or (height, width, 3) of any real numbers; bool counts as 0 and
        255, other integers become float32. name : what to call it in an error.
    Raises `InputError` for anything else, for no pixels at all, and for pixels that are not finite.
    """
    if not isinstance(array, np.ndarray):
        raise InputError(
            f"{name}: {type(array).__name__} received; expected a NumPy array. Give numpy.asarray(…) of it."
        )
    shape = array.shape
    if 0 in shape or len(shape) not in (2, 3) or shape[2:] not in ((), (1,), (3,)):
        raise InputError(
            f"{name}: array of shape {shape} received; expected one picture, (height, width) or (height, width, 1 or "
            f"3). {_remedy(shape)}"
        )
    return np.ascontiguousarray(plain_dtype(array.reshape(*shape[:2], -1), name))


def as_mask(array, shape, name="mask"):
    """A mask (height, width) of integers, whatever they mean.

    array : ndarray (height, width) or (height, width, 1) of bool or whole numbers. shape : (height, width, …) of its
        image. Raises `InputError` for anything else.
    """
    if not isinstance(array, np.ndarray) or array.shape not in (shape[:2], (*shape[:2], 1)):
        received = f"array of shape {array.shape}" if isinstance(array, np.ndarray) else type(array).__name__
        raise InputError(
            f"{name}: {received} received; expected an array {shape[:2]}, as its image. Give one number a pixel."
        )
    return whole_numbers(array.reshape(shape[:2]), name)


def _remedy(shape):
    if 0 in shape:
        return "Give one that has pixels."
    if len(shape) == 4:
        return "Give the pictures of a batch one by one, such as batch[0]."
    if len(shape) == 3 and shape[2] == 4:
        return "Leave the transparency out: image[..., :3]."
    if len(shape) == 3 and shape[0] in (1, 3):
        return "Put the channels last: numpy.moveaxis(image, 0, -1)."
    return "Choose the channels to segment." if len(shape) == 3 else "Bring it into that shape."
