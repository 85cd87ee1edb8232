"""Requests of others than the page: of pages from elsewhere in the same browser, and of names that point here."""

import json
import socket

import pytest

from correcting.desk import Desk
from correcting.opening import Masks
from correcting.pictures import find_pictures
from tests.correcting.served import NoNetwork, serving
from tests.helpers import listing, make_folder

EDIT = {"version": 0, "row": 0, "column": 0, "height": 1, "width": 1, "runs": [9, 1]}
ASKED = {
    "the page": ("GET", "/?token={token}", None),
    "a file of the page": ("GET", "/page/index.html?token={token}", None),
    "the list": ("GET", "/api/fields", None),
    "a picture": ("GET", "/api/fields/1/picture", None),
    "labels": ("GET", "/api/fields/1/labels", None),
    "an edit": ("POST", "/api/fields/1/edits", EDIT),
    "done": ("POST", "/api/fields/1/state", {"done": True}),
    "training": ("POST", "/api/train", {}),
    "its state": ("GET", "/api/train", None),
    "its end": ("POST", "/api/train/stop", {}),
}
FOREIGN = {
    "no token": {"X-Token": None},
    "another token": {"X-Token": "x" * 43},
    "a token that is no ASCII": {"X-Token": "\xe9"},
    "a name that points here": {"Host": "evil.example:{port}"},
    "a name that begins as ours": {"Host": "127.0.0.1.evil.example:{port}"},
    "another port": {"Host": "127.0.0.1:1"},
    "no port": {"Host": "127.0.0.1"},
    "no host": {"Host": None},
    "a page from elsewhere": {"Origin": "https://evil.example"},
    "a file or a frame without an origin": {"Origin": "null"},
    "a page of another server here": {"Origin": "http://127.0.0.1:8888"},
    "the other name of this server": {"Origin": "http://localhost:{port}"},
    "a link or an image elsewhere": {"Sec-Fetch-Site": "cross-site"},
    "another server's page on this computer": {"Sec-Fetch-Site": "same-site"},
}


class Trainer:
    """Must not be asked for anything."""

    def __getattr__(self, name):
        raise AssertionError(name)


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    data = make_folder(tmp_path_factory.mktemp("data"), count=2)
    desk = Desk(data, find_pictures(data), Masks(data), NoNetwork())
    with serving(desk, Trainer()) as client:
        client.labels(1)
        yield client, data


@pytest.mark.parametrize("asked", ASKED)
@pytest.mark.parametrize("foreign", FOREIGN)
def test_whoever_is_not_the_page_is_refused(served, asked, foreign):
    client, data = served
    before = listing(data)
    method, path, told = ASKED[asked]
    host = f"127.0.0.1:{client.port}"
    headers = {"Host": host, "X-Token": client.token, "Origin": f"http://{host}", "Sec-Fetch-Site": "same-origin"}
    wrong = {name: value and value.format(port=client.port) for name, value in FOREIGN[foreign].items()}
    path = path.format(token=wrong.get("X-Token", client.token) or "")
    headers = {name: value for name, value in (headers | wrong).items() if value is not None}
    status, content = raw(client.port, method, path, headers, told)
    assert status == 403
    assert b"cell0" not in content and client.token.encode() not in content
    assert b"access-control" not in content.lower()
    assert listing(data) == before


def test_the_token_of_the_address_does_not_open_the_api(served):
    client, _ = served
    for path in ("/api/fields/1/picture", "/api/fields"):  # as an <img> would ask for it
        assert client.ask("GET", f"{path}?token={client.token}", headers={})[0] == 403
    assert client.ask("GET", "/")[0] == 403, "nor the header the page"


def test_a_question_before_a_foreign_request_gets_no_permission(served):
    client, _ = served
    status, content = raw(client.port, "OPTIONS", "/api/fields", {"Host": f"127.0.0.1:{client.port}"})
    assert status in (403, 405, 501) and b"access-control" not in content.lower()


@pytest.mark.parametrize(
    "path",
    [
        "/page/..%2fserver.py", "/page/../server.py", "/page/.%2e/guard.py", "/page//etc/passwd", "/page/index.html/..",
        "/api/fields/0/picture", "/api/fields/3/picture", "/api/fields/..%2f1/picture", "/api/fields/1/../2/picture",
        "/api/fields/-1/picture", "/api/fields/\u0661/picture", "/api/fields/1/labels/x", "/data", "//evil.example/",
    ],
)  # fmt: skip
def test_only_what_is_listed_can_be_asked_for(served, path):
    client, _ = served
    host = {"Host": f"127.0.0.1:{client.port}", "X-Token": client.token}
    status, content = raw(client.port, "GET", f"{path}?token={client.token}", host)
    assert status == 404, content


def keeps_to_itself(headers):
    policy = headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'") and "unsafe" not in policy and "frame-ancestors 'none'" in policy
    assert headers["Cache-Control"] == "no-store" and headers["Referrer-Policy"] == "no-referrer"
    assert headers["X-Content-Type-Options"] == "nosniff" and headers["X-Frame-Options"] == "DENY"
    assert headers["Cross-Origin-Resource-Policy"] == "same-origin"
    return not [name for name in headers if name.lower().startswith("access-control")]


def test_every_answer_keeps_to_itself(served):
    client, _ = served
    for path in (f"/?token={client.token}", "/api/fields", "/api/fields/1/picture", "/api/fields/1/labels", "/nothing"):
        assert keeps_to_itself(client.ask("GET", path)[1])


@pytest.mark.parametrize("method", ["PUT", "DELETE", "HEAD", "OPTIONS", "TRACE", "NONSENSE"])
def test_other_methods_are_answered_as_everything_else(served, method):
    client, _ = served
    status, headers, content = client.ask(method, "/api/fields")
    assert status == 501 and keeps_to_itself(headers) and headers["Content-Type"] == "application/json"
    assert content == b"" if method == "HEAD" else method in json.loads(content)["error"]


@pytest.mark.parametrize(
    ("told", "status"),
    [
        (b"{", 400),
        (b"[1]", 400),
        (b"[" * 10**6, 400),
        (EDIT | {"runs": [9, 2]}, 400),
        (EDIT | {"runs": [9, -1, 9, 2]}, 400),
        (EDIT | {"runs": [65536, 1]}, 400),
        (EDIT | {"runs": [1.5, 1]}, 400),
        (EDIT | {"runs": [9, 2**63]}, 400),
        (EDIT | {"runs": "9,1"}, 400),
        (EDIT | {"row": -1}, 400),
        (EDIT | {"row": 48}, 400),
        (EDIT | {"height": 2**40, "width": 2**40, "runs": [1, 2**62]}, 400),
        (EDIT | {"height": True}, 400),
        ({"version": 0}, 400),
        (EDIT | {"version": 7}, 409),
        (EDIT | {"version": None}, 409),
        (EDIT | {"version": False}, 409),
        (EDIT | {"version": 0.0}, 409),
        (EDIT | {"runs": [True, 1]}, 400),
        (EDIT | {"runs": []}, 400),
        (EDIT | {"runs": 9}, 400),
    ],
)
def test_a_malformed_edit_changes_nothing(served, told, status):
    client, data = served
    before, labels = listing(data), client.labels(1)
    assert client.json("POST", "/api/fields/1/edits", told)[0] == status
    assert listing(data) == before and (client.labels(1)[1] == labels[1]).all()


def test_a_request_that_is_too_large_is_not_read(served):
    client, _ = served
    headers = {"Host": f"127.0.0.1:{client.port}", "X-Token": client.token}
    for more, expected in ({"Content-Length": "99999999999"}, 413), ({"Transfer-Encoding": "chunked"}, 411), ({}, 411):
        assert raw(client.port, "POST", "/api/fields/1/edits", headers | more)[0] == expected


def test_other_computers_do_not_reach_it(served):
    client, _ = served
    others = {info[4][0] for info in socket.getaddrinfo(socket.gethostname(), None, socket.AF_INET)} - {"127.0.0.1"}
    for address in others or {"127.0.0.2"}:
        with pytest.raises(OSError):
            socket.create_connection((address, client.port), timeout=2).close()


def raw(port, method, path, headers, told=None):
    """(status, everything else) of a request exactly as given."""
    body = b"" if told is None else json.dumps(told).encode()
    length = {} if told is None else {"Content-Length": str(len(body))}
    lines = [f"{method} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in (headers | length).items())]
    with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
        connection.sendall("\r\n".join([*lines, "Connection: close", "", ""]).encode("utf-8") + body)
        answer = b""
        while part := connection.recv(2**16):
            answer += part
    return int(answer.split()[1]), answer
