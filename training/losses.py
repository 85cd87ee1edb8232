"""What a training minimises, what it counts on the way, and how fast it learns: loss, Dice, IoU, learning rate."""

import keras
from keras import ops

SEAM_WEIGHT = 10  # of a pixel where objects touch


def soft_dice_loss(truth, probability):
    """1 − the Dice score of the whole batch with probabilities for counts, averaged over the foreground classes.

    truth: (batch, H, W, K) 0/1; probability: the same shape, 0…1. One is added to numerator and denominator, so that
    an empty prediction of an empty batch costs nothing (Milletari et al., 3DV 2016, without the squares).
    """
    axes = (0, 1, 2)
    both = ops.sum(truth * probability, axes)
    return 1 - ops.mean((2 * both + 1) / (ops.sum(truth, axes) + ops.sum(probability, axes) + 1))


def make_loss(name, classes):
    """The loss for masks (batch, H, W, 1) of class ids and probabilities (batch, H, W, 1 or K).

    "bce": cross-entropy, binary with one class; "dice_bce": the same plus `soft_dice_loss` of the foreground. One value
    a pixel comes back, (batch, H, W), so that Keras can weight padding with 0.

    With one class, pixels above 1 (`data.SEAM`) are background of `SEAM_WEIGHT`: there is little of it, and it is what
    keeps apart objects that touch (Ronneberger et al., MICCAI 2015, section 3, whose weights fade with the distance).
    """

    def loss(truth, probability):
        if classes == 1:
            weight = ops.where(ops.squeeze(truth, -1) > 1, float(SEAM_WEIGHT), 1.0)
            truth = ops.cast(truth == 1, "float32")
            entropy = weight * keras.losses.binary_crossentropy(truth, probability)
            foreground = truth, probability
        else:
            truth = ops.one_hot(ops.squeeze(ops.cast(truth, "int32"), -1), classes)
            entropy = keras.losses.categorical_crossentropy(truth, probability)
            foreground = truth[..., 1:], probability[..., 1:]
        return entropy + soft_dice_loss(*foreground) if name == "dice_bce" else entropy

    return loss


class Dice(keras.metrics.Metric):
    """2 tp / (2 tp + fp + fn), averaged over the foreground classes; 1 where there is nothing to find, nothing found.

    Pixels are counted over an epoch, then scored. `IoU` and `Accuracy` score the same counts, so that each batch is
    counted once. With one class, pixels above 1 (`data.SEAM`) are background.
    """

    def __init__(self, classes):
        super().__init__(name="dice")
        self.classes = classes
        self.counts = self.add_variable((3, classes), initializer="zeros", name="right_predicted_true")
        self.pixels = self.add_variable((), initializer="zeros", name="pixels")

    def update_state(self, truth, probability, sample_weight=None):
        if self.classes == 1:
            truth, predicted = ops.cast(truth == 1, "float32"), ops.cast(probability >= 0.5, "float32")
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
    """The share of the pixels that are right; where objects touch, background is right."""

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
