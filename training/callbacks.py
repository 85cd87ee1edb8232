"""What happens while a network trains: what people see, and which epoch's network is kept."""

import time

import keras
from tqdm import tqdm

from weights.files import save


class ProgressBar(keras.callbacks.Callback):
    """One bar an epoch, then one line with the epoch's scores."""

    warm = False

    def on_epoch_begin(self, epoch, logs=None):
        self.started = time.time()
        self.bar = tqdm(
            total=self.params["steps"],
            desc=f"epoch {epoch + 1}/{self.params['epochs']}",
            unit="step",
            leave=False,
            mininterval=1,
            disable=None,
        )

    def on_train_batch_end(self, batch, logs=None):
        if not self.warm:  # in the first step the network was compiled: the time left is told by the others
            self.warm = True
            self.bar.unpause()
        self.bar.update()
        if batch % 10 == 0:
            self.bar.set_postfix_str(f"loss {logs['loss']:.4f}, Dice {logs['dice']:.3f}", refresh=False)

    def on_epoch_end(self, epoch, logs=None):
        seconds = time.time() - self.started
        self.bar.close()
        line = f"epoch {epoch + 1}/{self.params['epochs']}: loss {logs['loss']:.4f}, Dice {logs['dice']:.3f}"
        if "val_dice" in logs:
            line += (
                f"; validation Dice {logs['val_dice']:.3f}, IoU {logs['val_iou']:.3f}, "
                f"pixel accuracy {logs['val_accuracy']:.3f}"
            )
        print(f"{line} ({seconds:.0f} s)")


class KeepBest(keras.callbacks.Callback):
    """Saves the model after each epoch whose validation Dice is the best so far (the last one without validation)."""

    def __init__(self, path, metadata, has_validation):
        super().__init__()
        self.path, self.metadata, self.has_validation = path, metadata, has_validation
        self.best, self.best_epoch = -1.0, 0

    def on_epoch_end(self, epoch, logs=None):
        score = logs["val_dice"] if self.has_validation else float(epoch)
        if score > self.best:
            self.best, self.best_epoch = score, epoch + 1
            save(self.model, self.path, self.metadata)
