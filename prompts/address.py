"""Which chat servers may be contacted, and with which key.

Only this machine, unless COUPLED_ALLOWED_HOSTS names other hosts. The key comes from
COUPLED_API_KEY alone: what is typed into a node is saved in the metadata of every image.
"""

from __future__ import annotations

import ipaddress
import os
from dataclasses import dataclass
from urllib.parse import SplitResult, urlsplit

from .split import shorten

KEY_VARIABLE = "COUPLED_API_KEY"
HOSTS_VARIABLE = "COUPLED_ALLOWED_HOSTS"
EXAMPLE = "http://127.0.0.1:8000/v1"


@dataclass(frozen=True)
class Address:
    """A checked server: `url` of its chat completions; is it on this machine (`loopback`), or
    encrypted (`secure`)?
    """

    url: str
    loopback: bool
    secure: bool


def check_address(base_url: str) -> Address:
    """The address of the chat completions under `base_url`.

    ValueError for one that must not be contacted.
    """
    parts, host, place = parse_url(base_url.strip())
    loopback = is_loopback(host)
    if not loopback and not {host, place} & allowed_hosts():
        raise ValueError(
            f"The host '{shorten(host)}' is not this machine. To allow it, start ComfyUI with the"
            f" environment variable {HOSTS_VARIABLE}={shorten(host)} (more: separated by commas)."
        )
    path = parts.path.rstrip("/").removesuffix("/chat/completions")
    return Address(
        f"{parts.scheme}://{place}{path}/chat/completions", loopback, parts.scheme == "https"
    )


def parse_url(url: str) -> tuple[SplitResult, str, str]:
    """The parts of a plain http(s) address, its host, and host:port as a URL has it.

    ValueError for others.
    """
    try:
        parts = urlsplit(url)
        host, port = (parts.hostname or "").lower(), parts.port
    except ValueError:
        raise ValueError(f"base_url is not a valid address. Write it like {EXAMPLE}.") from None
    if "@" in parts.netloc:
        raise ValueError(
            f"base_url must not hold a user name or password. Put a key into {KEY_VARIABLE}."
        )
    odd = any(ord(c) < 33 or ord(c) == 127 or c == "\\" for c in url)
    if odd or parts.scheme not in ("http", "https") or not host or parts.query or parts.fragment:
        raise ValueError(
            f"base_url '{shorten(url)}' must be a plain http or https address like {EXAMPLE}."
        )
    place = f"[{host}]" if ":" in host else host
    return parts, host, place if port is None else f"{place}:{port}"


def is_loopback(host: str) -> bool:
    """Whether the host is this machine: localhost, 127.0.0.0/8 or ::1."""
    if host == "localhost":
        return True
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    return address.is_loopback and (address.version == 4 or str(address) == "::1")


def allowed_hosts() -> set[str]:
    """Hosts, or host:port, that the environment allows besides this machine; separated by commas or
    spaces.
    """
    return {entry.lower() for entry in os.environ.get(HOSTS_VARIABLE, "").replace(",", " ").split()}


def api_key(address: Address) -> str:
    """The key to send, or nothing: never in clear over a network.

    ValueError for one that no header can hold.
    """
    key = os.environ.get(KEY_VARIABLE, "").strip()
    if not (key.isascii() and key.isprintable()):
        raise ValueError(
            f"The key in {KEY_VARIABLE} holds characters that a key cannot have. Set it again."
        )
    return key if address.loopback or address.secure else ""


def hide_key(text: str) -> str:
    """`text` without the key, should a server repeat it."""
    key = os.environ.get(KEY_VARIABLE, "").strip()
    return text.replace(key, "***") if key else text
