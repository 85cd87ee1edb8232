"""A signal that asks to stop is answered between two steps of training.

An exception that a signal's handler raises comes up wherever Python happens to be. Where that is the callback of a
weak reference or a `__del__`, of which TensorFlow has many, Python drops it, and training goes on as if nobody had
asked (https://docs.python.org/3/library/signal.html#note-on-signal-handlers-and-exceptions).
"""

import signal
import threading
from contextlib import contextmanager

import keras

ASKING = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]


def fit(network, batches, callbacks, **options):
    """`network.fit`, which a signal to stop ends between two steps.

    Parameters
    ----------
    network : compiled `keras.Model`. batches : `keras.utils.PyDataset`, which shuffles by itself, from its own seed.
    callbacks : list of `keras.callbacks.Callback`. options : further ones of `keras.Model.fit`.

    Raises what the handlers of the signals raise, `KeyboardInterrupt` of Ctrl-C.
    """
    stopping = _Stopping()
    with stopping.watched():
        network.fit(batches, shuffle=False, verbose=0, callbacks=[*callbacks, stopping], **options)


class _Stopping(keras.callbacks.Callback):
    """Hands a signal that came during a step to its handler once the step is done; a second one at once."""

    def __init__(self):
        super().__init__()
        self._asked = None

    @contextmanager
    def watched(self):
        """Within, signals wait for the end of a step; what they did before, they do again afterwards."""
        handlers = {}
        if threading.current_thread() is threading.main_thread():  # no other can set one, and none other is sent one
            handlers = {number: signal.getsignal(number) for number in ASKING}
            handlers = {number: handler for number, handler in handlers.items() if callable(handler)}

        def ask(number, frame):
            again, self._asked = self._asked, (handlers[number], number, frame)
            if again:
                self._answer()

        for number in handlers:
            signal.signal(number, ask)
        try:
            yield
        finally:
            for number, handler in handlers.items():
                signal.signal(number, handler)
            self._answer()

    def _answer(self):
        if self._asked:
            (handler, *signalled), self._asked = self._asked, None
            handler(*signalled)

    def on_train_batch_end(self, batch, logs=None):
        self._answer()

    def on_test_batch_end(self, batch, logs=None):
        self._answer()
