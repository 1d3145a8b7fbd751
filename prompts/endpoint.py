"""A chat model behind any server that speaks the OpenAI protocol (Ollama, llama.cpp, LM Studio,
vLLM, transformers).
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from email.utils import parsedate_to_datetime

from .address import KEY_VARIABLE, Address, api_key, check_address, hide_key
from .chat import Messages
from .split import shorten

MAX_BODY = 1 << 20  # bytes of a response; a split has a few thousand
MAX_WAIT = 30.0  # seconds between two tries
LOST = 0  # the "status" of a connection that failed
RETRY_STATUS = frozenset([LOST, 429, 500, 502, 503, 504])
ADVICE = {
    401: (
        f"Set the environment variable {KEY_VARIABLE} to the server's key (it is sent over https or"
        " to this machine)."
    ),
    403: f"Check the key in the environment variable {KEY_VARIABLE}.",
    404: (
        "Check that base_url ends with the API's path (mostly /v1) and that the server has this"
        " model."
    ),
}


@dataclass(frozen=True)
class Reply:
    """What a server answered: HTTP status, body without the key, and the seconds to wait that it
    asked for, if any.
    """

    status: int
    body: str = ""
    retry_after: float | None = None


@dataclass(frozen=True)
class Endpoint:
    """`complete(messages)` over HTTP. Times in seconds; `poll` is called between tries and may
    raise to stop.

    Rate limits, server errors and lost connections are tried again, `retries` times, after
    `backoff` seconds and then twice as long each time, or after as long as the server's Retry-After
    says.
    """

    base_url: str
    model: str
    connect_timeout: float = 5.0
    read_timeout: float = 120.0
    retries: int = 3
    backoff: float = 0.5
    max_tokens: int = 4096
    poll: Callable[[], None] = lambda: None

    def __call__(self, messages: Messages) -> str:
        """The model's answer. Raises ValueError with what failed and what to do."""
        if not self.model.strip():
            raise ValueError(
                "The model's name is empty. Type the name under which the server knows it."
            )
        address = check_address(self.base_url)
        payload = {"model": self.model.strip(), "messages": messages, "stream": False}
        options = {"temperature": 0, "max_tokens": self.max_tokens}
        attempt = 0
        while True:
            self.poll()
            reply = self._post(address, payload | options)
            if reply.status == 200:
                return answer_of(reply.body)
            if refused := refused_option(reply, options):
                del options[refused]
                continue
            wait = self._wait(reply, attempt)
            if wait is None:
                raise ValueError(refusal(address, reply))
            self._sleep(wait)
            attempt += 1

    def _wait(self, reply: Reply, attempt: int) -> float | None:
        """Seconds until the next try; None when there is none."""
        if reply.status not in RETRY_STATUS or attempt >= self.retries:
            return None
        wait = reply.retry_after
        if wait is None:
            return min(self.backoff * 2**attempt, MAX_WAIT)
        return wait if wait <= MAX_WAIT else None

    def _sleep(self, seconds: float) -> None:
        """Wait, polling twice a second."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            self.poll()
            time.sleep(min(left, 0.5))

    def _post(self, address: Address, payload: dict) -> Reply:
        """One request.

        A lost connection is a Reply too; raises ValueError for what another try would not mend.
        """
        import requests

        deadline = time.monotonic() + self.connect_timeout + self.read_timeout
        timeout = (self.connect_timeout, self.read_timeout)
        try:
            with (
                session_for(address) as session,
                session.post(
                    address.url, json=payload, timeout=timeout, allow_redirects=False, stream=True
                ) as response,
            ):
                body = hide_key(read_body(response, deadline))
                return Reply(
                    response.status_code, body, retry_after(response.headers.get("Retry-After", ""))
                )
        except (requests.ReadTimeout, TimeoutError):
            raise ValueError(
                f"{address.url} gave no answer within {self.read_timeout:g} s. Try a smaller model,"
                " or see if it hangs."
            ) from None
        except requests.ConnectionError:
            return Reply(LOST)
        except requests.RequestException as error:
            raise ValueError(
                f"The request to {address.url} failed ({type(error).__name__})."
            ) from None


def session_for(address: Address):
    """A session that takes no credentials from netrc, and for this machine no proxy."""
    import requests

    session = requests.Session()
    session.trust_env = False
    session.headers["Accept-Encoding"] = "identity"
    if key := api_key(address):
        session.headers["Authorization"] = f"Bearer {key}"
    if not address.loopback:
        session.proxies = requests.utils.get_environ_proxies(address.url)
        session.verify = os.environ.get("REQUESTS_CA_BUNDLE") or True
    return session


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


def refused_option(reply: Reply, options: dict) -> str | None:
    """The option that the server will not have: some models know only their own temperature, some
    another limit.
    """
    return next((name for name in options if reply.status == 400 and name in reply.body), None)


def retry_after(header: str) -> float | None:
    """Seconds that a Retry-After header asks for, as a number or a date; None if it says
    nothing.
    """
    if header.strip().isdecimal():
        return float(header)
    try:
        return max(parsedate_to_datetime(header).timestamp() - time.time(), 0.0)
    except (TypeError, ValueError):
        return None


def refusal(address: Address, reply: Reply) -> str:
    """The message for a status other than 200."""
    status = reply.status
    if status == LOST:
        return f"No connection to {address.url}. Is the server running, and is the port right?"
    if 300 <= status < 400:
        return (
            f"{address.url} redirects elsewhere (HTTP {status}), which is not followed. Enter the"
            " final address."
        )
    said = f" The server says: '{shorten(reply.body, 200)}'." if reply.body.strip() else ""
    advice = ADVICE.get(status) or (
        "Try again later." if status in RETRY_STATUS else "Look at the server's log."
    )
    return f"{address.url} answered with HTTP {status}.{said} {advice}"


def answer_of(body: str) -> str:
    """The text in a chat completion. Raises ValueError when the body is not one."""
    try:
        content = json.loads(body)["choices"][0]["message"]["content"]
        if isinstance(content, list):  # parts, as some servers send them
            content = "".join(part.get("text", "") for part in content)
    except (ValueError, KeyError, IndexError, TypeError, AttributeError, RecursionError):
        content = None
    if not isinstance(content, str):
        raise ValueError(
            f"The server's answer is not a chat completion: '{shorten(body, 200)}'. "
            "Is base_url a chat API (mostly …/v1)?"
        )
    return content
