"""A content: text, or a list of parts, each of them a text or an image.

The embedded trainer takes text only, so every image stops it; what the hosted service takes of
images stands here as limits.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from ftlab.data.problems import LOCAL, TOGETHER, Problem
from ftlab.issues import shown

IMAGE_TYPES = ("jpeg", "png", "webp")
MOST_IMAGES = 10
"""In one row."""
LONGEST_IMAGE = len("data:image/jpeg;base64,") + 4 * 10 * 2**20 // 3
"""Characters of an image's URL: 10 MiB in base64."""
_HEADERS = tuple(f"data:image/{name};base64," for name in IMAGE_TYPES)


class Parts(NamedTuple):
    """What a list of parts holds."""

    problems: list[Problem]
    n_images: int
    right: bool
    """Whether every part is a text or an image, though maybe a bad one."""


def read_parts(parts: list[Any], path: str, *, images_allowed: bool) -> Parts:
    """Everything wrong with a list of parts. Images may stand only where a user speaks."""
    problems: list[Problem] = []
    n_images, right = 0, True
    for index, part in enumerate(parts):
        where = f"{path}[{index}]"
        kind = part.get("type") if isinstance(part, dict) else None
        if kind == "text" and isinstance(part.get("text"), str):
            continue
        if kind == "image_url":
            n_images += 1
            problems += _image(part, where, images_allowed=images_allowed)
            continue
        right = False
        problems.append(_bad_part(part, where))
    return Parts(problems, n_images, right)


def part_problems(parts: list[Any], path: str, *, images_allowed: bool) -> Iterator[Problem]:
    """What is wrong with a content that stands alone, such as a prompt."""
    found = read_parts(parts, path, images_allowed=images_allowed)
    yield from found.problems
    if found.n_images > MOST_IMAGES:
        yield too_many_images(found.n_images, path)


def too_many_images(n_images: int, path: str) -> Problem:
    return Problem(
        "too_many_images",
        path,
        f"{path} holds {n_images} images; the hosted service takes at most {MOST_IMAGES} in a "
        "row. Take some out, or make two rows of it.",
        blocks=TOGETHER,
    )


def _bad_part(part: Any, path: str) -> Problem:
    return Problem(
        "bad_part",
        path,
        f'{path} is {shown(part)}; a part is {{"type": "text", "text": …}} or '
        '{"type": "image_url", …}. Correct the part, or give plain text as content.',
    )


def _image(part: dict[str, Any], path: str, *, images_allowed: bool) -> Iterator[Problem]:
    yield Problem(
        "image",
        path,
        f"{path} is an image; the embedded trainer takes text only. "
        "Train this file on a hosted vision model, or take the images out.",
        blocks=LOCAL,
    )
    if not images_allowed:
        yield Problem(
            "misplaced_image",
            path,
            f"{path} is an image; only what a user says may hold images. "
            "Move it into a message of the user, or take it out.",
            blocks=TOGETHER,
        )
    fault = _fault_of_image(part.get("image_url"))
    if fault:
        yield Problem(
            "bad_image",
            f"{path}.image_url",
            f"{path}.image_url {fault} Write "
            '{"type": "image_url", "image_url": {"url": "data:image/png;base64,…"}}.',
            blocks=TOGETHER,
        )


def _fault_of_image(image: Any) -> str:
    """What is wrong with an `image_url` and what is allowed; empty when nothing is."""
    if not isinstance(image, dict):
        return f"is {shown(image)}; it takes an object with `url`."
    url = image.get("url")
    if not url or not isinstance(url, str):
        return f"has the url {shown(url)}; it takes text."
    if not url.startswith(_HEADERS):
        return f"has the url {shown(url[:100])}; the image itself is needed, as JPEG, PNG or WebP."
    if len(url) > LONGEST_IMAGE:
        size = len(url) * 3 / 4 / 2**20
        return f"holds {size:.1f} MiB; an image has at most 10 MiB. Make it smaller."
    return ""
