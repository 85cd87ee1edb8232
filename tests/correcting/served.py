"""A server of `correct` in this process or in one of its own, and requests to it."""

import gzip
import json
import os
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from http.client import HTTPConnection
from urllib.parse import parse_qs, urlsplit

import numpy as np

from correcting.server import Server
from tests.helpers import ROOT


class Client:
    """Asks a server as its page does; `address` is what the program prints."""

    def __init__(self, address):
        parts = urlsplit(address)
        self.port, self.token = parts.port, parse_qs(parts.query)["token"][0]
        self.connection = HTTPConnection("127.0.0.1", self.port, timeout=60)

    def ask(self, method, path, told=None, headers=None):
        """(status, headers, content) of a request."""
        headers = {"X-Token": self.token} if headers is None else headers
        body = None if told is None else told if isinstance(told, bytes) else json.dumps(told).encode()
        self.connection.request(method, path, body, headers)
        answer = self.connection.getresponse()
        return answer.status, answer.headers, answer.read()

    def json(self, method, path, told=None):
        """(status, what the JSON holds)."""
        status, _, content = self.ask(method, path, told)
        return status, json.loads(content)

    def field(self, name):
        return next(field for field in self.json("GET", "/api/fields")[1]["fields"] if field["name"] == name)

    def labels(self, number):
        """(version, uint16 labels) of a picture, waited for."""
        while True:
            status, headers, content = self.ask("GET", f"/api/fields/{number}/labels")
            if status != 202:
                break
            time.sleep(0.01)
        assert status == 200, content
        field = self.json("GET", "/api/fields")[1]["fields"][int(number) - 1]
        labels = np.frombuffer(gzip.decompress(content), "<u2").reshape(field["height"], field["width"])
        return int(headers["X-Version"]), labels

    def edit(self, number, version, row, column, labels):
        """(status, answer) of new labels for a rectangle."""
        from correcting.transfer import runs_of

        height, width = labels.shape
        told = {"version": version, "row": row, "column": column, "height": height, "width": width}
        return self.json("POST", f"/api/fields/{number}/edits", told | {"runs": runs_of(labels)})


class NoNetwork:
    """Finds one square cell in every picture."""

    path = "a_network.keras"

    def labels(self, picture):
        labels = np.zeros((picture.height, picture.width), np.uint16)
        labels[2:6, 2:6] = 1
        return labels


@contextmanager
def serving(desk, trainer=None):
    """A `Client` of a server in a thread of this process."""
    with desk, Server(desk, trainer) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        client = Client(server.address)
        try:
            yield client
        finally:
            client.connection.close()
            server.shutdown()
            thread.join()


@contextmanager
def running(*arguments):
    """(process, `Client`) of `main.py correct` in a process of its own, killed at the end."""
    process = subprocess.Popen(
        [sys.executable, ROOT / "main.py", "correct", "--no-browser", *map(str, arguments)],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=os.environ | {"PYTHONUNBUFFERED": "1"},
    )  # fmt: skip
    try:
        told = []
        for line in process.stdout:
            told.append(line)
            if "http://" in line:
                break
        assert told and "http://" in told[-1], told
        client = Client(told[-1].split()[-1])
        yield process, client
        client.connection.close()
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
