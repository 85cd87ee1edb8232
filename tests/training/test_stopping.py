"""Ctrl-C during training: never lost, answered between two steps, a second one at once."""

import os
import signal
import threading
import weakref

import keras
import numpy as np
import pytest

from training import stopping


class Batches(keras.utils.PyDataset):
    def __len__(self):
        return 6

    def __getitem__(self, index):
        return np.ones((2, 3), np.float32), np.ones((2, 1), np.float32)


class Sends(keras.callbacks.Callback):
    """Sends Ctrl-C at the begin of the fourth step, `times` times, by `send`; notes the steps that ended."""

    def __init__(self, times, send=signal.raise_signal):
        super().__init__()
        self.times, self.send, self.ended, self.epochs = times, send, 0, 0

    def on_train_batch_begin(self, batch, logs=None):
        if batch == 3:
            for _ in range(self.times):
                self.send(signal.SIGINT)

    def on_train_batch_end(self, batch, logs=None):
        self.ended += 1

    def on_epoch_end(self, epoch, logs=None):
        self.epochs += 1


def where_exceptions_are_dropped(number):
    class Thing:
        pass

    thing = Thing()
    reference = weakref.ref(thing, lambda _: signal.raise_signal(number))
    del thing
    assert reference() is None


@pytest.fixture(scope="module")
def network():
    network = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
    network.compile(loss="mse")
    return network


@pytest.mark.parametrize("send", [signal.raise_signal, where_exceptions_are_dropped])
def test_ctrl_c_during_a_step_ends_training_after_it(network, send):
    before, sends = signal.getsignal(signal.SIGINT), Sends(1, send)
    with pytest.raises(KeyboardInterrupt):
        stopping.fit(network, Batches(), [sends], epochs=3)
    assert (sends.ended, sends.epochs) == (4, 0)
    assert signal.getsignal(signal.SIGINT) is before


def test_a_second_one_ends_it_at_once(network):
    sends = Sends(2)
    with pytest.raises(KeyboardInterrupt):
        stopping.fit(network, Batches(), [sends])
    assert sends.ended == 3


def test_one_that_comes_while_another_error_ends_training_is_not_lost(network):
    def both(number):
        signal.raise_signal(number)
        raise MemoryError

    with pytest.raises(KeyboardInterrupt) as error:
        stopping.fit(network, Batches(), [Sends(1, both)])
    assert isinstance(error.value.__context__, MemoryError)


def test_a_signal_that_is_ignored_stays_ignored(network):
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)  # as of what a script runs in the background
    try:
        sends = Sends(1)
        stopping.fit(network, Batches(), [sends])
        assert (sends.ended, sends.epochs) == (6, 1)
        assert signal.getsignal(signal.SIGINT) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)


@pytest.mark.skipif(os.name == "nt", reason="Windows sends no such signals")
def test_the_handler_of_each_signal_is_asked(network):
    came = []
    before = signal.signal(signal.SIGTERM, lambda number, frame: came.append(number))
    try:
        stopping.fit(network, Batches(), [Sends(1, lambda _: signal.raise_signal(signal.SIGTERM))])
        assert came == [signal.SIGTERM]
    finally:
        signal.signal(signal.SIGTERM, before)


def test_training_in_another_thread_leaves_signals_alone(network):
    sends = Sends(0)
    thread = threading.Thread(target=stopping.fit, args=(network, Batches(), [sends]))
    thread.start()
    thread.join()
    assert sends.epochs == 1
