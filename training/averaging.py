"""The mean of a trained network and the one that it started from.

A few pictures do not show all that the start knew, and training forgets what they do not show. The network with the
mean of both weights often does better on other pictures than either (Wortsman et al., Robust fine-tuning of zero-shot
models, CVPR 2022); the statistics of its normalisation follow, as between any weights that are averaged (Izmailov et
al., Averaging weights leads to wider optima, UAI 2018). benchmarks/README.md has what it gains here.
"""

import copy

from model import NormalizedConv2D
from training.losses import Dice

BATCHES = 20  # that the statistics follow, as in training: 12 % of the averaged ones are left
CLEARLY_WORSE = 0.05  # Dice


def take_mean(network, start, batches):
    """Give `network`, a keras.Model, the mean of its weights and `start`, and statistics that fit them.

    start : {name of a layer: list of ndarrays}, the weights that it started from; others keep what they learnt.
    batches : `data.TrainingBatches`; the first of its first epoch are looked at, whichever it is in.
    """
    for layer in network.layers:
        if layer.name in start:
            both = zip(layer.get_weights(), start[layer.name], strict=True)
            layer.set_weights([(one + other) / 2 for one, other in both])
    if not any(isinstance(layer, NormalizedConv2D) for layer in network.layers):
        return
    first = copy.copy(batches)
    first.epoch = 0
    for index in range(BATCHES):
        network(first[index][0], training=True)


def seconds(speed, batches):
    """About how long it takes to find the mean and compare it, by a `budget.Speed` of the training's own steps."""
    one_pass = speed.validation or speed.step * batches.crops_once / batches.batch
    return 2 * BATCHES * speed.step + 2 * one_pass  # a forward pass that is not compiled takes about two steps


def dice(network, checks, classes):
    """Dice of a network on `data.ValidationBatches`, at a probability of 0.5, averaged over the foreground classes."""
    metric = Dice(classes)
    for images, truth, weight in checks:
        metric.update_state(truth, network(images, training=False), weight)
    return float(metric.result())


def is_better(trained, mean, validated):
    """Whether the mean is to be kept, by the Dice of both.

    validated : on pictures that were held out. Else the Dice is that of what was learnt, which the trained network fits
        best by its making: the mean is then kept unless it is clearly worse, as between networks that do not go
        together, such as where the start knew nothing of such pictures.
    """
    return mean >= trained - (0 if validated else CLEARLY_WORSE)
