"""One request to a chat server, which another thread can cut while the server still thinks."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable
from concurrent.futures import Future, wait
from contextlib import suppress
from functools import partial
from threading import Thread
from typing import TYPE_CHECKING, Any, TypeVar

from .address import Address, api_key

if TYPE_CHECKING:
    import requests
    from requests.adapters import HTTPAdapter

MAX_BODY = 1 << 20  # bytes of a response; a split has a few thousand
POLL_SECONDS = 0.2

Result = TypeVar("Result")


def run_polled(
    work: Callable[[], Result], poll: Callable[[], None], cut: Callable[[], None]
) -> Result:
    """The result of `work()`, done in another thread, or what it raises.

    `poll` is called here meanwhile; when it raises, `cut` is called, which must end the work.
    """
    future: Future[Result] = Future()
    Thread(target=fill_future, args=(future, work), daemon=True).start()
    try:
        while not wait([future], POLL_SECONDS).done:
            poll()
    except BaseException:
        cut()
        raise
    return future.result()


def fill_future(future: Future[Result], work: Callable[[], Result]) -> None:
    """Do the work, and put its result or what it raises into the future."""
    try:
        future.set_result(work())
    except BaseException as error:
        future.set_exception(error)


def session_for(address: Address) -> requests.Session:
    """A session that takes no credentials from netrc, and for this machine no proxy.

    `cut_connections` ends what it waits for.
    """
    import requests

    session = requests.Session()
    session.trust_env = False
    adapter = make_adapter()
    session.mount("http://", adapter)
    session.mount("https://", adapter)
    session.headers["Accept-Encoding"] = "identity"
    if key := api_key(address):
        session.headers["Authorization"] = f"Bearer {key}"
    if not address.loopback:
        session.proxies = requests.utils.get_environ_proxies(address.url)
        session.verify = os.environ.get("REQUESTS_CA_BUNDLE") or True
    return session


def make_adapter() -> HTTPAdapter:
    """A transport that remembers its connections: a request that waits gives no other hold."""
    from requests.adapters import HTTPAdapter

    class RememberingAdapter(HTTPAdapter):
        def __init__(self) -> None:
            super().__init__()
            self.connections = []

        def get_connection_with_tls_context(self, *args, **kwargs):
            pool: Any = super().get_connection_with_tls_context(*args, **kwargs)
            pool.ConnectionCls = partial(open_connection, pool.ConnectionCls, self.connections)
            return pool

    return RememberingAdapter()


def open_connection(connect: Callable, connections: list, **options):
    """A new connection of the pool, which joins the list."""
    connections.append(connect(**options))
    return connections[-1]


def cut_connections(session: requests.Session) -> None:
    """End what the session waits for; the server sees the connection close."""
    adapter: Any = session.get_adapter("https://")  # of make_adapter
    for connection in adapter.connections:
        if connection.sock is not None:
            with suppress(OSError):
                connection.sock.shutdown(socket.SHUT_RDWR)


def read_body(response, deadline: float) -> str:
    """The body, at most MAX_BODY bytes.

    Raises TimeoutError after `deadline` (monotonic), ConnectionError when cut.
    """
    from requests import ConnectionError
    from urllib3.exceptions import HTTPError, ReadTimeoutError

    if response.headers.get("Content-Encoding", "identity") != "identity":
        raise ValueError("The server sent a compressed answer although it was asked not to.")
    read = getattr(response.raw, "read1", response.raw.read)
    body = b""
    try:
        while chunk := read(1 << 14):
            body += chunk
            if len(body) > MAX_BODY:
                raise ValueError(
                    f"The server's answer is longer than {MAX_BODY} bytes. Is base_url a chat API?"
                )
            if time.monotonic() > deadline:
                raise TimeoutError
    except ReadTimeoutError:
        raise TimeoutError from None
    except HTTPError as error:
        raise ConnectionError(type(error).__name__) from None
    return body.decode("utf-8", errors="replace")
