"""What a training minimises, what it counts on the way, and how fast it learns: loss, Dice, IoU, learning rate."""

import keras
from keras import ops

LOSSES = ("bce", "dice_bce")
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


class Accuracy(keras.metrics.BinaryAccuracy):
    """The share of the pixels that are right, of one class; where objects touch, background is right."""

    def update_state(self, truth, probability, sample_weight=None):
        return super().update_state(ops.cast(truth == 1, "float32"), probability, sample_weight)


class _CountMetric(keras.metrics.Metric):
    """Base of Dice and IoU: counts over all pixels of an epoch, then one score averaged over the foreground classes."""

    def __init__(self, classes, name):
        super().__init__(name=name)
        self.classes = classes
        self.counts = self.add_variable((3, max(1, classes - 1)), initializer="zeros", name="tp_fp_fn")

    def update_state(self, truth, probability, sample_weight=None):
        if self.classes == 1:
            truth, predicted = ops.cast(truth == 1, "float32"), ops.cast(probability >= 0.5, "float32")
        else:
            predicted = ops.one_hot(ops.argmax(probability, -1), self.classes)[..., 1:]
            truth = ops.one_hot(ops.squeeze(ops.cast(truth, "int32"), -1), self.classes)[..., 1:]
        weight = 1.0 if sample_weight is None else ops.reshape(sample_weight, (*ops.shape(truth)[:3], 1))
        sums = [truth * predicted, (1 - truth) * predicted, truth * (1 - predicted)]
        self.counts.assign_add(ops.stack([ops.sum(weight * part, (0, 1, 2)) for part in sums]))

    def foreground(self):
        """Pixels of each foreground class in the truth so far: float ndarray (classes,)."""
        return ops.convert_to_numpy(self.counts[0] + self.counts[2])

    def found(self):
        """Those of them that were found as what they are."""
        return ops.convert_to_numpy(self.counts[0])

    def reset_state(self):
        self.counts.assign(ops.zeros(self.counts.shape))


class Dice(_CountMetric):
    """2 tp / (2 tp + fp + fn), 1 where there is nothing to find and nothing found."""

    def __init__(self, classes):
        super().__init__(classes, "dice")

    def result(self):
        tp, fp, fn = self.counts[0], self.counts[1], self.counts[2]
        return ops.mean(ops.where(tp + fp + fn > 0, 2 * tp / ops.maximum(2 * tp + fp + fn, 1), 1.0))


class IoU(_CountMetric):
    """tp / (tp + fp + fn), 1 where there is nothing to find and nothing found."""

    def __init__(self, classes):
        super().__init__(classes, "iou")

    def result(self):
        tp, fp, fn = self.counts[0], self.counts[1], self.counts[2]
        return ops.mean(ops.where(tp + fp + fn > 0, tp / ops.maximum(tp + fp + fn, 1), 1.0))


def make_schedule(peak, steps):
    """Learning rate: a linear warm-up over the first tenth of `steps`, then a cosine to zero at the last."""
    warmup = max(1, steps // 10)
    return keras.optimizers.schedules.CosineDecay(
        peak / 50, max(1, steps - warmup), warmup_target=peak, warmup_steps=warmup
    )
