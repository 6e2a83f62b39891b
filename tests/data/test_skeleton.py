"""Layouts by skeleton against the exact ones, for every template and all that a text can hold."""

from __future__ import annotations

import random
from datetime import datetime

import pytest

from ftlab.data import skeleton
from ftlab.data.chat import lay_out
from ftlab.data.skeleton import Filled, Skeletons
from ftlab.data.template import CannotRender
from ftlab.data.tokens import load_tokenizer
from ftlab.data.typed import Clean, as_row
from tests.small import ADDED, TEMPLATES, save_tokenizer

ALL_TEMPLATES = sorted(path.stem for path in TEMPLATES.glob("*.jinja"))
NOW = datetime(2026, 3, 14, 15, 9)
WORDS = [
    "hello",
    " world",
    "12",
    "🦜",
    "naïve",
    "日本",
    "a&b<c>",
    "{{ x }}",
    "it's",
    "system",
    "user",
]
WORDS += ["one\ntwo", "and a"]
EDGES = ["", "", "", " ", "\n", "\n\n", "  ", "\t", "\u00a0", "\u3000", " \n "]
MARKERS = [
    *ADDED,
    "[INST]",
    "<<SYS>>",
    "<think>",
    "</think>",
    "<think>\nso\n</think>\n\nthus",
    "Assistant:",
    "{% generation %}",
    "<tool_call>",
    "\n<|im_start|>assistant\n",
    "\ue000\ue100\ue001",
    "\U000f0002",
    "\U000f0004 and \U00100004",
    "\U0010fffd",
]
RARE = ["", " ", "\n", "\u2028", *MARKERS]


def text(draw):
    if draw.random() < 0.12:
        return draw.choice(RARE)
    pieces = draw.choices(WORDS, k=draw.randint(1, 4))
    if draw.random() < 0.15:
        pieces.insert(draw.randint(0, len(pieces)), draw.choice(MARKERS))
    return draw.choice(EDGES) + " ".join(pieces) + draw.choice(EDGES)


def conversation(draw):
    """Roles of a conversation, some in an order that strict templates refuse."""
    roles = ["system"] if draw.random() < 0.3 else []
    roles += ["user", "assistant"] * draw.randint(1, 3)
    kind = draw.random()
    if kind < 0.05:
        roles.append("assistant")
    elif kind < 0.1:
        roles.insert(draw.randint(0, len(roles)), "system")
    return tuple(roles)


def rows(seed, n, formats=("conversation",)):
    draw = random.Random(seed)
    for _ in range(n):
        kind = draw.choice(formats)
        if kind == "instruction":
            roles = ("prompt", "completion")
        elif kind == "general":
            roles = ("text",)
        elif kind == "preference":
            roles = (*conversation(draw)[:-1], "assistant", "assistant")
        else:
            roles = conversation(draw)
        yield Clean(kind, roles, [text(draw) for _ in roles])


def outcome(make):
    try:
        return make()
    except CannotRender as exc:
        return str(exc)


def laid_out_by(skeletons, row):
    """The layouts of a row, with their spans."""
    found = skeletons.layouts(row)
    return tuple(one.layout() if isinstance(one, Filled) else one for one in found)


def compare(tokenizer, made, train_on_inputs="auto"):
    """Hold the two against each other; how many rows were laid out, and refused."""
    skeletons = Skeletons(tokenizer, train_on_inputs, NOW)
    laid_out = refused = 0
    for row in made:
        exact = outcome(lambda: lay_out(as_row(row), tokenizer, train_on_inputs, now=NOW))  # noqa: B023
        assert outcome(lambda: laid_out_by(skeletons, row)) == exact, row  # noqa: B023
        laid_out += not isinstance(exact, str)
        refused += isinstance(exact, str)
    return laid_out, refused


@pytest.fixture(params=ALL_TEMPLATES)
def tokenizer(request, tmp_path):
    return load_tokenizer(save_tokenizer(tmp_path / request.param, request.param))


def test_layouts_of_conversations_are_the_exact_ones(tokenizer):
    laid_out, refused = compare(tokenizer, rows(tokenizer.folder.name, 500))
    assert laid_out > 150
    assert laid_out + refused == 500


def test_layouts_of_the_other_formats_are_the_exact_ones(tokenizer):
    laid_out, _ = compare(
        tokenizer, rows(7, 200, ("preference", "preference", "instruction", "general"))
    )
    assert laid_out > 100


def test_layouts_where_everything_trains(tokenizer):
    laid_out, _ = compare(tokenizer, rows(8, 100), train_on_inputs=True)
    assert laid_out > 30


def test_the_short_way_is_taken(tmp_path, monkeypatch):
    """Or all of the above would compare the exact way with itself."""
    asked = []

    def counted(*given, **named):
        asked.append(given)
        return lay_out(*given, **named)

    monkeypatch.setattr(skeleton, "lay_out", counted)
    for template in ALL_TEMPLATES:
        tokenizer = load_tokenizer(save_tokenizer(tmp_path / template, template))
        skeletons = Skeletons(tokenizer, "auto", NOW)
        asked.clear()
        for i in range(1_000):
            skeletons.layouts(
                Clean("conversation", ("user", "assistant"), [f"hello {i}", "good day"])
            )
        # Once or twice to build, and at rows 1, 2, 4, …, 512.
        assert len(asked) <= 20, template


ODD = {
    "looks at the length": "{% for m in messages %}{{ m.role }}: {{ m.content }}"
    "{% if m.content | length > 30 %} (long){% endif %}\n{% endfor %}",
    "strips spaces only": "{% for m in messages %}[{{ m.role }}]{{ m.content.strip(' ') }}<|end|>"
    "{% endfor %}",
    "strips newlines only": "{% for m in messages %}[{{ m.role }}]"
    "{{ m.content.strip('\n') }}<|end|>"
    "{% endfor %}",
    "strips on the right": "{% for m in messages %}[{{ m.role }}]{{ m.content.rstrip() }}<|end|>"
    "{% endfor %}",
    "in small letters": "{% for m in messages %}[{{ m.role }}]{{ m.content | lower }}<|end|>"
    "{% endfor %}",
    "looks for a word": "{% for m in messages %}[{{ m.role }}]{{ m.content }}"
    "{% if 'hello' in m.content %}!{% endif %}<|end|>{% endfor %}",
    "cuts at a word": "{% for m in messages %}[{{ m.role }}]{{ m.content.split('12')[0] }}<|end|>"
    "{% endfor %}",
    "cuts at a newline": "{% for m in messages %}[{{ m.role }}]"
    "{{ m.content.split('\\n')[0] }}<|end|>"
    "{% endfor %}",
    "writes some twice": "{% for m in messages %}[{{ m.role }}]{{ m.content }}<|end|>{% endfor %}"
    "{{ messages[0].content }}",
    "leaves the system out": "{% for m in messages if m.role != 'system' %}[{{ m.role }}]"
    "{{ m.content }}<|end|>{% endfor %}",
    "the time": "{{ strftime_now('%H:%M') }}{% for m in messages %}[{{ m.role }}]{{ m.content }}"
    "<|end|>{% endfor %}",
}
# What depends on a text in a way that no probe can know is found at rows 1, 2, 4, 8, …
NOT_AT_ONCE = {"looks at the length"}


@pytest.mark.parametrize("name", sorted(ODD.keys() - NOT_AT_ONCE))
def test_templates_that_do_something_with_a_text(name, tmp_path):
    folder = save_tokenizer(tmp_path, "chatml")
    (folder / "chat_template.jinja").write_text(ODD[name])
    for seed in range(10):
        compare(load_tokenizer(folder), rows(seed, 60))


def test_a_difference_that_is_seen_ends_the_short_way(tmp_path):
    folder = save_tokenizer(tmp_path, "chatml")
    (folder / "chat_template.jinja").write_text(ODD["looks at the length"])
    tokenizer = load_tokenizer(folder)
    skeletons = Skeletons(tokenizer, "auto", NOW)
    short = Clean("conversation", ("user", "assistant"), ["hello", "good day"])
    long = short._replace(contents=["hello", "good day " * 9 + "to you"])
    skeletons.layouts(short)
    # The second row is compared, and so are all from then on.
    for row in (long, short, long, long, short):
        assert laid_out_by(skeletons, row) == lay_out(as_row(row), tokenizer, now=NOW)


def test_a_row_as_it_stands_in_a_file():
    row = Clean("preference", ("user", "assistant", "assistant"), ["a", "b", "c"])
    assert as_row(row) == {
        "input": {"messages": [{"role": "user", "content": "a"}]},
        "preferred_output": [{"role": "assistant", "content": "b"}],
        "non_preferred_output": [{"role": "assistant", "content": "c"}],
    }
    assert as_row(Clean("general", ("text",), ["a"])) == {"text": "a"}


@pytest.mark.parametrize(
    "looked_at",
    [
        "{{ message.content[:200] }}",
        "{% if message.content|length > 30 %}{{ message.content }}{% endif %}",
        "{% if message['content'].isdigit() %}a{% endif %}{{ message['content'] }}",
        "{% if loop.previtem is defined %}b{% endif %}{{ message.content }}",
        "{% if message.content is lower %}b{% endif %}{{ message.content }}",
        "{% if message.content == messages[0].content %}b{% endif %}{{ message.content }}",
    ],
)
def test_a_template_that_looks_at_a_content_goes_the_exact_way(looked_at, tmp_path):
    folder = save_tokenizer(tmp_path, "chatml")
    text = "{% for message in messages %}" + looked_at + "<|im_end|>{% endfor %}"
    (folder / "chat_template.jinja").write_text(text)
    tokenizer = load_tokenizer(folder)
    made = Skeletons(tokenizer, train_on_inputs=True, now=NOW)
    for n in (3, 3, 3, 400, 3, 1):
        contents = ["a" * n, "7" * n]
        row = Clean("conversation", ("user", "assistant"), contents)
        assert laid_out_by(made, row) == lay_out(
            as_row(row), tokenizer, train_on_inputs=True, now=NOW
        )


LOOKS_FOR = [
    ("{{ message.content | replace('\\t', '    ') }}", "a\t\tb"),
    ("{{ message.content | replace('\\n\\n', '\\n') }}", "a\n\nb"),
    ("{{ message.content.replace('\\t', '  ') }}", "a\tb"),
    ("{% if '\\n' in message.content %}b{% endif %}{{ message.content }}", "a\nb"),
    ("{% if '\\n' not in message.content %}b{% endif %}{{ message.content }}", "one line"),
    ("{% if ' ' in message.content %}b{% endif %}{{ message.content }}", "one"),
    ("{% if 'user' in message.content %}b{% endif %}{{ message.content }}", "the user said"),
]


@pytest.mark.parametrize(("written", "odd"), LOOKS_FOR)
def test_what_a_template_looks_for_in_a_content_goes_the_exact_way(written, odd, tmp_path):
    """White space and common words too; rows that are not compared by themselves."""
    folder = save_tokenizer(tmp_path, "chatml")
    text = "{% for message in messages %}" + written + "<|im_end|>{% endfor %}"
    (folder / "chat_template.jinja").write_text(text)
    tokenizer = load_tokenizer(folder)
    skeletons = Skeletons(tokenizer, "auto", NOW)
    for contents in [*[["two words\nhere", "good day"]] * 20, [odd, odd]]:
        row = Clean("conversation", ("user", "assistant"), contents)
        assert laid_out_by(skeletons, row) == lay_out(as_row(row), tokenizer, now=NOW)
