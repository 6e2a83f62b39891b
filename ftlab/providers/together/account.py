"""Where the service is, and the key of a person's account there. Neither is ever written down."""

from __future__ import annotations

import importlib.util
import ipaddress
import os
from urllib.parse import SplitResult, urlsplit

from pydantic import SecretStr

from ftlab.errors import FtlabError
from ftlab.processes import KEY

SERVICE = "https://api.together.ai"
ADDRESS_VARIABLE, KEY_VARIABLE = "TOGETHER_BASE_URL", KEY
KEYRING = "ftlab"
"""The name under which the system's keyring has the key."""
HOW_TO_GIVE_A_KEY = (
    f"set {KEY_VARIABLE} in the environment before you start, or keep the key in the system's "
    f"keyring (pip install keyring; keyring set {KEYRING} {KEY_VARIABLE})"
)


def address(given: str | None = None) -> str:
    """The service's address, without a slash or `/v1` at its end: the given one, that of
    TOGETHER_BASE_URL, or the service's own. Raises FtlabError for one that would show the key."""
    text = (given or os.environ.get(ADDRESS_VARIABLE) or SERVICE).strip().rstrip("/")
    try:
        parts = urlsplit(text.removesuffix("/v1"))
        is_good = _is_good(parts)
    except ValueError:  # brackets that don't pair up, a port that is no number
        parts, is_good = urlsplit(""), False
    if not is_good:
        where = f"{parts.scheme}://{parts.hostname}" if parts.hostname else "no address"
        raise FtlabError(
            f"The service's address is given as {where}; the key is sent over https only (http for "
            "this machine itself), and an address holds no name, password or query. Correct "
            f"base_url or {ADDRESS_VARIABLE}."
        )
    return parts.geturl().rstrip("/")


def _is_good(parts: SplitResult) -> bool:
    is_plain = not (parts.username or parts.password or parts.query or parts.fragment)
    return is_plain and parts.port != 0 and is_private(parts.scheme, parts.hostname or "")


def is_private(scheme: str, host: str) -> bool:
    """Whether nobody else can read what is sent there."""
    return bool(host) and (scheme == "https" or (scheme == "http" and is_loopback(host)))


def is_loopback(host: str) -> bool:
    """Whether a host is this machine itself."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def secret(key: str | SecretStr | None) -> SecretStr | None:
    """A key that no repr, log or traceback shows. Raises FtlabError for what is no text."""
    if key is None or isinstance(key, SecretStr):
        return key
    if isinstance(key, str):
        return SecretStr(key)
    raise FtlabError(
        f"The key of Together is given as {type(key).__name__}; a key is text, a str. "
        f"Give it so, or {HOW_TO_GIVE_A_KEY}."
    )


def find_key(given: SecretStr | None = None) -> SecretStr | None:
    """The given key, that of TOGETHER_API_KEY, or that of the system's keyring, if there is one."""
    if given is not None:
        return given
    return secret(os.environ.get(KEY_VARIABLE) or None) or _from_keyring()


def require_key(given: SecretStr | None = None) -> SecretStr:
    """The key. Raises FtlabError where none is found, or what is found can be no key."""
    key = find_key(given)
    if key is None or not key.get_secret_value().strip():
        raise FtlabError(
            "No key of Together was found; its service answers only to an account's key. Make one "
            f"there, and {HOW_TO_GIVE_A_KEY}."
        )
    if not _can_be_sent(key.get_secret_value().strip()):
        raise FtlabError(
            "The key of Together holds blanks, line breaks or letters that no key has; a key is "
            f"one word of ASCII. Copy it again, and {HOW_TO_GIVE_A_KEY}."
        )
    return SecretStr(key.get_secret_value().strip())


def _can_be_sent(text: str) -> bool:
    return text.isascii() and text.isprintable() and " " not in text


def has_keyring() -> bool:
    """Whether the keyring library is installed; it is no part of ftlab."""
    return importlib.util.find_spec("keyring") is not None


def _from_keyring() -> SecretStr | None:
    if not has_keyring():
        return None
    import keyring  # pyright: ignore[reportMissingImports]

    try:
        return secret(keyring.get_password(KEYRING, KEY_VARIABLE))
    except Exception:  # each backend raises its own kinds: locked, no desktop, no bus
        return None
