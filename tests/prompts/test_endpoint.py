"""Chat servers over real HTTP, good and bad ones; and that the key is not shown."""

import json
import socket
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from coupled.prompts import address, chat, endpoint
from coupled.prompts.endpoint import Endpoint

PROMPTS = (
    "A cute Pikachu sits in a cozy room bathed in warm sunshine. The room has wooden flooring.",
    "A beautiful girl stands in a cozy room bathed in warm sunshine. The room has wooden flooring.",
)
GOOD = (
    "Background: A cozy room bathed in warm sunshine with wooden flooring.\n\n"
    "Entity 1: A cute Pikachu sits.\n\nEntity 2: A beautiful girl stands."
)
ROOM = "A cozy room bathed in warm sunshine with wooden flooring."
ENTITIES = ("A cute Pikachu sits.", "A beautiful girl stands.")


def completion(text):
    return 200, {}, json.dumps({"choices": [{"message": {"role": "assistant", "content": text}}]})


class Server(ThreadingHTTPServer):
    """Answers the k-th request with the k-th of `script` (the last one again and again); keeps what
    it was asked.
    """

    daemon_threads = True

    def __init__(self, *script):
        self.script, self.asked = list(script), []
        super().__init__(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True).start()

    @property
    def base_url(self):
        return f"http://127.0.0.1:{self.server_port}/v1"


class Handler(BaseHTTPRequestHandler):
    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        asked = self.server.asked
        asked.append((self.path, dict(self.headers), body, time.monotonic()))
        step = self.server.script[min(len(asked), len(self.server.script)) - 1]
        if callable(step):
            return step(self)
        status, headers, text = step
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(text.encode())

    do_GET = do_POST

    def log_message(self, *args):
        pass


@pytest.fixture
def serve(monkeypatch):
    for name in (address.KEY_VARIABLE, address.HOSTS_VARIABLE):
        monkeypatch.delenv(name, raising=False)
    servers = []

    def start(*script):
        servers.append(Server(*script))
        return servers[-1]

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def ask(server, **options):
    options = {"backoff": 0.02, "read_timeout": 5.0} | options
    return Endpoint(server.base_url, "tiny", **options)([{"role": "user", "content": "Hello"}])


def test_answer_and_request(serve, monkeypatch):
    monkeypatch.setenv(
        "HTTP_PROXY", "http://127.0.0.1:9"
    )  # this machine is reached without a proxy
    server = serve(completion(GOOD))
    assert (
        chat.split_by_chat(PROMPTS, Endpoint(server.base_url + "/", " tiny ")).entities == ENTITIES
    )
    path, headers, body, _ = server.asked[0]
    assert path == "/v1/chat/completions"
    assert body["model"] == "tiny" and body["stream"] is False and body["temperature"] == 0
    assert body["messages"] == chat.first_messages(PROMPTS)
    assert "Authorization" not in headers


def test_bad_answer_then_repaired(serve):
    server = serve(completion("Entity 1: x"), completion(GOOD))
    assert chat.split_by_chat(PROMPTS, Endpoint(server.base_url, "tiny")).background == ROOM
    assert len(server.asked) == 2 and len(server.asked[1][2]["messages"]) == 4


def test_content_in_parts(serve):
    body = json.dumps(
        {"choices": [{"message": {"content": [{"type": "text", "text": "a"}, {"text": "b"}]}}]}
    )
    assert ask(serve((200, {}, body))) == "ab"


def lost(handler):
    handler.connection.shutdown(socket.SHUT_RDWR)


def cut(handler):
    handler.wfile.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n50\r\n{")
    handler.wfile.flush()
    lost(handler)


@pytest.mark.parametrize("failure", [(429, {}, ""), (500, {}, "x"), (503, {}, ""), lost, cut])
def test_tries_again(serve, failure):
    server = serve(failure, failure, completion("yes"))
    assert ask(server) == "yes"
    times = [asked[3] for asked in server.asked]
    assert len(times) == 3 and times[2] - times[1] >= 0.04  # twice the first wait


def test_tries_are_bounded(serve):
    server = serve((500, {}, "out of memory"))
    with pytest.raises(ValueError, match="HTTP 500.*'out of memory'.*Try again later"):
        ask(server, retries=2)
    assert len(server.asked) == 3


def test_retry_after_is_obeyed(serve):
    server = serve((429, {"Retry-After": "1"}, ""), completion("yes"))
    assert ask(server) == "yes"
    assert server.asked[1][3] - server.asked[0][3] >= 1.0
    server = serve((429, {"Retry-After": "3600"}, "limit"))
    with pytest.raises(ValueError, match="HTTP 429"):
        ask(server)
    assert len(server.asked) == 1


def test_retry_after_as_date():
    assert endpoint.retry_after("Wed, 21 Oct 2015 07:28:00 GMT") == 0.0
    assert endpoint.retry_after("soon") is None and endpoint.retry_after("") is None
    assert endpoint.retry_after("7") == 7.0 and endpoint.retry_after("²") is None


def test_interrupt_while_waiting(serve):
    class Interrupt(BaseException):
        pass

    server = serve((503, {"Retry-After": "20"}, ""))
    started = time.monotonic()

    def poll():
        if time.monotonic() - started > 0.3:
            raise Interrupt

    with pytest.raises(Interrupt):
        ask(server, poll=poll)
    assert time.monotonic() - started < 3


def test_refused_options_are_left_out(serve):
    refuse = [
        (400, {}, f"Unsupported parameter: '{name}'") for name in ("max_tokens", "temperature")
    ]
    server = serve(*refuse, completion("yes"))
    assert ask(server) == "yes"
    assert set(server.asked[2][2]) == {"model", "messages", "stream"}


@pytest.mark.parametrize(
    ("step", "message"),
    [
        ((404, {}, "no such model"), "HTTP 404.*no such model.*base_url"),
        ((401, {}, ""), "HTTP 401.*COUPLED_API_KEY"),
        ((400, {}, "bad"), "HTTP 400"),
        ((200, {}, "<html>"), "not a chat completion: '<html>'"),
        ((200, {}, '{"choices": []}'), "not a chat completion"),
        ((200, {}, '{"choices": [{"message": {"content": null}}]}'), "no answer .content is null"),
        ((200, {}, '{"choices": [{"message": null}]}'), "not a chat completion"),
        ((200, {}, '{"choices": [{"message": {"content": 5}}]}'), "not a chat completion"),
        ((200, {}, "[" * 100_000), "not a chat completion"),
        ((200, {"Content-Encoding": "gzip"}, "x"), "compressed"),
        ((200, {}, "x" * (2 << 20)), "longer than 1048576 bytes"),
    ],
)
def test_clear_errors(serve, step, message):
    server = serve(step)
    with pytest.raises(ValueError, match=message):
        ask(server)
    assert len(server.asked) == 1


@pytest.mark.parametrize(
    ("instead", "message"),
    [
        ({"reasoning_content": "A room, hm"}, "thinking off.*'reasoning_content': 'A room, hm'"),
        ({"reasoning": "A room, hm"}, "thinking off.*'reasoning': 'A room, hm'"),
        ({"tool_calls": [{"id": "1"}]}, "tools off"),
        ({"refusal": "I must not."}, "another model.*'I must not.'"),
        ({}, "instruction-tuned"),
    ],
)
def test_content_null_says_what_the_model_sent_instead(serve, instead, message):
    body = json.dumps({"choices": [{"message": {"content": None} | instead}]})
    with pytest.raises(ValueError, match=f"content is null.*{message}"):
        ask(serve((200, {}, body)))


def test_an_answer_that_was_cut_off_is_asked_for_again(serve):
    cut_off = {"message": {"content": GOOD[:-8]}, "finish_reason": "length"}
    server = serve((200, {}, json.dumps({"choices": [cut_off]})), completion(GOOD))
    split = chat.split_by_chat(PROMPTS, Endpoint(server.base_url, "tiny"))
    assert split.entities == ENTITIES
    said, request = server.asked[1][2]["messages"][2:]
    assert said["content"] == GOOD[:-8] and "cut off before its end" in request["content"]
    server = serve((200, {}, json.dumps({"choices": [cut_off]})))
    with pytest.raises(ValueError, match="asked twice.*cut off.*Background: A cozy"):
        chat.split_by_chat(PROMPTS, Endpoint(server.base_url, "tiny"))


JSON_ANSWER = json.dumps({"Background": ROOM, "Entity 1": ENTITIES[0], "Entity 2": ENTITIES[1]})


def test_json_is_asked_for_with_the_parts_of_the_instruction(serve):
    server = serve(completion(JSON_ANSWER))
    endpoint = Endpoint(server.base_url, "tiny", response_format=chat.answer_format(2))
    assert chat.split_by_chat(PROMPTS, endpoint).entities == ENTITIES
    asked = server.asked[0][2]
    assert asked["response_format"]["type"] == "json_schema"
    schema = asked["response_format"]["json_schema"]["schema"]
    assert (
        list(schema["properties"]) == schema["required"] == ["Background", "Entity 1", "Entity 2"]
    )
    assert asked["messages"] == chat.first_messages(PROMPTS)


@pytest.mark.parametrize(
    "refusal",
    [
        (400, {}, "bad"),
        (400, {}, "response_format.type must be 'text' or 'json_object'"),
        (422, {}, '{"detail": "Unexpected fields in the request: {\'response_format\'}"}'),
        (500, {}, "failed to parse grammar"),
        (501, {}, "not implemented"),
    ],
)
def test_a_server_that_has_no_json_is_asked_for_plain_text(serve, refusal):
    server = serve(refusal, completion(GOOD))
    endpoint = Endpoint(server.base_url, "tiny", response_format=chat.answer_format(2))
    assert chat.split_by_chat(PROMPTS, endpoint).entities == ENTITIES
    first, second = (asked[2] for asked in server.asked)
    assert second == {key: value for key, value in first.items() if key != "response_format"}


@pytest.mark.parametrize("status", [401, 403, 404, 429, 500])
def test_plain_text_is_no_cure_for_other_refusals(serve, status):
    server = serve((status, {}, "no"))
    with pytest.raises(ValueError, match=f"HTTP {status}"):
        ask(server, response_format=chat.answer_format(2), retries=0)
    assert len(server.asked) == 1


class Interrupt(BaseException):
    """The user's own cancel; the host's is no Exception either."""


def think_until_left(handler):
    """Send the start of an answer, or nothing, and wait until the client goes."""
    handler.connection.settimeout(10)
    handler.server.left = not handler.connection.recv(1)


def think_aloud(handler):
    handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n{")
    handler.wfile.flush()
    think_until_left(handler)


@pytest.mark.parametrize("step", [think_until_left, think_aloud])
def test_cancel_is_heard_while_the_server_thinks_and_the_server_is_left(serve, step):
    server = serve(step)
    started = time.monotonic()

    def poll():
        if time.monotonic() - started > 0.3:
            raise Interrupt

    with pytest.raises(Interrupt):
        ask(server, poll=poll, read_timeout=60.0)
    assert time.monotonic() - started < 2
    while time.monotonic() - started < 5 and not getattr(server, "left", False):
        time.sleep(0.02)
    assert server.left, "the server goes on thinking"


def hang(handler):
    time.sleep(3)


def trickle(handler):
    """A byte every 0.1 s: each read is quick, the whole never ends."""
    handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
    try:
        for _ in range(100):
            handler.wfile.write(b" ")
            handler.wfile.flush()
            time.sleep(0.1)
    except OSError:
        pass


@pytest.mark.parametrize("step", [hang, trickle])
def test_time_out(serve, step):
    server = serve(step)
    started = time.monotonic()
    with pytest.raises(ValueError, match="no answer within 0.5 s"):
        ask(server, read_timeout=0.5, connect_timeout=0.5)
    assert time.monotonic() - started < 2.5 and len(server.asked) == 1


def test_redirects_are_not_followed(serve):
    other = serve(completion("stolen"))
    for status in (301, 302, 307, 308):
        server = serve((status, {"Location": other.base_url + "/chat/completions"}, ""))
        with pytest.raises(ValueError, match=f"redirects elsewhere .HTTP {status}"):
            ask(server)
    assert not other.asked


def test_no_server():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with pytest.raises(ValueError, match="No connection.*running"):
        Endpoint(f"http://127.0.0.1:{port}/v1", "tiny", retries=1, backoff=0.01)([])
    with pytest.raises(ValueError, match="model's name is empty"):
        Endpoint(f"http://127.0.0.1:{port}/v1", " ")([])


KEY = "sk-very-secret-123"


def test_key_is_sent_and_never_shown(serve, monkeypatch):
    monkeypatch.setenv(address.KEY_VARIABLE, KEY)
    server = serve(completion("yes"))
    assert ask(server) == "yes"
    assert server.asked[0][1]["Authorization"] == f"Bearer {KEY}"
    for step in [
        (401, {}, f"bad key {KEY}"),
        (200, {}, f"echo {KEY}"),
        completion(f"Entity 1: {KEY}"),
        lost,
        hang,
    ]:
        server = serve(step)
        with pytest.raises(ValueError) as caught:
            chat.split_by_chat(PROMPTS, Endpoint(server.base_url, "m", retries=0, read_timeout=0.3))
        assert KEY not in str(caught.value)
    monkeypatch.setenv(address.KEY_VARIABLE, KEY + "\nX-Evil: 1")
    with pytest.raises(ValueError, match="characters that a key cannot have") as caught:
        ask(server)
    assert KEY not in str(caught.value)
