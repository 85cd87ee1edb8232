"""What a training minimises, what it counts on the way, and how fast it learns: loss, Dice, IoU, learning rate."""

import keras
from keras import ops

from pairing.examples import MERGED, SEAM
from pairing.masks import IGNORED
from reading.files import InputError
from training.settings import LOSSES

SEAM_WEIGHT = 10  # of a pixel where objects touch, in the answer that keeps them apart


def soft_dice_loss(truth, probability):
    """1 − the Dice score of the whole batch with probabilities for counts, averaged over the foreground classes.

    truth: (batch, H, W, K) 0/1; probability: the same shape, 0…1. One is added to numerator and denominator, so that
    an empty prediction of an empty batch costs nothing (Milletari et al., 3DV 2016, without the squares).
    """
    axes = (0, 1, 2)
    both = ops.sum(truth * probability, axes)
    return 1 - ops.mean((2 * both + 1) / (ops.sum(truth, axes) + ops.sum(probability, axes) + 1))


def make_loss(kind, classes, ignoring=False):
    """The loss for masks (batch, H, W, 1) of class ids and probabilities (batch, H, W, 1, 2 or K).

    kind : "bce": cross-entropy, binary with one class; "dice_bce": the same plus `soft_dice_loss` of the foreground;
        or what `keras_loss` takes. Such a loss gets the truth as 0/1 of the shape of the probabilities, or as ids where
        it is a sparse one. One value a pixel comes back, (batch, H, W), so that Keras can weight padding with 0; a loss
        of whole images or batches counts the same in all of their pixels.

    With one class, everything above 0 is foreground. A second answer (`model.with_apart`) adds its cross-entropy: in it
    pixels of `data.SEAM` are background of `SEAM_WEIGHT`, since there is little of it, and it is what keeps
    apart objects that touch (Ronneberger et al., MICCAI 2015, section 3, whose weights fade with the distance). Learnt
    as background in the first answer too, it tore small nuclei (benchmarks/README.md). Images with pixels of
    `data.MERGED` have no part in that answer, and the others of the batch count so much more.

    With `ignoring`, pixels of `data.IGNORED` have no part in it: the others count so much more that Keras' mean over
    all pixels is the mean over those of the batch that are known. So a step is as long as where all are known, and a
    known pixel weighs the same however many beside it are not. Without, the same is computed as if there were none.

    Raises `InputError` where there is no such loss, or it does not fit the classes.
    """
    other = None if kind in LOSSES else keras_loss(kind, classes)
    sparse = other is not None and "sparse" in loss_name(kind).lower()

    def loss(truth, probability):
        if not ignoring:
            return of_known(truth, probability)
        known = ops.squeeze(truth, -1) != IGNORED
        values = of_known(ops.where(known[..., None], truth, 0), probability, known)
        share = ops.mean(ops.cast(known, values.dtype))
        return ops.where(known, values, 0) / ops.where(share > 0, share, 1)

    def of_known(truth, probability, known=None):
        seams = 0
        if classes == 1:
            seams = _of_seams(truth, probability)
            truth, probability = ops.cast(truth > 0, "float32"), probability[..., :1]
        elif not sparse:
            truth = ops.one_hot(ops.squeeze(ops.cast(truth, "int32"), -1), classes)
        if other is not None:
            values = other(truth, probability)
            if known is not None and len(values.shape) < 3:  # of whole images: what is unknown must not be in them
                values = other(_known(truth, known), _known(probability, known))
            return _of_each_pixel(values, probability) + seams
        if classes == 1:
            entropy = keras.losses.binary_crossentropy(truth, probability) + seams
            foreground = truth, probability
        else:
            entropy = keras.losses.categorical_crossentropy(truth, probability)
            foreground = truth[..., 1:], probability[..., 1:]
        if kind == "dice_bce":
            foreground = foreground if known is None else (_known(part, known) for part in foreground)
            return entropy + soft_dice_loss(*foreground)
        return entropy

    return loss


def _known(array, known):
    """(batch, H, W, any) with 0 where nothing is known; known: bool (batch, H, W)."""
    return ops.where(known[..., None], array, 0)


def _of_seams(truth, probability):
    """The weighted cross-entropy of the answer that keeps objects apart, (batch, H, W); 0 where there is none."""
    if probability.shape[-1] == 1:
        return 0
    numbered = ops.cast(ops.logical_not(ops.any(truth == MERGED, (1, 2))), "float32")  # (batch, 1)
    share = ops.mean(numbered)
    weight = ops.where(ops.squeeze(truth, -1) == SEAM, float(SEAM_WEIGHT), 1.0) * numbered[..., None]
    weight = weight / ops.where(share > 0, share, 1)
    return weight * keras.losses.binary_crossentropy(ops.cast(truth == 1, "float32"), probability[..., 1:])


def _of_each_pixel(values, probability):
    """What a loss of Keras gives, of each channel, each pixel, each image or all of them, as (batch, H, W)."""
    rank = len(values.shape)
    if rank == 4:
        values = ops.mean(values, -1)
    elif rank < 3:
        return ops.reshape(values, (-1, 1, 1)) + ops.zeros_like(probability[..., 0])
    return values


def keras_loss(loss, classes):
    """A function of (truth, probability), not averaged, of a loss of Keras or of one's own.

    loss : its name in `keras.losses`, an object of a class there, a function of (truth, probability), or what
        `stored_loss` made of one of the first two.
    """
    name = loss_name(loss)
    if isinstance(loss, dict) and "own" in loss:
        raise InputError(
            f"loss {name} is code of one's own, which a run card does not hold; expected it again. Give it with "
            "Settings(loss=…) in Python, or choose another loss."
        )
    try:  # of a card that somebody wrote nothing is imported but losses of Keras
        found = None if isinstance(loss, dict) and loss.get("module") != "keras.losses" else keras.losses.get(loss)
    except (ValueError, TypeError):
        found = None
    if not callable(found):
        raise InputError(
            f"loss {name} is unknown; expected {', '.join(LOSSES)}, or in Python a name or object of keras.losses, or "
            "a function of (truth, probability)."
        )
    if classes == 1 and "categorical" in name.lower():
        raise InputError(
            f"loss {name} tells classes apart; expected a binary one, or 2 classes or more. Choose another."
        )
    if isinstance(found, keras.losses.Loss):
        if found.get_config().get("from_logits"):
            raise InputError(
                f"loss {name} has from_logits=True; expected False, since the network gives probabilities."
            )
        return found.call
    return found


def stored_loss(loss):
    """What a run card holds of a `Settings.loss`: a name, Keras' dictionary for an object, or {"own": name}."""
    if isinstance(loss, (str, dict)):
        return loss
    if getattr(loss, "__module__", "").split(".")[0] != "keras":
        return {"own": loss_name(loss)}
    return keras.losses.serialize(loss) if isinstance(loss, keras.losses.Loss) else loss.__name__


def loss_name(loss):
    """The name of what `Settings.loss` may be, for people."""
    if isinstance(loss, dict):
        return loss.get("own") or loss.get("class_name") or str(loss)
    if not callable(loss):
        return str(loss)
    return getattr(loss, "__name__", type(loss).__name__)


class Dice(keras.metrics.Metric):
    """2 tp / (2 tp + fp + fn), averaged over the foreground classes; 1 where there is nothing to find, nothing found.

    Pixels are counted over an epoch, then scored. `IoU` and `Accuracy` score the same counts, so that each batch is
    counted once. With one class, everything above 0 is foreground. With `ignoring`, pixels of `data.IGNORED` do not
    count.
    """

    def __init__(self, classes, ignoring=False):
        super().__init__(name="dice")
        self.classes, self.ignoring = classes, ignoring
        self.counts = self.add_variable((3, classes), initializer="zeros", name="right_predicted_true")
        self.pixels = self.add_variable((), initializer="zeros", name="pixels")

    def update_state(self, truth, probability, sample_weight=None):
        if self.ignoring:
            known = ops.cast(ops.squeeze(truth, -1) != IGNORED, "float32")
            sample_weight = known if sample_weight is None else known * ops.reshape(sample_weight, ops.shape(known))
        if self.classes == 1:
            probability = probability[..., :1]
            truth, predicted = ops.cast(truth > 0, "float32"), ops.cast(probability >= 0.5, "float32")
        else:
            predicted = ops.one_hot(ops.argmax(probability, -1), self.classes)
            truth = ops.one_hot(ops.squeeze(ops.cast(truth, "int32"), -1), self.classes)
        parts = [truth * predicted, predicted, truth]
        if sample_weight is None:
            self.pixels.assign_add(ops.cast(ops.size(probability), "float32") / self.classes)
        else:
            weight = ops.reshape(ops.cast(sample_weight, "float32"), (*ops.shape(truth)[:3], 1))
            self.pixels.assign_add(ops.sum(weight))
            parts = [weight * part for part in parts]
        self.counts.assign_add(ops.stack([ops.sum(part, (0, 1, 2)) for part in parts]))

    def foreground(self):
        """Pixels of each foreground class in the truth so far: float ndarray (classes without background,)."""
        return ops.convert_to_numpy(self._foreground()[2])

    def found(self):
        """Those of them that were found as what they are."""
        return ops.convert_to_numpy(self._foreground()[0])

    def _foreground(self):
        return self.counts[:, min(1, self.classes - 1) :]

    def result(self):
        return self.score(lambda tp, wrong: 2 * tp / (2 * tp + wrong))

    def score(self, formula):
        """The mean over the foreground classes of formula(true positives, false positives and negatives together)."""
        tp, predicted, true = ops.unstack(self._foreground())
        wrong = predicted + true - 2 * tp
        nothing = predicted + true == 0
        return ops.mean(ops.where(nothing, 1.0, formula(tp, ops.where(nothing, 1.0, wrong))))

    def share_right(self):
        """The share of the pixels whose class is right, background included."""
        tp, predicted, true = ops.unstack(self.counts)
        right = self.pixels + ops.sum(2 * tp - predicted - true) if self.classes == 1 else ops.sum(tp)
        return right / ops.maximum(self.pixels, 1)

    def reset_state(self):
        for variable in self.variables:
            variable.assign(ops.zeros(variable.shape))


class _FromDice(keras.metrics.Metric):
    """Another score of what a `Dice` has counted, which must be among the metrics too."""

    def __init__(self, dice, name):
        super().__init__(name=name)
        self.of = lambda: dice  # as a metric of its own Keras would find its variables here once more

    def update_state(self, *args, **kwargs):
        """Nothing: the `Dice` counts."""


class IoU(_FromDice):
    """tp / (tp + fp + fn), averaged over the foreground classes."""

    def __init__(self, dice):
        super().__init__(dice, "iou")

    def result(self):
        return self.of().score(lambda tp, wrong: tp / (tp + wrong))


class Accuracy(_FromDice):
    """The share of the pixels that are right."""

    def __init__(self, dice):
        super().__init__(dice, "accuracy")

    def result(self):
        return self.of().share_right()


def make_schedule(peak, steps):
    """Learning rate: a linear warm-up over the first tenth of `steps`, then a cosine to zero at the last."""
    warmup = max(1, steps // 10)
    return keras.optimizers.schedules.CosineDecay(
        peak / 50, max(1, steps - warmup), warmup_target=peak, warmup_steps=warmup
    )
