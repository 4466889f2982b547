"""What keeps a server of this machine to this machine's page: who may ask, and what is answered.

A web page from anywhere can send requests to a server on the machine of whoever looks at it. It can
read the answers only if it seems to come from the same place, for which its name has to lead here
(DNS rebinding); and it can change nothing without the token that is in our page.
"""

from __future__ import annotations

import ipaddress
import secrets
import socket
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Message, Receive, Send], Awaitable[None]]

TOKEN_HEADER = "x-rsaug-token"
MOST_BODY_BYTES = 1 << 20
_MOST_DIGITS = 20

CONTENT_POLICY = "; ".join(
    [
        "default-src 'self'",
        # MapLibre makes pictures of what it draws itself.
        "img-src 'self' data: blob:",
        "worker-src 'self' blob:",
        "object-src 'none'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    ]
)

_HEADERS = {
    "content-security-policy": CONTENT_POLICY,
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
}
_READS = ("GET",)


class Guard:
    """Answers only what this page asks, and says in each answer what the page may do.

    Args:
        app: What answers.
        host: Where the server listens.
        token: What a request that changes something has to carry.
    """

    def __init__(self, app: App, host: str, token: str) -> None:
        self._app, self._token = app, token
        self._open = not is_loopback(host)
        self._names = {"localhost", host.lower()}
        if self._open:
            self._names.add(socket.gethostname().lower())

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1008})
            return
        headers = {name.decode("latin-1"): v.decode("latin-1") for name, v in scope["headers"]}
        refusal = self._refusal(scope["method"], headers)
        if refusal is not None:
            await _refuse(*refusal, send)
            return
        await self._app(scope, receive, _with_headers(send))

    def _refusal(self, method: str, headers: MutableMapping[str, str]) -> tuple[int, str] | None:
        """Status and sentence for a request that is not answered; None for one that is."""
        if not self._is_here(headers.get("host", "")):
            return 421, "This server does not answer under that name."
        # A link to the page may be followed from anywhere; nothing else.
        followed = method == "GET" and headers.get("sec-fetch-mode") == "navigate"
        if headers.get("sec-fetch-site", "none") not in ("same-origin", "none") and not followed:
            return 403, "Only the page of this server may ask."
        if method in _READS:
            return None
        if method != "POST":
            return 405, "Only GET and POST are answered."
        # As bytes: of text it compares ASCII alone.
        token = headers.get(TOKEN_HEADER, "").encode("latin-1")
        if not secrets.compare_digest(token, self._token.encode()):
            return 403, "This needs the token of the page."
        origin = headers.get("origin")
        if origin is not None and origin.partition("://")[2] != headers.get("host"):
            return 403, "Only the page of this server may ask."
        if headers.get("content-type", "").partition(";")[0].strip() != "application/json":
            return 415, "JSON is needed."
        length = headers.get("content-length", "")
        # In chunks there may come more than is said.
        if not length.isdecimal() or "transfer-encoding" in headers:
            return 411, "The length of the content is needed."
        if len(length) > _MOST_DIGITS or int(length) > MOST_BODY_BYTES:
            return 413, "The content is too long."
        return None

    def _is_here(self, given: str) -> bool:
        """Whether a Host header names this server, whatever the port."""
        name = host_name(given)
        if name is None:
            return False
        if name in self._names or (is_loopback(name) and _as_ip(name) is not None):
            return True
        # Nobody's name can be made to lead to a bare number.
        return self._open and _as_ip(name) is not None


def host_name(given: str) -> str | None:
    """The name or number in a Host header, without a port; None for what is no such header."""
    text = given.strip().lower()
    if text.startswith("["):
        name, closed, port = text[1:].partition("]")
        port = port.removeprefix(":")
    else:
        name, _, port = text.partition(":")
        closed = "]"
    good = name and closed and (port == "" or (port.isdecimal() and len(port) <= 5))
    return name.rstrip(".") if good else None


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches a server that listens there."""
    address = _as_ip(host)
    return host == "localhost" if address is None else address.is_loopback


def _as_ip(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None


def _with_headers(send: Send) -> Send:
    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            message["headers"] = [*message.get("headers", []), *_encoded(_HEADERS.items())]
        await send(message)

    return sending


async def _refuse(status: int, sentence: str, send: Send) -> None:
    content = sentence.encode()
    headers = {
        **_HEADERS,
        "content-type": "text/plain; charset=utf-8",
        "content-length": str(len(content)),
        "connection": "close",
    }
    start = {"type": "http.response.start", "status": status, "headers": _encoded(headers.items())}
    await send(start)
    await send({"type": "http.response.body", "body": content})


def _encoded(headers: Iterable[tuple[str, str]]) -> list[tuple[bytes, bytes]]:
    return [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers]
