"""Which chat servers may be contacted, and which of them gets the key."""

import pytest

from coupled.prompts import address, endpoint

KEY = "sk-very-secret-123"


def test_key_is_not_sent_in_clear_over_a_network(monkeypatch):
    monkeypatch.setenv(address.KEY_VARIABLE, KEY)
    monkeypatch.setenv(address.HOSTS_VARIABLE, "lan.example")
    for url, key in [
        ("http://lan.example/v1", ""),
        ("https://lan.example/v1", KEY),
        ("http://localhost:1/v1", KEY),
    ]:
        checked = address.check_address(url)
        assert address.api_key(checked) == key
        with endpoint.session_for(checked) as session:
            assert session.headers.get("Authorization") == (f"Bearer {KEY}" if key else None)
            assert session.trust_env is False


@pytest.mark.parametrize(
    ("base_url", "url"),
    [
        ("http://127.0.0.1:8000/v1", "http://127.0.0.1:8000/v1/chat/completions"),
        (" http://LocalHost/v1/ ", "http://localhost/v1/chat/completions"),
        ("http://127.9.9.9", "http://127.9.9.9/chat/completions"),
        ("https://[::1]:1234/v1", "https://[::1]:1234/v1/chat/completions"),
        ("http://127.0.0.1:8000/v1/chat/completions", "http://127.0.0.1:8000/v1/chat/completions"),
    ],
)
def test_this_machine_is_allowed(monkeypatch, base_url, url):
    monkeypatch.delenv(address.HOSTS_VARIABLE, raising=False)
    checked = address.check_address(base_url)
    assert checked.url == url and checked.loopback


@pytest.mark.parametrize(
    "base_url",
    [
        "http://example.com/v1",
        "http://127.0.0.1.example.com/v1",
        "http://localhost.example.com/v1",
        "http://localhost./v1",
        "http://0.0.0.0:8000/v1",
        "http://10.0.0.1/v1",
        "http://169.254.169.254/latest",
        "http://2130706433/v1",
        "http://[::ffff:127.0.0.1]/v1",
        "http://[::1%25eth0]/v1",
        "http://[fe80::1]/v1",
    ],
)
def test_other_hosts_are_not(monkeypatch, base_url):
    monkeypatch.delenv(address.HOSTS_VARIABLE, raising=False)
    with pytest.raises(ValueError, match="is not this machine.*COUPLED_ALLOWED_HOSTS"):
        address.check_address(base_url)


@pytest.mark.parametrize(
    "base_url",
    [
        "",
        "127.0.0.1:8000/v1",
        "ftp://127.0.0.1/v1",
        "file:///etc/passwd",
        "http:///v1",
        "http://user:pw@127.0.0.1/v1",
        "http://127.0.0.1@example.com/v1",
        "http://127.0.0.1\\@example.com/v1",
        "http://127.0.0.1\\.example.com/v1",
        "http://127.0.0.1:99999/v1",
        "http://127.0.0.1/v1?key=1",
        "http://127.0.0.1/v1#x",
        "http://127.0.0.1/v1\r\nX-Evil: 1",
        "http://[::1/v1",
    ],
)
def test_odd_addresses_are_refused(monkeypatch, base_url):
    monkeypatch.setenv(address.HOSTS_VARIABLE, "example.com")
    with pytest.raises(ValueError, match="base_url") as caught:
        address.check_address(base_url)
    assert "pw" not in str(caught.value)


def test_environment_allows_hosts(monkeypatch):
    monkeypatch.setenv(address.HOSTS_VARIABLE, "api.Example.com, lan:8000 [fd00::1]:1")
    for url in (
        "https://API.example.com/v1",
        "https://api.example.com:444/v1",
        "http://lan:8000",
        "http://[fd00::1]:1",
    ):
        assert not address.check_address(url).loopback
    for url in (
        "http://lan/v1",
        "http://lan:8001/v1",
        "https://www.api.example.com/v1",
        "http://[fd00::1]:2",
    ):
        with pytest.raises(ValueError, match="is not this machine"):
            address.check_address(url)
