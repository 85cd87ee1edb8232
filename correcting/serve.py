"""The command: the desk, the server and the browser, from the first line to Ctrl-C."""

import os
import sys
import webbrowser
from functools import partial
from pathlib import Path
from types import MappingProxyType

from correcting.desk import Desk
from correcting.opening import Masks, Network
from correcting.pictures import find_pictures
from correcting.retraining import Trainer
from correcting.server import Server
from predicting.magnification import Stated
from reading.files import counted

NOTHING = MappingProxyType({})


def correct(data, paths, model, open_model, runs, browser=True, stated=NOTHING):
    """Serve the page until the program is ended.

    Parameters
    ----------
    data : path of the data folder. paths : of the pictures; none: all of the data folder.
    model : path of the network that finds the first cells. open_model : function that opens a network's path.
    runs : the folder of all runs. browser : whether to open the page in one.
    stated : of all pictures, a dictionary of arguments of `magnification.Stated`.
    """
    data, open_model = Path(data), partial(open_model, stated=Stated(**stated))
    network = Network(model, open_model)
    if stated:
        network.metadata()  # refuses what it cannot make use of
    pictures = find_pictures(data, paths)
    desk = Desk(data, pictures, Masks(data), network)
    trainer = Trainer(desk, runs, open_model)
    with desk, Server(desk, trainer) as server:
        trainer.follow_left()
        print(f"{counted(len(pictures), 'picture')} to correct; what is saved lies in {data}")
        print(f"the page, for this computer alone: {server.address}")
        print("all is saved as you go; to end, press Ctrl-C here", flush=True)
        try:
            if browser and has_screen():
                webbrowser.open(server.address)
            server.serve_forever()
        except KeyboardInterrupt as stop:
            if type(stop) is not KeyboardInterrupt:  # ended by others than the user
                stop.args = (f"stopped; all is saved in {desk.folder}",)
                raise
        finally:
            trainer.end()
    print(f"ended; all is saved in {desk.folder}")


def has_screen():
    """Whether a browser can show itself; a text browser would take the terminal."""
    return sys.platform != "linux" or bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
