"""A small client of ComfyUI's HTTP and WebSocket interface, for the demo and the tests."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import Callable
from urllib.error import HTTPError
from urllib.parse import urlencode
from urllib.request import Request, urlopen

from .host import HostError

Listener = Callable[[str, dict], None]


class PromptRejected(HostError):
    """The server refused a prompt.

    `node_errors` is its answer: {node id: {"errors": [...], "class_type": …}}.
    """

    def __init__(self, answer: dict):
        self.error, self.node_errors = answer.get("error", {}), answer.get("node_errors", {})
        message = self.error.get("message", "prompt rejected")
        lines = [f"{message} {self.error.get('details', '')}".strip()]
        for node, found in self.node_errors.items():
            where = f"  node {node} ({found.get('class_type')})"
            lines += [f"{where}: {one['message']}: {one['details']}" for one in found["errors"]]
        super().__init__("\n".join(lines))


class ExecutionFailed(HostError):
    """A node raised while the prompt ran: `node_id`, `node_type`, `exception_type` and `traceback`
    say where.
    """

    def __init__(self, message: dict):
        self.node_id, self.node_type = message.get("node_id"), message.get("node_type")
        self.exception_type = message.get("exception_type")
        self.exception_message = message.get("exception_message", "").strip()
        self.traceback = "".join(message.get("traceback", []))
        super().__init__(
            f"node {self.node_id} ({self.node_type}): {self.exception_type}:"
            f" {self.exception_message}"
        )


class Interrupted(HostError):
    """The prompt was interrupted before its end."""


class Client:
    """Talks to one running server: `Client(server.url).queue(prompt)` returns the outputs of its
    output nodes.
    """

    def __init__(self, url: str):
        self.url = url
        self.id = uuid.uuid4().hex

    def get(self, path: str, **query: object):
        """The parsed JSON of a GET request."""
        with urlopen(
            f"{self.url}{path}{'?' + urlencode(query) if query else ''}", timeout=60
        ) as answer:
            return json.load(answer)

    def post(self, path: str, body: dict):
        """The parsed JSON of a POST request, None for an empty answer; PromptRejected for HTTP
        400.
        """
        request = Request(
            self.url + path, json.dumps(body).encode(), {"Content-Type": "application/json"}
        )
        try:
            with urlopen(request, timeout=60) as answer:
                return json.loads(answer.read() or "null")
        except HTTPError as error:
            if error.code != 400:
                raise
            raise PromptRejected(json.load(error)) from None

    def object_info(self) -> dict:
        """Every node the server knows: {node id: {"input": …, "output": …, "output_name": …,
        …}}.
        """
        return self.get("/object_info")

    def interrupt(self) -> None:
        """Stops the prompt that is running."""
        self.post("/interrupt", {})

    def queue(self, prompt: dict, listener: Listener | None = None, seconds: float = 600) -> dict:
        """Runs a prompt (API form) to its end and returns {node id: {"images": [...], …}}.

        `listener(event, data)` hears every message of the run; previews come as ("preview",
        {"bytes": …}). PromptRejected, ExecutionFailed, Interrupted, or HostError after
        `seconds`.
        """
        try:
            return asyncio.run(
                asyncio.wait_for(self._run(prompt, listener or (lambda event, data: None)), seconds)
            )
        except asyncio.TimeoutError:  # an alias of TimeoutError only from Python 3.11 on
            raise HostError(f"The prompt did not finish within {seconds} s.") from None

    async def _run(self, prompt: dict, listener: Listener) -> dict:
        import aiohttp

        address = f"{self.url.replace('http', 'ws', 1)}/ws?clientId={self.id}"
        async with (
            aiohttp.ClientSession() as session,
            session.ws_connect(address, max_msg_size=0) as socket,
        ):
            body = {"prompt": prompt, "client_id": self.id}
            queued = (await asyncio.to_thread(self.post, "/prompt", body))["prompt_id"]
            async for message in socket:
                if message.type == aiohttp.WSMsgType.BINARY:
                    listener("preview", {"bytes": message.data})
                elif message.type == aiohttp.WSMsgType.TEXT and _finished(
                    json.loads(message.data), queued, listener
                ):
                    return self.get(f"/history/{queued}")[queued]["outputs"]
        raise HostError("The server closed the connection while the prompt was running.")

    def file(self, entry: dict) -> bytes:
        """The bytes of one output, as listed by `queue`: {"filename", "subfolder", "type"}."""
        with urlopen(f"{self.url}/view?{urlencode(entry)}", timeout=60) as answer:
            return answer.read()


def _finished(message: dict, queued: str, listener: Listener) -> bool:
    """Passes one message on and says whether the prompt `queued` is done; raises when it failed.

    The last message of a run is `executing` with no node: `execution_success` comes before the
    history is written.
    """
    event, data = message["type"], message.get("data", {})
    if data.get("prompt_id", queued) != queued:
        return False
    listener(event, data)
    if event == "execution_error":
        raise ExecutionFailed(data)
    if event == "execution_interrupted":
        raise Interrupted(f"interrupted at node {data.get('node_id')} ({data.get('node_type')})")
    return event == "executing" and data.get("node") is None
