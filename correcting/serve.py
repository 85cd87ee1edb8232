"""The command: the desk, the server and the browser, from the first line to Ctrl-C."""

import webbrowser
from pathlib import Path

from correcting.desk import Desk
from correcting.opening import Masks, Network
from correcting.pictures import find_pictures
from correcting.retraining import Trainer
from correcting.server import Server
from reading.files import counted


def correct(data, paths, model, open_model, runs, browser=True):
    """Serve the page until the program is ended.

    Parameters
    ----------
    data : path of the data folder. paths : of the pictures; none: all of the data folder.
    model : path of the network that finds the first cells. open_model : function that opens a network's path.
    runs : the folder of all runs. browser : whether to open the page in one.
    """
    data = Path(data)
    pictures = find_pictures(data, paths)
    desk = Desk(data, pictures, Masks(data), Network(model, open_model))
    with desk, Server(desk, Trainer()) as server:
        print(f"{counted(len(pictures), 'picture')} to correct, with {data} for what is saved")
        print(f"the page, for this computer alone: {server.address}")
        print("all is saved as you go; to end, press Ctrl-C here", flush=True)
        if browser:
            webbrowser.open(server.address)
        try:
            server.serve_forever()
        except KeyboardInterrupt as stop:
            print(f"\nended; all is saved in {desk.folder}")
            if type(stop) is not KeyboardInterrupt:  # ended by others than the user
                raise
