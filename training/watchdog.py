"""The watchdog: looks at a network while it learns and says in one plain line what would end in grey masks.

The famous failure of U-Nets is one grey value in every pixel, found after hours. Here the network is asked, every few
steps, for the probabilities of one and the same training crop, as it computes them in training. How they vary over the
pixels is judged, not their mean nor the loss alone: a healthy network starts by answering the share of foreground too,
but not the same in every pixel. A look changes nothing that the training computes.
"""

import math
from dataclasses import dataclass

import keras
import numpy as np
from keras import ops

from pairing.masks import IGNORED

FIRST_LOOKS = (5, 10, 20, 40, 60, 80, 100)  # steps after which to look; from then on every `LOOK_EVERY`
LOOK_EVERY = 50
PATIENCE = 3  # looks in a row that must agree
SAME = 0.01  # probabilities whose logarithms have a smaller standard deviation are one value: they differ by 1 %
SHARP = 0.02  # a smaller contrast tells cells and background apart no better than chance
FAINT = 0.05  # a smaller contrast after an epoch in which no pixel of the foreground was found is a standstill
EMPTY_BATCHES = 20
SHORT_START = 40  # steps that count as the start of any training


class DeadNetwork(Exception):  # noqa: N818  (a state to act on, caught by fitting.py; users never see its name)
    """Raised inside `fit`: going on is useless. `line` says why in plain words, `step` after which step of all.

    at_start : True in the first epoch or the first steps of all: no epoch is worth keeping then.
    """

    def __init__(self, line, step, at_start):
        super().__init__(line)
        self.line, self.step, self.at_start = line, step, at_start


@dataclass(frozen=True)
class Vitals:
    """What a network makes of some pixels of known class.

    spread : standard deviation over the pixels of the logarithm of a class's probability, of the class where it is
        largest; 0.01 means that the probabilities differ by one per cent.
    contrast : mean probability of a class in its own pixels less that in all others, averaged over the classes present;
        0 for any constant answer, 1 for a perfect one (Tjur, The American Statistician 63, 2009); nan where the pixels
        are all of one class.
    entropy : cross-entropy of the answer, in nats a pixel.
    baseline : the cross-entropy of always answering the shares of the classes in these pixels, the best that a constant
        can do: −Σ p ln p.
    """

    spread: float
    contrast: float
    entropy: float
    baseline: float

    @property
    def constant(self):
        return self.spread < SAME and self.baseline > 0  # to pixels of one class one value may be the right answer

    @property
    def at_baseline(self):
        return self.contrast < SHARP and self.entropy > 0.98 * self.baseline


def vitals_of(probability, masks):
    """The `Vitals` of an answer.

    Parameters: probability, float (n, height, width, 1 or K) in 0…1; masks, integer class ids (n, height, width, 1),
    of which `IGNORED` ones do not count, and with one class all others above 0 are foreground.
    """
    known = np.asarray(masks)[..., 0] != IGNORED
    probability, truth = np.asarray(probability, np.float64)[known], np.asarray(masks)[..., 0][known]
    if probability.shape[-1] == 1:
        probability, truth = np.concatenate([1 - probability, probability], -1), truth > 0
    classes = range(probability.shape[-1])
    shares = [float(np.mean(truth == k)) for k in classes]
    logarithm = np.log(np.clip(probability, 1e-6, 1))
    present = [k for k in classes if 0 < shares[k] < 1]
    contrasts = [probability[truth == k, k].mean() - probability[truth != k, k].mean() for k in present]
    return Vitals(
        spread=float(max(logarithm[..., k].std() for k in classes)),
        contrast=float(np.mean(contrasts)) if present else math.nan,
        entropy=float(-np.mean(np.take_along_axis(logarithm, truth[..., np.newaxis].astype(int), -1))),
        baseline=float(-sum(shares[k] * math.log(shares[k]) for k in present)),
    )


def choose_crop(batches, tries=4):
    """The crop of the first batch that mixes its classes most: image and integer mask, both (1, height, width, ·).

    Batches whose masks are all of one class are passed over, `tries` times at most.
    """
    for index in range(min(tries, len(batches))):
        images, masks = batches[index]
        mixture = [_mixture(mask) for mask in masks]
        if max(mixture) > 0:
            break
    chosen = int(np.argmax(mixture))
    return images[chosen : chosen + 1], masks[chosen : chosen + 1]


def _mixture(mask):
    counts = np.unique(mask[mask != IGNORED], return_counts=True)[1]
    shares = counts / counts.sum()
    return -np.sum(shares * np.log(shares))


def make_probe(network):
    """A network from an image to (probabilities, [the largest output of each ReLU layer]), and those layers' names."""
    rectifiers = [
        layer
        for layer in network.layers
        if isinstance(layer, keras.layers.ReLU) or getattr(layer, "activation", None) is keras.activations.relu
    ]
    tops = [ops.cast(ops.max(layer.output), "float32") for layer in rectifiers]
    return keras.Model(network.input, [network.output, *tops]), [layer.name for layer in rectifiers]


class Watchdog(keras.callbacks.Callback):
    """Watches a training. It must stand before the callback that saves models.

    Parameters
    ----------
    image, mask : the crop to look at, of `choose_crop`.
    classes : int, 1 or K of K classes; a channel more is the answer that keeps objects apart, at which nobody looks.
    steps : int, of the whole training; nothing is held against a network for not learning in the first tenth, while
        the learning rate rises.
    foreground_seen, foreground_found : functions giving the number of pixels of each foreground class in the batches of
        this epoch so far, and of those that were found, ndarrays (classes,).
    say : function that shows a line.

    Raises `DeadNetwork` where going on is useless: the loss or a weight is not a number, or one value comes out for
    every pixel. `lines` holds what was said.
    """

    def __init__(self, image, mask, classes, steps, foreground_seen, foreground_found, say=print):
        super().__init__()
        self.image, self.mask, self.classes, self.steps = image, mask, classes, steps
        self.foreground_seen, self.foreground_found = foreground_seen, foreground_found
        self.say = say
        self.step = self.epoch = 0
        self.lines = []
        self._looks_in_a_row = {}
        self._said = set()

    # ------------------------------------------------------------------------------------------------ Keras calls these

    def on_train_begin(self, logs=None):
        self.probe, self.rectifiers = make_probe(self.model)

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch
        self._seen, self._seen_at = 0, self.step

    def on_train_batch_end(self, batch, logs=None):
        self.step += 1
        if not math.isfinite(logs["loss"]):
            self._stop(f"the loss is {logs['loss']}", self._cause_of_nan())
        if self.step in FIRST_LOOKS or (self.step > FIRST_LOOKS[-1] and self.step % LOOK_EVERY == 0):
            self._look()
        if batch + 1 == self.params["steps"]:  # now, since validation counts from 0 again
            self._check_masks()
            missed = (self.foreground_seen() > 0) & (self.foreground_found() == 0)
            self._missed = [int(number) for number in np.flatnonzero(missed) + 1]
            to_find = self.step - self._seen_at < EMPTY_BATCHES
            self._nothing_found = to_find and bool(self._missed) and not self.foreground_found().any()

    def on_epoch_end(self, epoch, logs=None):
        """The network as it predicts: with a batch normalisation's running statistics and without dropout."""
        self._check_weights()
        vitals, _ = self._measure(training=False)
        if vitals.constant:
            self._tell("grey", *self._constant("as it predicts, the network"))
        elif self.step >= SHORT_START and self._nothing_found and vitals.contrast < FAINT:
            self._tell(
                "nothing",
                "it found no pixel of the foreground in a whole epoch",
                "an unlucky draw of the first weights or foreground that hardly differs from its surroundings; train "
                "with another seed, and look at the masks with `python main.py check`",
            )
        elif self.step >= self.steps and vitals.at_baseline:
            self._tell("stuck", *self._at_baseline(vitals))
        elif self.step >= self.steps and self._missed and len(self.foreground_seen()) > 1:
            self._tell(
                "missed",
                f"it found no pixel of class {', '.join(map(str, self._missed))} in the last epoch",
                "a class that is rare or looks like another; train with more --epochs, or with more images of it",
            )

    def state(self):
        """What the next epoch needs to know, for JSON; `restore` takes it."""
        return {"step": self.step, "lines": self.lines, "said": sorted(self._said), "in_a_row": self._looks_in_a_row}

    def restore(self, state):
        self.step, self.lines = state["step"], state["lines"]
        self._said, self._looks_in_a_row = set(state["said"]), state["in_a_row"]

    # ------------------------------------------------------------------------------------------------------------ looks

    def _look(self):
        self._check_weights()
        vitals, dead = self._measure(training=True)
        symptoms = {}
        if vitals.constant:
            symptoms["grey"] = self._constant("the network", dead)
        elif dead:
            symptoms["dead"] = (
                f"{_layers(dead)} only zeros, and so can never learn again",
                "an unlucky draw of the first weights or a learning rate that is too high; train with another seed "
                "or more filters",
            )
        if vitals.at_baseline and self.step > self.steps / 10:
            symptoms["stuck"] = self._at_baseline(vitals)
        self._looks_in_a_row = {name: self._looks_in_a_row.get(name, 0) + 1 for name in symptoms}
        for name, (seen, cause) in symptoms.items():
            if self._looks_in_a_row[name] >= PATIENCE:
                if name == "grey":
                    self._stop(seen, cause)
                self._tell(name, seen, cause)
        self._check_masks()

    def _measure(self, training):
        # In a stateless scope running statistics and dropout's random state stay what they were.
        with keras.StatelessScope():
            probability, *tops = self.probe(self.image, training=training)
        tops = [float(ops.convert_to_numpy(top)) for top in tops]
        dead = [name for name, top in zip(self.rectifiers, tops, strict=True) if top <= 0]
        return vitals_of(ops.convert_to_numpy(probability)[..., : self.classes], self.mask), dead

    def _check_weights(self):
        for weight in self.model.weights:  # `self.model` brings JAX's weights up to date, for the probe too
            if not np.isfinite(ops.convert_to_numpy(weight)).all():
                self._stop(f"the weights of {weight.path} are not finite", self._cause_of_nan())

    def _check_masks(self):
        seen = self.foreground_seen().sum()
        if seen > self._seen:
            self._seen, self._seen_at = seen, self.step
        elif self.step - self._seen_at >= EMPTY_BATCHES:
            self._tell(
                "empty",
                f"no foreground in the masks of {self.step - self._seen_at} batches in a row",
                "masks that are nearly all empty, or another mask value that means foreground; look at them with "
                "`python main.py check`, and name the value with --foreground",
            )

    # ------------------------------------------------------------------------------------------------------------ words

    def _cause_of_nan(self):
        if np.isfinite(self.image).all():
            return "a learning rate that is too high; lower `learning_rate`"
        return "pixels in the images that are not numbers; export those images again"

    def _constant(self, who, dead=()):
        because = f" ({_layers(dead)} only zeros)" if dead else ""
        return (
            f"{who} gives one value to every pixel, the grey mask{because}",
            "an unlucky draw of the first weights or a learning rate that is too high; train with another seed or a "
            "lower `learning_rate`",
        )

    def _at_baseline(self, vitals):
        return (
            f"it tells the classes apart no better than by always answering their shares: cross-entropy "
            f"{vitals.entropy:.3f}, that answer's {vitals.baseline:.3f}",
            "masks that do not belong to their images, or too few steps; look at them with `python main.py check`",
        )

    def _stop(self, seen, cause):
        raise DeadNetwork(_line(self.step, seen, cause), self.step, self._at_start())

    def _at_start(self):
        return self.epoch == 0 or self.step <= SHORT_START

    def tell_stop(self, death, end):
        """Say and keep the line of a `DeadNetwork` and how the training ends."""
        self.lines.append(f"{death.line} {end}")
        self.say(f"watchdog: {self.lines[-1]}")

    def _tell(self, name, seen, cause):
        if name not in self._said:
            self._said.add(name)
            self.lines.append(_line(self.step, seen, cause))
            self.say(f"watchdog: {self.lines[-1]}")


def _layers(names):
    return f"{names[0]} gives" if len(names) == 1 else f"{len(names)} layers from {names[0]} on give"


def _line(step, seen, cause):
    return f"after step {step} {seen}; likely {cause}."
