"""The page's requests, answered on 127.0.0.1: the standard library's HTTP server, with the routes of the page."""

import hashlib
import json
import os
import re
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from correcting.desk import WrongVersion
from correcting.guard import HEADERS, Guard
from correcting.retraining import Busy
from reading.files import InputError

PAGE = Path(__file__).resolve().parent / "page"
KINDS = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
    ".png": "image/png",
}
TOKEN = b"__TOKEN__"  # in the page's files, where the token belongs
MOST_BYTES = 2**25  # of a request
IDLE_SECONDS = 60
ADDRESS = ".address.json"  # beside the working copies: port and token of the server, and what it serves


class Server(ThreadingHTTPServer):
    """Serves a `desk.Desk` and a `retraining.Trainer`; to be used in a `with`.

    It is found under the address of the last one of this folder, so that a page that is open still goes on, and what it
    has not sent is not lost: as long as it shows the same pictures, in the same order and by the same network.
    """

    daemon_threads = True
    allow_reuse_address = os.name != "nt"  # where it would let two programs share a port

    def __init__(self, desk, trainer):
        self.desk, self.trainer = desk, trainer
        self._kept = desk.folder / ADDRESS
        port, token = self._last_address()
        try:
            super().__init__(("127.0.0.1", port), Handler)
        except OSError:  # another program has that port now, which must not learn a token in use
            token = None
            super().__init__(("127.0.0.1", 0), Handler)
        self.guard, self._noted = Guard(self.server_port, token), None
        self.service_actions()

    def _last_address(self):
        try:
            port, token, served = json.loads(self._kept.read_text(encoding="utf-8"))
            return int(port), str(token) if len(token) >= 43 and served == self._served() else None
        except (OSError, ValueError, TypeError):
            return 0, None

    def service_actions(self):
        """Keep the address, and what is served there: another network too, once it is in use. Called as time passes."""
        served = self._served()
        if served == self._noted:
            return
        self._noted = served
        self._kept.unlink(missing_ok=True)
        with open(os.open(self._kept, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:  # for its owner alone
            json.dump([self.server_port, self.guard.token, served], file)

    def _served(self):
        """What the numbers of pictures stand for towards a page, and by which network their first cells are."""
        pictures = [(one.path.name, one.height, one.width) for one in self.desk.pictures.values()]
        told = json.dumps([pictures, str(self.desk.network.path)])
        return hashlib.sha256(told.encode()).hexdigest()

    @property
    def address(self):
        """Of the page, with its token."""
        return f"http://127.0.0.1:{self.server_port}/?token={self.guard.token}"

    def handle_error(self, request, client_address):
        """A browser that closes a connection is no fault; whatever else happens, `Handler` has answered."""


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = IDLE_SECONDS
    disable_nagle_algorithm = True
    wbufsize = -1  # headers and content leave together

    def do_GET(self):
        self._answer("GET")

    def do_POST(self):
        self._answer("POST")

    def version_string(self):
        return "correct"

    def send_error(self, code, message=None, explain=None):
        """Answer what the standard library refuses by itself, such as other methods, as everything else is answered."""
        self.close_connection = True
        self._send_json({"error": message or "a request that is none"}, code)

    def log_message(self, *told):
        """Nothing: what a user reads is the program's own lines."""

    def _answer(self, method):
        asked = urlsplit(self.path)
        is_api = asked.path.startswith("/api/")
        token = self.headers.get("X-Token") if is_api else (parse_qs(asked.query).get("token") or [None])[0]
        refused = self.server.guard.refusal(self.headers, token)
        if refused:
            self.close_connection = True
            return self._send_json({"error": refused}, 403)
        try:
            told = self._content() if method == "POST" else None
            route = _route(method, asked.path)
            if route is None:
                return self._send_json({"error": f"{method} {asked.path}: there is no such thing"}, 404)
            name, parts = route
            getattr(self, f"_{name}")(*parts, *([told] if method == "POST" else []))
        except Refused as refused:
            self._send_json(refused.told, refused.status)
        except WrongVersion as wrong:
            self._send_json(
                {"error": "these cells were changed in another tab or window", "version": wrong.version}, 409
            )
        except Busy as busy:
            self._send_json({"error": str(busy)}, 409)
        except InputError as error:
            self._send_json({"error": str(error)}, 422)
        except ConnectionError:
            self.close_connection = True
        except OSError as error:
            self._send_json({"error": f"not saved: {error.strerror or error}"}, 507)
        except Exception as error:
            self._send_json({"error": f"a fault of the program ({type(error).__name__}: {error})"}, 500)
            raise

    def _content(self):
        """The JSON that a request holds, a dictionary."""
        length = self.headers.get("Content-Length", "")
        if "Transfer-Encoding" in self.headers or not re.fullmatch("[0-9]{1,12}", length):
            self.close_connection = True
            raise Refused(411, "a request without its length")
        if int(length) > MOST_BYTES:
            self.close_connection = True
            raise Refused(413, f"{int(length):,} bytes in one request; expected {MOST_BYTES:,} at most")
        try:
            told = json.loads(self.rfile.read(int(length)))
        except (ValueError, RecursionError):
            told = None
        if not isinstance(told, dict):
            raise Refused(400, "a request that is no JSON object")
        return told

    # ----------------------------------------------------------------------------------------------------------- routes

    def _page(self, name="index.html"):
        path = PAGE / name
        if path.suffix not in KINDS or not path.is_file():
            raise Refused(404, f"{name}: there is no such file")
        content = path.read_bytes()
        if path.suffix in (".html", ".js", ".css"):
            content = content.replace(TOKEN, self.server.guard.token.encode())
        self._send(content, KINDS[path.suffix])

    def _fields(self):
        model = self.server.desk.network.path
        self._send_json({"fields": self.server.desk.fields(), "model": model and str(model)})

    def _picture(self, number):
        self._send(self.server.desk.picture(self._known(number)), "image/png")

    def _labels(self, number):
        found = self.server.desk.labels(self._known(number))
        if found is None:
            return self._send_json({"state": "predicting"}, 202)
        version, content = found
        more = {"Content-Encoding": "gzip", "X-Version": str(version)}
        self._send(content, "application/octet-stream", more=more)

    def _edit(self, number, told):
        try:
            version, cells = self.server.desk.edit(self._known(number), told)
        except InputError as error:
            raise Refused(400, str(error)) from None
        self._send_json({"version": version, "cells": cells})

    def _state(self, number, told):
        if not isinstance(told.get("done"), bool):
            raise Refused(400, "a state without done, true or false")
        self._send_json(self.server.desk.set_done(self._known(number), told["done"]))

    def _training(self):
        self._send_json(self.server.trainer.state())

    def _train(self, told):
        self.server.trainer.start()
        self._send_json(self.server.trainer.state(), 202)

    def _stop(self, told):
        self.server.trainer.stop()
        self._send_json(self.server.trainer.state())

    def _known(self, number):
        if number not in self.server.desk.pictures:
            raise Refused(404, f"{number}: there is no such picture")
        return number

    # ---------------------------------------------------------------------------------------------------------- sending

    def _send_json(self, value, status=200):
        self._send(json.dumps(value).encode(), "application/json", status)

    def _send(self, content, kind, status=200, more=None):
        self.send_response(status)
        told = {"Content-Type": kind, "Content-Length": str(len(content))} | HEADERS | (more or {})
        if self.close_connection:
            told["Connection"] = "close"
        for name, value in told.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)
        self.wfile.flush()


class Refused(Exception):
    """A request that is answered with a status and a line, and nothing else."""

    def __init__(self, status, line):
        self.status, self.told = status, {"error": line}


ROUTES = [
    ("GET", re.compile(r"/"), "page"),
    ("GET", re.compile(r"/page/([A-Za-z0-9_-]+\.[a-z]+)"), "page"),
    ("GET", re.compile(r"/api/fields"), "fields"),
    ("GET", re.compile(r"/api/fields/([0-9]+)/picture"), "picture"),
    ("GET", re.compile(r"/api/fields/([0-9]+)/labels"), "labels"),
    ("POST", re.compile(r"/api/fields/([0-9]+)/edits"), "edit"),
    ("POST", re.compile(r"/api/fields/([0-9]+)/state"), "state"),
    ("GET", re.compile(r"/api/train"), "training"),
    ("POST", re.compile(r"/api/train"), "train"),
    ("POST", re.compile(r"/api/train/stop"), "stop"),
]


def _route(method, path):
    """(name of the answering method, the parts of the path that it takes); None where there is none."""
    for known, pattern, name in ROUTES:
        match = pattern.fullmatch(path)
        if match and known == method:
            return name, match.groups()
    return None
