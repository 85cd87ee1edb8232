"""What a training can be told: every setting with its default. Without Keras, so that commands start at once."""

from dataclasses import dataclass, field

LOSSES = ("bce", "dice_bce")
FLOAT32, MIXED = "float32", "mixed_bfloat16"  # what layers compute in; names of Keras' policies


@dataclass
class Settings:
    """Everything that decides a training; stored in its run card.

    augmentation holds keyword arguments of `data.PairedImageDataGenerator`; precision is what the layers compute in,
    `FLOAT32`, `MIXED`, or "auto": `precision.fastest`.
    """

    seed: int = 0
    epochs: int = 5
    steps: int | None = None  # an epoch; None: as many as see every pixel about once, at least 250, of 3 classes 500
    batch: int = 4
    crop_px: int = 256
    classes: int = 1
    foreground: tuple | None = None
    ignore: tuple | None = None  # values in the masks of pixels that are to be ignored
    stack: str | int | None = None  # how stacks of planes became one picture: `reading.stacks.HOW`
    um_per_px: float | None = None  # micrometres of a pixel of all pictures; None: what their files state
    filters: int = 8
    depth: int = 4
    normalization: str = "batch"
    upsampling: str = "nearest"
    dropout: float = 0.0
    # one of `LOSSES`, a name or object of keras.losses, or a function of (truth, probability), which no run card holds;
    # "auto": "bce", with three classes or more "dice_bce"
    loss: object = "auto"
    learning_rate: float = 3e-3
    weight_decay: float = 1e-4
    validation_share: float = 0.2
    init: str = "auto"  # a model file to start from, "none", or "auto": see `start.start_from`
    workers: int = 2
    precision: str = "auto"
    augmentation: dict = field(
        default_factory=lambda: {
            "rotation_range": 180,
            "zoom_range": (0.8, 1.25),
            "horizontal_flip": True,
            "vertical_flip": True,
            "brightness_range": (0.8, 1.2),
            "fill_mode": "reflect",
        }
    )
