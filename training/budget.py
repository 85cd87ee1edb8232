"""What a training will take, before it does: seconds from timed steps, memory from the sizes of the layers.

Timing changes nothing that a training computes: it listens to the first real steps, or runs on a network that is thrown
away.
"""

import copy
import math
import sys
import time
from dataclasses import dataclass

import keras
import psutil
from keras import layers, ops

from reading.files import InputError
from reading.machine import memory_free
from training import stopping

# Measured with TensorFlow on a CPU, 2 to 16 filters, batches of 2 to 8: what its graphs and threads take, and the bytes
# held at the peak of a step for each byte that the layers put out.
RUNTIME, ACTIVATIONS = 350e6, 1.0
ENOUGH_SECONDS, ENOUGH_STEPS = 5, 30  # of timed steps, whichever comes first
SHORTEST = 5  # steps; a smaller budget of time is refused


# -------------------------------------------------------------------------------------------------------------- memory


def is_out_of_memory(error):
    """Whether an exception means that memory ran out: of NumPy or Python, TensorFlow, PyTorch or JAX."""
    names = {kind.__name__ for kind in type(error).__mro__}
    return bool(names & {"MemoryError", "ResourceExhaustedError", "OutOfMemoryError"}) or (
        "XlaRuntimeError" in names and "RESOURCE_EXHAUSTED" in str(error)
    )


def memory_peak():
    """The most bytes that this process has held so far."""
    if sys.platform == "win32":
        return psutil.Process().memory_info().peak_wset
    import resource  # not on Windows

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def memory_needed(network, crop_px, batch, held):
    """Bytes that this process will hold at the peak of a training.

    network : keras.Model; crop_px, batch : the size of its input; held : `memory_peak` before any network has run.
    """
    outputs = [layer.output for layer in network.layers]
    image = keras.KerasTensor((batch, crop_px, crop_px, network.input_shape[-1]))
    shapes = [output.shape for output in keras.Model(network.input, outputs).compute_output_spec(image)]
    sizes = [2 if "16" in layer.compute_dtype else 4 for layer in network.layers]
    put_out = sum(size * math.prod(shape) for size, shape in zip(sizes, shapes, strict=True))
    weights = 4 * network.count_params()
    return int(held + RUNTIME + ACTIVATIONS * put_out + 4 * weights)  # gradients, two moments, a copy


def memory_advice(network, crop_px, batch, filters, held):
    """One line where a training does not fit into memory, and what would make it fit; None where it fits."""
    free = memory_free()
    need = memory_needed(network, crop_px, batch, held) - held
    if need <= free:
        return None
    fitting = [size for size in range(batch - 1, 0, -1) if memory_needed(network, crop_px, size, held) - held <= free]
    remedy = f"--batch {fitting[0]}" if fitting else f"--batch 1 --filters {max(1, filters // 2)}"
    return (
        f"memory: this training needs about {_gigabytes(need)} more, {_gigabytes(free)} are free. "
        f"Close other programs, or start again with {remedy}."
    )


def _gigabytes(count):
    return f"{count / 1e9:.1f} GB"


# ---------------------------------------------------------------------------------------------------------------- time


@dataclass(frozen=True)
class Speed:
    """Seconds: of a step, of validating once, of getting ready (before the first step), of the end (scoring)."""

    step: float
    validation: float
    start: float
    end: float

    def seconds(self, epochs, steps):
        """Of a whole training of `epochs` times `steps`."""
        return self.start + epochs * (steps * self.step + self.validation) + self.end


class Stopwatch(keras.callbacks.Callback):
    """Times the steps of the first epoch that it sees; `speed` is what they say.

    checks : the `data.ValidationBatches`, None without.
    """

    def __init__(self, checks):
        super().__init__()
        self.checks = checks
        self.start, self.steps = 0.0, 0

    def on_train_begin(self, logs=None):
        self._began = time.perf_counter()

    def on_train_batch_end(self, batch, logs=None):
        now = time.perf_counter()
        if batch == 0:  # Keras builds its functions in the first step; the pipeline fills
            self.start = max(self.start, now - self._began)
            self._first, self.steps = now, 0
        else:
            self.steps, self.timed = self.steps + 1, now - self._first

    def speed(self):
        step = self.timed / self.steps
        passes = 0.0
        if self.checks is not None:
            pixels, *_ = self.checks[0]
            for _ in range(2):  # the first one finds nothing ready
                began = time.perf_counter()
                with keras.StatelessScope():
                    ops.convert_to_numpy(self.model(pixels, training=False))
                passes = (time.perf_counter() - began) * len(self.checks)
        ready = max(0.0, self.start - step)
        # Validation and scoring build a forward pass each, about a third of a training step's graph.
        return Speed(step, passes, ready + (ready / 3 if passes else 0), (ready / 2 + 1.5 * passes) if passes else 0)


class Forecast(Stopwatch):
    """Says once, after the first steps, how long the training will take and how much memory.

    `first_step` is the `time.time()` at which the first step was done, `line` what was said; None before.

    Parameters
    ----------
    checks : as in `Stopwatch`.
    epochs, steps : what is still to be done, epochs times steps.
    memory : bytes, of `memory_needed`.
    say : function that shows a line.
    disk : bytes, of the `pixel_store.PixelStore`.
    """

    def __init__(self, checks, epochs, steps, memory, say, disk=0):
        super().__init__(checks)
        self.todo, self.memory, self.disk, self.say, self.line = (epochs, steps), memory, disk, say, None
        self.first_step = None

    def on_train_batch_end(self, batch, logs=None):
        self.first_step = self.first_step or time.time()
        if self.line is not None:
            return
        super().on_train_batch_end(batch, logs)
        if self.steps and (self.timed >= ENOUGH_SECONDS or self.steps >= ENOUGH_STEPS or batch + 1 == self.todo[1]):
            self.seconds = self.speed().seconds(*self.todo)
            disk = f", {_gigabytes(self.disk)} of disk" if self.disk else ""
            self.line = (
                f"estimate: {duration(self.seconds)} of training, {_gigabytes(self.memory)} of memory "
                f"({_gigabytes(memory_free())} more are free){disk}"
            )
            self.say(self.line)


def duration(seconds):
    """Seconds for people: `40 s`, `1.5 min`, `12 min`, `2 h 10 min`."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 600:  # rounded to minutes, a short time would be a fifth off
        return f"{round(seconds / 30) / 2:g} min"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"


# -------------------------------------------------------------------------------------------------- a budget of minutes


def rehearse(network, batches, checks, seconds):
    """The `Speed` of a compiled network that is thrown away afterwards, timed for about `seconds` at most.

    `batches` and `checks` stay as they are; a copy of the batches counts its own epochs.
    """
    trial = copy.copy(batches)
    stopwatch = Stopwatch(checks)
    trial.steps = 4
    stopping.fit(network, trial, [stopwatch])
    trial.steps = max(8, min(100, int(seconds / (stopwatch.timed / stopwatch.steps))))
    stopping.fit(network, trial, [stopwatch])
    return stopwatch.speed()


def plan(seconds, speed, usual_steps):
    """(epochs, steps of an epoch) of the longest training that fits into `seconds`.

    Epochs are about `usual_steps` long where there is time for at least one, else there is one shorter epoch. Raises
    `InputError` where not even `SHORTEST` steps fit.
    """
    left = seconds - speed.start - speed.end
    epochs = max(1, int(left / (usual_steps * speed.step + speed.validation)))
    steps = int((left / epochs - speed.validation) / speed.step)
    if steps < SHORTEST:
        short = SHORTEST * speed.step + speed.validation - left
        raise InputError(
            f"the time of --minutes is too short by {duration(max(1, short))} for {SHORTEST} steps here; expected "
            "more. Give more minutes, fewer images or --filters."
        )
    return epochs, steps


# ----------------------------------------------------------------------------------------------------------- computing


def count_multiply_adds(model, height, width, training=False):
    """Multiply-adds of all convolutions in one forward pass over one (height, width) image.

    Twice this number is the usual FLOP count; a training step costs about three times a forward pass. With `training`
    the convolutions that only serve the statistics of batch normalisation are counted too, and it is a float.
    """
    convolutions = [x for x in model.layers if isinstance(x, (layers.Conv2D, layers.Conv2DTranspose))]
    # a transposed convolution multiplies once per input pixel, the others once per output pixel
    ends = [x.input if isinstance(x, layers.Conv2DTranspose) else x.output for x in convolutions]
    image = keras.KerasTensor((1, height, width, model.input_shape[-1]))
    shapes = [end.shape for end in keras.Model(model.input, ends).compute_output_spec(image)]
    counts = [h * w * math.prod(x.kernel.shape) for x, (_, h, w, _) in zip(convolutions, shapes, strict=True)]
    if training:
        sampled = [(count, getattr(x, "sampling", 1)) for x, count in zip(convolutions, counts, strict=True)]
        counts += [count / sampling**2 for count, sampling in sampled if sampling > 1]
    return sum(counts)


def training_tflop(network, settings, steps):
    """10^12 operations of a whole training: one forward and two backward passes, 2 operations a multiply-add."""
    multiply_adds = count_multiply_adds(network, settings.crop_px, settings.crop_px, training=True)
    return round(6 * multiply_adds * settings.batch * steps * settings.epochs / 1e12, 2)
