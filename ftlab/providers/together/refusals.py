"""What the service says when it does not do what it was asked, in three facts."""

from __future__ import annotations

import json
import re
from collections.abc import Collection
from typing import Any

import httpx
from pydantic import SecretStr

from ftlab.errors import ServiceError
from ftlab.providers.together.account import ADDRESS_VARIABLE, KEY_VARIABLE

Secrets = Collection[SecretStr]
"""What is never shown: the key, and what is sent beside a job."""
LONGEST = 300  # characters of what the service said
SIGNED = re.compile(r"(https?://[^\s?\"'<>]+)\?[^\s\"'<>]*")
"""An address whose query may hold a signature."""
KEYS = re.compile(r"\b(?:tgp_|sk-|hf_)[\w-]{6,}|(?<=bearer )\S+", re.IGNORECASE)

# Status → what is allowed, and what to do.
ADVICE = {
    400: "it takes what its own rules allow. Change what it names.",
    401: f"it answers to a valid key of an account. Correct {KEY_VARIABLE}.",
    402: "the account must have credit. Add some there.",
    403: "the account must be allowed to do this. Ask its owner, or use another key.",
    404: "it answers for what it has. Check the names and ids, and whose account the key is of.",
    413: "it takes smaller requests. Take a smaller file.",
    429: "it answers so many requests in a time. Wait a while, then ask again.",
}
OTHERWISE = "what was asked is in order as far as ftlab knows. Change what it names, or ask later."
SERVER = "it should answer, so ask again in a few minutes."


def refused(reply: httpx.Response, doing: str, secrets: Secrets) -> ServiceError:
    """The error for a reply that is no success."""
    status = reply.status_code
    said = told(reply, secrets)
    if reply.has_redirect_location:
        return ServiceError(
            f"Together answered {status} when {doing}: it sends to {host_of(reply)}; a key goes "
            f"nowhere else than was said. Set {ADDRESS_VARIABLE} if that is the right place.",
            status,
        )
    advice = SERVER if status >= 500 else ADVICE.get(status, OTHERWISE)
    return ServiceError(f"Together answered {status} when {doing}{said}; {advice}", status)


def not_stored(status: int, doing: str) -> ServiceError:
    """The error for content that a storage did not take; its words may hold its signature."""
    return ServiceError(
        f"The storage refused it ({status}) when {doing}; it takes what was announced to Together, "
        "for a short time. The file may have changed, or the address expired. Scan the file and "
        "ask again.",
        status,
    )


def unreachable(why: httpx.HTTPError, doing: str, address: str) -> ServiceError:
    """The error for no reply at all. What httpx says may hold an address with a signature."""
    kind = (
        "there was no answer in time"
        if isinstance(why, httpx.TimeoutException)
        else f"the connection failed ({type(why).__name__})"
    )
    return ServiceError(
        f"Together did not answer when {doing}: {kind}; it is asked at {address}. "
        "Check the network, then ask again."
    )


def unreadable(reply: httpx.Response, doing: str, secrets: Secrets) -> ServiceError:
    """The error for a success that is no JSON object."""
    return ServiceError(
        f"Together's reply when {doing} can't be understood{told(reply, secrets)}; a JSON object "
        f"is needed. Check that {ADDRESS_VARIABLE} is its API and no page in front of it.",
        reply.status_code,
    )


def told(reply: httpx.Response, secrets: Secrets) -> str:
    """What the service said, in brackets, without secrets; empty where it said nothing."""
    text = without_secrets(_message(reply), secrets)
    return f" (“{text}”)" if text else ""


def _message(reply: httpx.Response) -> str:
    """`error.message`, or `message`, or the text; a web page has none."""
    try:
        body = reply.json()
    except (ValueError, RecursionError):
        return "a web page" if "<html" in reply.text[:500].lower() else reply.text
    return message_in(body) or json.dumps(body, ensure_ascii=False)


def message_in(body: Any) -> str:
    """The message of an error's body, wherever it has it."""
    if not isinstance(body, dict):
        return body if isinstance(body, str) else ""
    return message_in(body.get("error")) or message_in(body.get("message"))


def without_secrets(text: str, secrets: Secrets) -> str:
    """One line, cut where it is long, with every key and every signature taken out, and what
    could steer a terminal or turn the text around."""
    text = "".join(c for c in " ".join(text.split()) if c.isprintable())
    text = redacted(text, secrets)
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"


def redacted(text: str, secrets: Secrets) -> str:
    """A text, perhaps JSON, in which every key and every signature is taken out."""
    for value in (secret.get_secret_value() for secret in secrets):
        for form in (value, json.dumps(value)[1:-1]):
            text = text.replace(form, "[key]")
    return KEYS.sub("[key]", SIGNED.sub(r"\1", text))


def host_of(reply: httpx.Response) -> str:
    """Where a redirect leads; no more of it, since the rest may be a signature."""
    try:
        return httpx.URL(reply.headers["location"]).host or "another path"
    except httpx.InvalidURL:
        return "an address that is none"
