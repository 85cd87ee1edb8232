"""From examples to a finished run folder: a network, fitted with checkpoints, scored on what was held out.

Where memory runs out, training starts again with smaller batches; that is written into the run card, so that a killed
run goes on from the start that it was in.
"""

import gc
import random
import time
from contextlib import contextmanager
from dataclasses import asdict, replace

import keras
import numpy as np

import model as networks
from data import ValidationBatches
from reading.files import InputError, counted, write_json
from scoring.calibration import validation_scores
from training import averaging, budget, checkpoints, precision, run_card, run_folder, stopping
from training.callbacks import KeepBest
from training.losses import Accuracy, Dice, IoU, make_loss, make_schedule, stored_loss
from training.watchdog import LOOK_EVERY, DeadNetwork, Watchdog, choose_crop
from weights import start
from weights.files import load, save
from weights.known_pictures import MOST

SMALLEST_EPOCH = 250  # steps; fewer teach too little where there are few images
SMALLEST_EPOCH_OF_CLASSES = 500  # to tell several classes apart takes longer (benchmarks/README.md)


def new_network(settings, channels, batches, ignoring=False):
    """An untrained network, compiled, and its Dice metric.

    settings : `settings.Settings`; channels : of the images; batches : `data.TrainingBatches`, which know the shares of
    the classes and the steps of an epoch; ignoring : whether pixels of any masks are `data.IGNORED`.
    """
    options = {name: getattr(settings, name) for name in ("filters", "depth", "normalization", "dropout", "upsampling")}
    try:
        with precision.layers_in(settings.precision), seeded(settings.seed):
            network = networks.unet(channels, settings.classes, **options, prior=_prior(batches, settings.classes))
            network = networks.with_apart(network) if batches.seams > 0 else network
    except ValueError as error:  # of a run card that somebody wrote
        raise InputError(f"settings: {error}") from error
    dice = Dice(settings.classes, ignoring)
    network.compile(
        optimizer=keras.optimizers.AdamW(
            make_schedule(settings.learning_rate, settings.epochs * batches.steps), weight_decay=settings.weight_decay
        ),
        loss=make_loss(settings.loss, settings.classes, ignoring),
        weighted_metrics=[Accuracy(dice), dice, IoU(dice)],
        jit_compile=False,  # XLA trains this network at half the speed on a CPU
    )
    network.optimizer.build(network.trainable_variables)  # else TensorFlow traces the first step twice, for seconds
    return network, dice


@contextmanager
def seeded(seed):
    """Layers made within draw their weights from `seed`; the caller's own random numbers then go on where they were."""
    before = random.getstate()  # Keras takes the seeds that it is not given from there
    random.seed(seed)
    try:
        yield
    finally:
        random.setstate(before)


def _weights_but(network, kept):
    """{name of a layer: its weights} of all layers but those named."""
    return {layer.name: layer.get_weights() for layer in network.layers if layer.weights and layer.name not in kept}


def _prior(batches, classes):
    """What the untrained network should predict: the shares of the classes, none quite 0 or 1.

    It then starts from the loss of a good guess instead of spending its first steps on finding that most pixels are
    background (Lin et al., ICCV 2017, section 4.1).
    """
    if classes == 1:
        return float(np.clip(batches.foreground_share, 1e-3, 1 - 1e-3))
    shares = np.maximum(batches.class_shares[:classes], 1e-3)
    return (shares / shares.sum()).tolist()


class Fitting:
    """A training from its first network to scores.json, in a run folder that is this process' own.

    Parameters
    ----------
    run : `run.Run`. data : `train.TrainingData`.
    metadata, card : the parts of the run card that prediction needs, and needs not.
    say : function that shows a line.
    """

    def __init__(self, run, data, metadata, card, say):
        self.run, self.data, self.metadata, self.card, self.say = run, data, metadata, card, say
        self.batches, self.checks = data.batches, data.checks
        self.ignoring = any(part.ignoring for part in (self.batches, self.checks) if part is not None)
        self.held = budget.memory_peak()
        self._set(run.settings)

    def _set(self, settings):
        self.run.settings, self.batches.batch = settings, settings.batch
        smallest = SMALLEST_EPOCH if settings.classes <= 2 else SMALLEST_EPOCH_OF_CLASSES
        self.batches.steps = settings.steps or max(smallest, -(-self.batches.crops_once // settings.batch))
        if self.checks is not None:
            self.checks.batch = settings.batch
        self.metadata["settings"] = asdict(replace(settings, steps=self.batches.steps, loss=stored_loss(settings.loss)))

    def choose_steps(self):
        """Epochs and steps that fill the run's minutes, by the speed of a network that is thrown away."""
        minutes = self.run.minutes
        network, _ = new_network(self.run.settings, self.data.channels, self.batches, self.ignoring)
        speed = budget.rehearse(network, self.batches, self.checks, seconds=3 * minutes)
        del network
        gc.collect()  # before the memory of the training itself is looked at
        speed = replace(speed, step=speed.step * (1 + 1 / LOOK_EVERY))  # a look takes about as long as a step
        left = 60 * minutes - (time.time() - self.run.started)
        if self.run.settings.init != "none":
            left -= averaging.seconds(speed, self.batches)
        epochs, steps = budget.plan(left, speed, self.batches.steps)
        self._set(replace(self.run.settings, epochs=epochs, steps=steps))
        steps = counted(steps, "step")
        self.say(f"--minutes {minutes:g}: {counted(epochs, 'epoch')} of {steps}, by {speed.step:.2f} s a step")

    def fit(self, callbacks):
        """Train to the end; from another start where memory runs out."""
        resume = self.run.resume
        while not self._attempt(resume, callbacks):
            self.network = self.keeper = self.watchdog = None
            run_folder.forget(self.run.folder)
            keras.backend.clear_session()
            gc.collect()  # what the last start held is needed now
            resume = False

    def _attempt(self, resume, callbacks):
        """One start; whether it came to its end."""
        settings, batches, folder = self.run.settings, self.batches, self.run.folder
        batches.epoch = 0
        crop = choose_crop(batches)
        self.network, dice = new_network(settings, self.data.channels, batches, self.ignoring)
        size = self.network, settings.crop_px, settings.batch
        if advice := budget.memory_advice(*size, settings.filters, self.held):
            self.say(advice)
        memory = budget.memory_needed(*size, self.held)
        self.keeper = KeepBest(folder / "model.keras", self.metadata, has_validation=self.checks is not None)
        steps = settings.epochs * batches.steps
        self.watchdog = Watchdog(*crop, settings.classes, steps, dice.foreground, dice.found, self.say)
        done = checkpoints.restore(folder, self.network, self.say) if resume else None
        if done is None:
            line, weights, kept = start.start_from(settings.init, self.network, self._pictures)
            self.card |= {"start": line, "start_weights": start.noted(weights)}
            self.say(line)
            self.start = _weights_but(self.network, kept) if weights else None
        else:
            self.start = self._start_of_before()
        self._store()
        batches.epoch, self.history, self.before = self._take_up(done)
        checkpoint = checkpoints.Checkpoint(folder, self.history, self._progress)
        todo, disk = (settings.epochs - batches.epoch, batches.steps), self.data.examples.store.bytes
        forecast = budget.Forecast(self.checks, *todo, memory, self.say, disk)
        try:
            stopping.fit(
                self.network,
                batches,
                [self.watchdog, self.keeper, checkpoint, forecast, *callbacks],
                validation_data=self.checks,
                initial_epoch=batches.epoch,
                epochs=settings.epochs,
            )
        except DeadNetwork as death:
            self._end(death)
        except Exception as error:
            if not budget.is_out_of_memory(error):
                raise
            self._halve_batch()
            return False
        self.card["estimate"] = forecast.line
        if forecast.first_step:  # none is left where a run goes on after its last epoch
            self.card["first_step_seconds"] = round(forecast.first_step - self.run.started, 1)
        return True

    def _pictures(self):
        """The pictures at hand, of many only some, taken evenly."""
        parts = [self.data.examples, *([self.data.held_out] if self.data.held_out else [])]
        places = [(part, i) for part in parts for i in range(len(part))]
        return (part[i].image for part, i in places[:: -(-len(places) // MOST)])

    def _start_of_before(self):
        """The weights that a run started from which goes on now, None of none."""
        if not (note := self.card.get("start_weights")):
            return None
        if not (path := start.find(note)):
            self.say(f"{note['path']}, which the run started from, is gone or changed: its end is not compared with it")
            return None
        network, _ = new_network(self.run.settings, self.data.channels, self.batches, self.ignoring)
        return _weights_but(network, start.start_from(str(path), network, self._pictures)[2])

    def _take_up(self, done):
        """(finished epochs, their history, their seconds) from the progress in a checkpoint, None for a new start."""
        if done is None:
            return 0, {}, 0.0
        load(self.keeper.path)  # the best epoch's weights: one line now where they are damaged
        self.keeper.best, self.keeper.best_epoch = done["best"], done["best_epoch"]
        self.watchdog.restore(done["watchdog"])
        self.say(f"going on after epoch {done['epoch']} of {self.run.settings.epochs}")
        return done["epoch"], done["history"], done["seconds"]

    def _progress(self):
        best = {"best": self.keeper.best, "best_epoch": self.keeper.best_epoch}
        return best | {"watchdog": self.watchdog.state(), "seconds": self._seconds()}

    def _seconds(self):
        return self.before + time.time() - self.run.started

    def _end(self, death):
        """Keep the best epoch before the network died; `InputError` where it did so before there was one worth it."""
        if self.keeper.best_epoch and not death.at_start:
            end = f"Training ends here, with the network of epoch {self.keeper.best_epoch}."
            self.watchdog.tell_stop(death, end)
            return
        for path in (self.keeper.path, self.run.folder / run_card.CARD):
            path.unlink(missing_ok=True)  # of an epoch of a few steps: as dead as what followed
        run_folder.forget(self.run.folder)
        raise InputError(f"training came to nothing: {death.line}") from death

    def _halve_batch(self):
        settings = self.run.settings
        if settings.batch == 1:
            raise InputError(
                f"memory ran out with batches of 1; expected room for {settings.filters} filters. Close other "
                f"programs and go on with --resume, or start a run with fewer --filters."
            )
        reason, batch = f"memory ran out with batches of {settings.batch}", settings.batch // 2
        self.say(f"{reason}: training starts again from the same seed with batches of {batch}")
        self.card["restarts"].append({"reason": reason, "batch": batch})
        self._set(replace(settings, batch=batch))

    def finish(self):
        """Score the network to keep and complete the run folder; returns the run card."""
        best_epoch, path, settings = self.keeper.best_epoch, self.keeper.path, self.run.settings
        scores = {key: values[best_epoch - 1] for key, values in self.history.items()}
        self.metadata |= {"best_epoch": best_epoch, "scores": scores}
        self.card |= {
            "watchdog": self.watchdog.lines,
            "training_tflop": budget.training_tflop(self.network, settings, self.batches.steps),
            "parameters": self.network.count_params(),
        }
        with seeded(settings.seed):  # for layers that draw random numbers
            best, stored = load(path)
        if "mean_with_start" in stored:  # of a process that was killed on its last lines
            self.metadata |= {name: stored[name] for name in ("mean_with_start", "scores")}
        elif self.start is not None:
            best = self._or_mean_with_start(best)
        if self.checks is not None:
            scores = validation_scores(best, self.checks, self.data.validation, settings.classes)
            write_json(self.run.folder / "scores.json", scores)
            self.metadata["threshold"] = scores["threshold"]
        save(best, path, self.metadata)  # the threshold is known only now, and which network
        run_card.write_history(self.run.folder / "history.csv", self.history)
        self.card |= {"peak_memory_gb": round(budget.memory_peak() / 1e9, 2), "seconds": round(self._seconds(), 1)}
        self.card["finished"] = True
        self._store()
        run_folder.forget(self.run.folder)
        return self.metadata | self.card

    def _or_mean_with_start(self, trained):
        """A trained network, or the mean of it and the one it started from where that is better (`averaging`)."""
        settings = self.run.settings
        with seeded(settings.seed):
            mean, _ = load(self.keeper.path)
        averaging.take_mean(mean, self.start, self.batches)
        validated = self.checks is not None
        checks = self.checks if validated else ValidationBatches(self.data.examples, settings.crop_px, settings.batch)
        of_trained, of_mean = (averaging.dice(network, checks, settings.classes) for network in (trained, mean))
        compared = {"validated": validated, "trained": of_trained, "mean": of_mean}
        kept = averaging.is_better(of_trained, of_mean, validated)
        self.metadata["mean_with_start"] = {"kept": kept} | compared
        if not kept:
            return trained
        self.metadata["scores"] = {"val_dice": of_mean} if validated else {}
        what = "validation Dice" if validated else "Dice on what it learnt"
        self.say(
            f"kept: the mean of the trained weights and those it started from, which forgets less: {what} "
            f"{of_mean:.3f}, trained alone {of_trained:.3f}"
        )
        return mean

    def _store(self):
        write_json(self.run.folder / run_card.CARD, self.metadata | self.card)
