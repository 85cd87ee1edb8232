"""From settings to a finished run folder: fitting with checkpoints, and starting again where a start came to nothing.

A start comes to nothing where the network is dead (watchdog.py) or memory runs out; each is written into the run card,
so that a killed run goes on from the start that it was in.
"""

import time
from dataclasses import asdict, replace

import keras

from reading.files import InputError, write_json
from scoring.calibration import validation_scores
from training import budget, checkpoints, heap, run_card, run_folder
from training.watchdog import LOOK_EVERY, DeadNetwork, Watchdog, choose_crop
from weights.files import load, save
from weights.start import start_from

SMALLEST_EPOCH = 250  # steps; fewer teach too little where there are few images
SMALLEST_EPOCH_OF_CLASSES = 500  # to tell several classes apart takes longer (benchmarks/README.md)
NEW_DRAW = 2**31  # added to the seed of a training that starts again, in a circle of 2**32 seeds


class Fitting:
    """A training from its first network to scores.json, in a run folder that is this process' own.

    Parameters
    ----------
    run_dir : Path. settings : `train.Settings`. batches, checks : of data.py, `checks` None without validation.
    card, record : the parts of the run card that prediction needs, and needs not.
    say : function that shows a line. started : `time.time()` when the user's command began.
    make_network : function (settings, seed) → (an untrained compiled network, its Dice metric).
    make_keeper : `train.KeepBest`.
    """

    def __init__(self, run_dir, settings, batches, checks, card, record, say, started, make_network, make_keeper):
        self.run_dir, self.batches, self.checks = run_dir, batches, checks
        self.make_network, self.make_keeper = make_network, make_keeper
        self.card, self.record, self.say, self.started = card, record, say, started
        self.held = budget.memory_peak()
        self._set(settings)

    def _set(self, settings):
        self.settings, self.batches.batch = settings, settings.batch
        smallest = SMALLEST_EPOCH if settings.classes <= 2 else SMALLEST_EPOCH_OF_CLASSES
        self.batches.steps = settings.steps or max(smallest, -(-self.batches.crops_once // settings.batch))
        if self.checks is not None:
            self.checks.batch = settings.batch
        self.card["settings"] = asdict(replace(settings, steps=self.batches.steps))

    def choose_steps(self, minutes):
        """Epochs and steps that fill the time, by the speed of a network that is thrown away."""
        network, _ = self.make_network(self.settings, self.settings.seed)
        speed = budget.rehearse(network, self.batches, self.checks, seconds=3 * minutes)
        del network
        heap.release()
        speed = replace(speed, step=speed.step * (1 + 1 / LOOK_EVERY))  # a look takes about as long as a step
        left = 60 * minutes - (time.time() - self.started)
        epochs, steps = budget.plan(left, speed, self.batches.steps)
        self._set(replace(self.settings, epochs=epochs, steps=steps))
        epochs = f"{epochs} epoch{'s' * (epochs > 1)}"
        self.say(f"--minutes {minutes:g}: {epochs} of {steps} steps, by {speed.step:.2f} s a step")

    def fit(self, pictures, resume, callbacks):
        """Train to the end; from another start where the network is dead or memory runs out."""
        while not self._attempt(pictures, resume, callbacks):
            self.network = self.keeper = self.watchdog = None
            run_folder.forget(self.run_dir)
            keras.backend.clear_session()
            heap.release()
            resume = False

    def _attempt(self, pictures, resume, callbacks):
        """One start; whether it came to its end."""
        settings, batches, restarts = self.settings, self.batches, self.record["restarts"]
        redrawn = any("seed" in restart for restart in restarts)
        batches.epoch = 0
        crop, seed = choose_crop(batches), (settings.seed + NEW_DRAW * redrawn) % 2**32
        self.network, dice = self.make_network(settings, seed)
        size = self.network, settings.crop_px, settings.batch
        if advice := budget.memory_advice(*size, settings.filters, self.held):
            self.say(advice)
        memory = budget.memory_needed(*size, self.held)
        self.keeper = self.make_keeper(self.run_dir / "model.keras", self.card, has_validation=self.checks is not None)
        steps = settings.epochs * batches.steps
        self.watchdog = Watchdog(*crop, steps, dice.foreground, dice.found, self.say, restart=not redrawn)
        done = checkpoints.restore(self.run_dir, self.network, self.say) if resume else None
        if done is None and not redrawn:
            self.record["start"] = start_from(settings.init, self.network, pictures)
            self.say(self.record["start"])
        self._store()
        batches.epoch, self.history, self.before = self._take_up(done)
        checkpoint = checkpoints.Checkpoint(self.run_dir, self.history, self._progress)
        forecast = budget.Forecast(self.checks, settings.epochs - batches.epoch, batches.steps, memory, self.say)
        try:
            self.network.fit(
                batches,
                validation_data=self.checks,
                initial_epoch=batches.epoch,
                epochs=settings.epochs,
                shuffle=False,  # the batches shuffle by themselves, from their own seed
                verbose=0,
                callbacks=[self.watchdog, self.keeper, checkpoint, forecast, heap.KeepMemory(), *callbacks],
            )
        except DeadNetwork as death:
            return self._after_death(death, redrawn)
        except Exception as error:
            if not budget.is_out_of_memory(error):
                raise
            self._halve_batch()
            return False
        self.record["estimate"] = forecast.line
        if forecast.first_step:  # none is left where a run goes on after its last epoch
            self.record["first_step_seconds"] = round(forecast.first_step - self.started, 1)
        return True

    def _take_up(self, done):
        """(finished epochs, their history, their seconds) from the progress in a checkpoint, None for a new start."""
        if done is None:
            return 0, {}, 0.0
        load(self.keeper.path)  # the best epoch's weights: one line now where they are damaged
        self.keeper.best, self.keeper.best_epoch = done["best"], done["best_epoch"]
        self.watchdog.restore(done["watchdog"])
        self.say(f"going on after epoch {done['epoch']} of {self.settings.epochs}")
        return done["epoch"], done["history"], done["seconds"]

    def _progress(self):
        best = {"best": self.keeper.best, "best_epoch": self.keeper.best_epoch}
        return best | {"watchdog": self.watchdog.state(), "seconds": self._seconds()}

    def _seconds(self):
        return self.before + time.time() - self.started

    def _after_death(self, death, redrawn):
        """Whether the training ends here, rather than starting again from another draw."""
        if not death.at_start:
            end = f"Training ends here, with the network of epoch {self.keeper.best_epoch}."
            self.watchdog.tell_stop(death, end)
            return True
        if redrawn:
            for path in (self.keeper.path, self.run_dir / run_card.CARD):
                path.unlink(missing_ok=True)  # of an epoch of a few steps: as dead as what followed
            run_folder.forget(self.run_dir)
            raise InputError(
                f"training failed twice, the second time from another draw of the first weights: {death.line}"
            ) from death
        self.say(f"watchdog: {death.line} Training starts again from another draw of the first weights.")
        seed = (self.settings.seed + NEW_DRAW) % 2**32
        self.record["restarts"].append({"reason": death.line, "step": death.step, "seed": seed})
        return False

    def _halve_batch(self):
        batch = self.settings.batch
        if batch == 1:
            raise InputError(
                f"memory ran out with batches of 1; expected room for {self.settings.filters} filters. Close other "
                f"programs and go on with --resume, or start a run with fewer --filters."
            )
        reason = f"memory ran out with batches of {batch}"
        self.say(f"{reason}: training starts again from the same seed with batches of {batch // 2}")
        self.record["restarts"].append({"reason": reason, "batch": batch // 2})
        self._set(replace(self.settings, batch=batch // 2))

    def finish(self, validation):
        """Score the best epoch and complete the run folder; returns the run card."""
        best_epoch, path = self.keeper.best_epoch, self.keeper.path
        scores = {key: values[best_epoch - 1] for key, values in self.history.items()}
        self.card |= {"best_epoch": best_epoch, "scores": scores}
        self.record |= {
            "watchdog": self.watchdog.lines,
            "training_tflop": _tflop(self.network, self.settings, self.batches.steps),
            "parameters": self.network.count_params(),
        }
        if self.checks is not None:
            best, _ = load(path)
            scores = validation_scores(best, self.checks, validation, self.settings.classes)
            write_json(self.run_dir / "scores.json", scores)
            self.card["threshold"] = scores["threshold"]
            save(best, path, self.card)  # the threshold is known only now
        run_card.write_history(self.run_dir / "history.csv", self.history)
        self.record |= {"peak_memory_gb": round(budget.memory_peak() / 1e9, 2), "seconds": round(self._seconds(), 1)}
        self.record["finished"] = True
        self._store()
        run_folder.forget(self.run_dir)
        heap.release()
        return self.card | self.record

    def _store(self):
        write_json(self.run_dir / run_card.CARD, self.card | self.record)


def _tflop(network, settings, steps):
    """10^12 operations of the whole training: one forward and two backward passes, 2 operations a multiply-add."""
    multiply_adds = budget.count_multiply_adds(network, settings.crop_px, settings.crop_px, training=True)
    return round(6 * multiply_adds * settings.batch * steps * settings.epochs / 1e12, 2)
