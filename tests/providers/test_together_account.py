"""Where the service is and what it knows us by: never in the open, never shown."""

from __future__ import annotations

import pickle
import sys
import types

import pytest

from ftlab.errors import FtlabError, ServiceError
from ftlab.providers.together.account import (
    KEY_VARIABLE,
    KEYRING,
    SERVICE,
    address,
    find_key,
    require_key,
    secret,
)


@pytest.fixture(autouse=True)
def nothing_given(monkeypatch):
    monkeypatch.delenv("TOGETHER_BASE_URL", raising=False)
    monkeypatch.delenv(KEY_VARIABLE, raising=False)


def test_the_address_is_the_given_one_that_of_the_environment_or_the_services_own(monkeypatch):
    assert address() == SERVICE
    monkeypatch.setenv("TOGETHER_BASE_URL", "https://eu.together.example/v1/")
    assert address() == "https://eu.together.example"
    assert address("http://127.0.0.1:8000/v1") == "http://127.0.0.1:8000"


@pytest.mark.parametrize(
    "good",
    ["https://a.example", "https://a.example/proxy/v1", "http://[::1]:9", "http://localhost"],
)
def test_an_address_over_https_or_of_this_machine_is_good(good):
    assert address(good) == good.removesuffix("/v1")


@pytest.mark.parametrize(
    "bad",
    [
        "http://api.together.ai",
        "http://127.0.0.1.example",
        "http://0.0.0.0:1",
        "ftp://api.together.ai",
        "https://me:s3cret@api.together.ai",
        "https://api.together.ai/?token=s3cret",
        "https://",
        "api.together.ai",
        "https://[::1",
        "https://a:b",
        "s3cret",
    ],
)
def test_an_address_that_would_show_the_key_is_refused_without_quoting_it(bad):
    with pytest.raises(FtlabError, match="https only") as caught:
        address(bad)
    assert "s3cret" not in str(caught.value)


def test_the_key_is_the_given_one_that_of_the_environment_or_of_the_keyring(monkeypatch):
    kept = {(KEYRING, KEY_VARIABLE): "from-the-keyring"}
    keyring = types.ModuleType("keyring")
    keyring.get_password = lambda *place: kept.get(place)  # pyright: ignore
    keyring.__spec__ = types.SimpleNamespace()  # pyright: ignore
    monkeypatch.setitem(sys.modules, "keyring", keyring)
    assert require_key().get_secret_value() == "from-the-keyring"
    monkeypatch.setenv(KEY_VARIABLE, " from-the-environment\n")
    assert require_key().get_secret_value() == "from-the-environment"
    assert require_key(secret("given")).get_secret_value() == "given"


def test_a_keyring_that_is_locked_has_no_key(monkeypatch):
    keyring = types.ModuleType("keyring")
    keyring.__spec__ = types.SimpleNamespace()  # pyright: ignore

    def locked(*_):
        raise RuntimeError("no desktop")

    keyring.get_password = locked  # pyright: ignore
    monkeypatch.setitem(sys.modules, "keyring", keyring)
    assert find_key() is None


def test_without_a_key_the_ways_to_give_one_are_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "keyring", None)
    with pytest.raises(FtlabError, match=KEY_VARIABLE) as caught:
        require_key()
    assert "keyring set ftlab TOGETHER_API_KEY" in str(caught.value)


@pytest.mark.parametrize("bad", ["two words", "a\nHost: elsewhere", "ключ", "a\x7f"])
def test_what_can_be_no_key_is_refused_without_quoting_it(bad):
    with pytest.raises(FtlabError, match="one word of ASCII") as caught:
        require_key(secret(bad))
    assert bad not in str(caught.value)


@pytest.mark.parametrize("given", [b"s3cret", 5, ["s3cret"]])
def test_a_key_that_is_no_text_is_refused_without_quoting_it(given):
    with pytest.raises(FtlabError, match=f"given as {type(given).__name__}") as caught:
        secret(given)
    assert "s3cret" not in str(caught.value)


def test_an_error_of_the_service_survives_a_pickle():
    again = pickle.loads(pickle.dumps(ServiceError("it said no", 402)))
    assert (str(again), again.status) == ("it said no", 402)
