"""A chat model behind any server that speaks the OpenAI protocol (Ollama, llama.cpp, LM Studio,
vLLM, transformers).
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from functools import partial
from typing import TYPE_CHECKING

from .address import KEY_VARIABLE, Address, check_address, hide_key
from .answers import AnswerError
from .chat import Messages
from .connection import cut_connections, read_body, run_polled, session_for
from .split import shorten

if TYPE_CHECKING:
    import requests

MAX_WAIT = 30.0  # seconds between two tries
LOST = 0  # the "status" of a connection that failed
RETRY_STATUS = frozenset([LOST, 429, 500, 502, 503, 504])
REFUSAL_STATUS = frozenset([400, 415, 422, 501])
FORMAT_WORDS = re.compile("response_format|json_schema|grammar|guided|structured", re.IGNORECASE)
# What a completion may hold in place of its content, and the cure.
THOUGHT_ONLY = "Switch its thinking off on the server, or choose a model that does not think."
SAID_INSTEAD = {
    "refusal": "Choose another model, or the method 'rules'.",
    "tool_calls": "Switch tools off on the server, or choose another model.",
    "reasoning_content": THOUGHT_ONLY,
    "reasoning": THOUGHT_ONLY,
    "thinking": THOUGHT_ONLY,
}
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
    """`complete(messages)` over HTTP. Times in seconds; `poll` is called several times a second
    while this waits, and may raise to stop: then the connection is cut, so that the server stops
    too. A `response_format` is asked for, unless the server will have none.

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
    response_format: dict | None = None
    poll: Callable[[], None] = lambda: None

    def __call__(self, messages: Messages) -> str:
        """The model's answer. ValueError with what failed and what to do."""
        if not self.model.strip():
            raise ValueError(
                "The model's name is empty. Type the name under which the server knows it."
            )
        address = check_address(self.base_url)
        payload = {"model": self.model.strip(), "messages": messages, "stream": False}
        options = {"temperature": 0, "max_tokens": self.max_tokens}
        if self.response_format:
            options["response_format"] = self.response_format
        attempt = 0
        while True:
            self.poll()
            reply = self._post(address, payload | options)
            if reply.status == 200:
                return read_completion(reply.body)
            if refused := refused_option(reply, options):
                del options[refused]
                continue
            wait = self._wait(reply, attempt)
            if wait is None:
                raise ValueError(describe_refusal(address, reply))
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
        """One request, done in another thread while this one polls.

        A lost connection is a Reply too; raises ValueError for what another try would not mend.
        """
        import requests

        with session_for(address) as session:
            try:
                return run_polled(
                    partial(self._exchange, session, address, payload),
                    self.poll,
                    partial(cut_connections, session),
                )
            except (requests.ReadTimeout, TimeoutError):
                raise ValueError(
                    f"{address.url} gave no answer within {self.read_timeout:g} s. Try a smaller"
                    " model, or see if it hangs."
                ) from None
            except requests.ConnectionError:
                return Reply(LOST)
            except requests.RequestException as error:
                raise ValueError(
                    f"The request to {address.url} failed ({type(error).__name__})."
                ) from None

    def _exchange(self, session: requests.Session, address: Address, payload: dict) -> Reply:
        """Send the request and read the reply to its end."""
        deadline = time.monotonic() + self.connect_timeout + self.read_timeout
        with session.post(
            address.url,
            json=payload,
            timeout=(self.connect_timeout, self.read_timeout),
            allow_redirects=False,
            stream=True,
        ) as response:
            body = hide_key(read_body(response, deadline))
            wait = retry_after(response.headers.get("Retry-After", ""))
            return Reply(response.status_code, body, wait)


def refused_option(reply: Reply, options: dict) -> str | None:
    """The option that the server will not have: some models know only their own temperature, some
    another limit, and many servers no format of answers.
    """
    if reply.status < 400 or reply.status in (401, 403, 429):
        return None
    named = [name for name in options if name in reply.body and reply.status in REFUSAL_STATUS]
    if named:
        return named[0]
    by_format = reply.status in REFUSAL_STATUS or FORMAT_WORDS.search(reply.body)
    return "response_format" if "response_format" in options and by_format else None


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


def describe_refusal(address: Address, reply: Reply) -> str:
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


def read_completion(body: str) -> str:
    """The text in a chat completion.

    ValueError if the body is not one or holds no text, AnswerError when the text was cut
    off.
    """
    try:
        choice = json.loads(body)["choices"][0]
        message = choice["message"]
        content = message["content"]
        if isinstance(content, list):  # parts, as some servers send them
            content = "".join(part.get("text", "") for part in content)
    except (ValueError, KeyError, IndexError, TypeError, AttributeError, RecursionError):
        choice, message, content = {}, {}, ""
    if content is None:
        raise ValueError(explain_silence(message))
    if not message or not isinstance(content, str):
        raise ValueError(
            f"The server's answer is not a chat completion: '{shorten(body, 200)}'. "
            "Is base_url a chat API (mostly …/v1)?"
        )
    if choice.get("finish_reason") == "length":
        raise AnswerError("It was cut off before its end.", content)
    return content


def explain_silence(message: dict) -> str:
    """What to do about a completion whose content is null, by what it holds instead."""
    said = next((key for key in SAID_INSTEAD if message.get(key)), "")
    cure = SAID_INSTEAD.get(said, "Choose an instruction-tuned model that answers in plain text.")
    quoted = f" It sent only '{said}': '{shorten(str(message[said]), 100)}'." if said else ""
    return f"The model wrote no answer (content is null). {cure}{quoted}"
