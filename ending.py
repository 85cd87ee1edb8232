"""How others end the program: by the signals that the system sends."""

import signal
import threading
from contextlib import contextmanager


class Terminated(KeyboardInterrupt):
    """SIGTERM or SIGHUP came: what `kill`, a computer that shuts down and a terminal that is closed send."""


@contextmanager
def stopped_by_signals():
    """Within, SIGTERM and SIGHUP end the program as Ctrl-C does; afterwards they do what they did before."""

    def stop(number, frame):
        raise Terminated

    before = {}
    if threading.current_thread() is threading.main_thread():  # no other can set one
        for number in {signal.SIGTERM, getattr(signal, "SIGHUP", signal.SIGTERM)}:
            handler = signal.getsignal(number)  # None: one that Python could not put back
            if handler is not None and (number == signal.SIGTERM or handler is not signal.SIG_IGN):  # as by `nohup`
                before[number] = signal.signal(number, stop)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
