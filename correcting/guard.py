"""Who may ask: the page that this program has opened, and nobody else, not even another page in the same browser.

The server listens on 127.0.0.1 alone, so other computers do not reach it; pages from elsewhere, open in the same
browser, would. They do not know the token; a browser names the page that asks in `Origin` and `Sec-Fetch-Site`, and the
server that it believes to ask in `Host`, which is another one where a name was made to point here (DNS rebinding).
"""

import hmac
import secrets

HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; "
    "connect-src 'self'; worker-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}


class Guard:
    """Knows the token and the names of a server on `port`; token: None makes a new one."""

    def __init__(self, port, token=None):
        self.token = token or secrets.token_urlsafe(32)
        self.hosts = {f"127.0.0.1:{port}", f"localhost:{port}"}

    def refusal(self, headers, token):
        """Why a request is refused, in words; None where it may pass.

        headers : `http.client.HTTPMessage`. token : what was given as such, a text or None.
        """
        hosts, origins = headers.get_all("Host", []), headers.get_all("Origin", [])
        if len(hosts) != 1 or hosts[0].lower() not in self.hosts:
            return "another host than this computer's own address was asked"
        if any(origin.lower() != f"http://{hosts[0].lower()}" for origin in origins):
            return "a page from elsewhere asked"
        if any(site not in ("same-origin", "none") for site in headers.get_all("Sec-Fetch-Site", [])):
            return "a page from elsewhere asked"
        if not hmac.compare_digest((token or "").encode("utf-8", "replace"), self.token.encode()):
            return "the address lacks its token: open the one that the program has printed"
        return None
