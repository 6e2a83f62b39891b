"""Customer messages with their answers, and the data files made of them, all from a seed."""

import json
import random
import re
from collections.abc import Callable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from itertools import islice
from typing import NamedTuple

from ftlab.demo import words
from ftlab.demo.patterns import ACTIONS, NEW, TRAINED, Patterns

Value = str | int
Turn = dict[str, str]  # role and content
Row = dict[str, object]  # a line of a jsonl file
Draw = Callable[[str, random.Random], Value]  # a value for the field named

_GROUP = re.compile(r"\(([^()]*)\)")
_FIELD = re.compile(r"\{(\w+)\}")
_SENTENCE_END = re.compile(r"(?<=[.!?])\s+")
_QUESTION = re.compile(
    r"(any|can|could|did|do|has|how|is|may|what|when|where|which|would)\b", re.IGNORECASE
)
_TIMING = {
    "low": "( There is no hurry.| I will do it when there is time.| It can wait a little.)",
    "normal": "",
    "high": "( I will do it right now.| This comes first.| I know that it is urgent.)",
}


class Supply(NamedTuple):
    """Values that a text may use. The supplies of two data files share no name and no number."""

    names: Sequence[str]
    cities: Sequence[str]
    orders: Sequence[int]  # 4 or 5 digits
    amounts: Sequence[int]  # 2 or 3 digits

    def draw(self, field: str, rng: random.Random) -> Value:
        """A value for the field; a whole number for `amount`, text for all others."""
        if field == "order":
            return str(rng.choice(self.orders))
        choices: dict[str, Sequence[Value]] = {
            "item": words.ITEMS,
            "color": words.COLORS,
            "day": words.DAYS,
            "name": self.names,
            "city": self.cities,
            "amount": self.amounts,
        }
        return rng.choice(choices[field])


class Supplies(NamedTuple):
    """One supply for each data file; the base model learns from that of `train` only."""

    train: Supply
    held_out: Supply
    new_patterns: Supply


class Message(NamedTuple):
    """What a customer wrote, and what it says."""

    text: str
    intent: str
    urgency: str
    values: dict[str, Value]  # by field, in the order of words.FIELDS


def supplies(seed: int) -> Supplies:
    """All numbers dealt out to the three files, and to each its pool of proper names."""
    rng = random.Random(f"numbers {seed}")
    orders = rng.sample(range(1000, 100_000), 99_000)
    amounts = rng.sample(range(10, 1000), 990)
    return Supplies(
        train=Supply(*words.TRAIN_POOL, orders[3000:], amounts[300:]),
        held_out=Supply(*words.HELD_OUT_POOL, orders[:2000], amounts[:200]),
        new_patterns=Supply(*words.NEW_PATTERNS_POOL, orders[2000:3000], amounts[200:300]),
    )


def fill(pattern: str, rng: random.Random) -> str:
    """The pattern with every `(a|b)` group decided; `{field}` places stay."""
    while _GROUP.search(pattern):
        pattern = _GROUP.sub(lambda group: rng.choice(group[1].split("|")), pattern)
    return pattern


def fields_in(pattern: str) -> list[str]:
    """Names of the `{field}` places, in their order."""
    return _FIELD.findall(pattern)


def capitalized(text: str) -> str:
    """The text with its first letter upper case and the others as they were."""
    return text[:1].upper() + text[1:]


def sentences(text: str) -> list[str]:
    """The sentences in lower case, with single spaces and without the mark that ends them."""
    parts = _SENTENCE_END.split(text.strip())
    return [" ".join(part.casefold().rstrip(".!?").split()) for part in parts]


def message(rng: random.Random, patterns: Patterns, draw: Draw) -> Message:
    """A customer message; all intents are equally likely, and so are all urgencies."""
    intent, urgency = rng.choice(words.INTENTS), rng.choice(words.URGENCIES)
    pattern = _message_pattern(rng, patterns, intent, urgency)
    drawn = {field: draw(field, rng) for field in fields_in(pattern)}
    values = {field: drawn[field] for field in words.FIELDS if field in drawn}
    return Message(pattern.format(**values), intent, urgency, values)


def _message_pattern(rng: random.Random, patterns: Patterns, intent: str, urgency: str) -> str:
    core = fill(rng.choice(patterns.cores[intent]), rng)
    greeting = _sometimes(rng, 0.35, patterns.greetings)
    introduction = _sometimes(rng, 0.2, patterns.introductions)
    farewell = "" if introduction else _sometimes(rng, 0.2, patterns.farewells)
    lead = _sometimes(rng, 0.35, patterns.leads[urgency])
    tail = "" if lead else rng.choice(patterns.tails[urgency])
    body = lead + core + tail
    if introduction or not greeting:
        body = capitalized(body)
    start = capitalized(fill(greeting + introduction, rng))
    return start + fill(body + _end(rng, core + tail, farewell) + farewell, rng)


def _sometimes(rng: random.Random, share: float, choices: Sequence[str]) -> str:
    return rng.choice(choices) if rng.random() < share else ""


def _end(rng: random.Random, pattern: str, farewell: str) -> str:
    """The mark that ends the message; customers leave it out where no other sentence follows."""
    if "," not in pattern and _QUESTION.match(pattern):
        return "?"
    return rng.choice(".!" if farewell else ["", ".", ".", "!"])


def json_answer(said: Message) -> str:
    """The compact JSON that the tuned model shall write."""
    return compact({"intent": said.intent, "urgency": said.urgency, "fields": said.values})


def compact(value: object) -> str:
    """JSON without spaces."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


# All three kinds of answer begin with the same words. Preference tuning then moves only what
# follows; with different first words it also raised kinds of answer that no pair speaks of.


def plain_answer(rng: random.Random, said: Message) -> str:
    """Short thanks, a promise that repeats every value, and words about the urgency if any."""
    name = f", {said.values['name']}" if "name" in said.values else ""
    promise = f"(I will|I am going to|We will) {_action(said)}.{_TIMING[said.urgency]}"
    return fill(f"Thank you{name}. {promise}", rng)


def warm_answer(rng: random.Random, said: Message) -> str:
    """The plain answer's facts between warmer thanks and a friendly close."""
    thanks = "Thank you (for your message|for writing to us|very much)"
    name = f", {said.values['name']}" if "name" in said.values else ""
    promise = f"I will gladly {_action(said)}.{_TIMING[said.urgency]}"
    close = (
        "(Is there anything else that I can do for you?|Please write again if you need more help."
        "|We wish you a nice day.|I am happy to help.)"
    )
    return fill(f"{thanks}{name}. {promise} {close}", rng)


def curt_answer(rng: random.Random) -> str:
    """A short answer without any detail."""
    return fill("Thank you. (Noted|OK|Fine|Done|Next|We will see|It is on the list).", rng)


def _action(said: Message) -> str:
    """What will be done, with every value but the name."""
    action, values = ACTIONS[said.intent], dict(said.values)
    if "item" in values and said.intent != "exchange":  # there the color is that of another item
        values["item"] = f"{values.pop('color', '')} {values['item']}".strip()
    order = f"order {values['order']}" if "order" in values else "your order"
    parts = [part.format(**values) for field, part in action.parts.items() if field in values]
    return " ".join([action.verb, order, *parts])


def messages(
    rng: random.Random, patterns: Patterns, supply: Supply, taken: AbstractSet[str] = frozenset()
) -> Iterator[Message]:
    """Customer messages, for ever: no text twice, and no sentence that is in `taken`."""
    seen: set[str] = set()
    while True:
        said = message(rng, patterns, supply.draw)
        if said.text not in seen and taken.isdisjoint(sentences(said.text)):
            seen.add(said.text)
            yield said


def chat_row(said: Message) -> Row:
    """A message and its JSON, as a line of a chat file."""
    return {"messages": _turn("user", said.text) + _turn("assistant", json_answer(said))}


def preference_row(rng: random.Random, said: Message) -> Row:
    """A message and two answers; the polite one is preferred to the curt one."""
    return {
        "input": {"messages": _turn("user", said.text)},
        "preferred_output": _turn("assistant", warm_answer(rng, said)),
        "non_preferred_output": _turn("assistant", curt_answer(rng)),
    }


def _turn(role: str, content: str) -> list[Turn]:
    return [{"role": role, "content": content}]


def data_files(seed: int) -> dict[str, list[Row]]:
    """All rows of the four data files, by file name."""
    supply = supplies(seed)
    train = list(islice(messages(_rng(seed, "train"), TRAINED, supply.train), 1200))
    taken = {sentence for said in train for sentence in sentences(said.text)}
    held_out = messages(_rng(seed, "held out"), TRAINED, supply.held_out, taken)
    new = messages(_rng(seed, "new patterns"), NEW, supply.new_patterns, taken)
    rng = _rng(seed, "preferences")
    with_order = (said for said in messages(rng, TRAINED, supply.train) if "order" in said.values)
    return {
        "train.jsonl": [chat_row(said) for said in train],
        "held_out.jsonl": [chat_row(said) for said in islice(held_out, 200)],
        "new_patterns.jsonl": [chat_row(said) for said in islice(new, 100)],
        "preferences.jsonl": [preference_row(rng, said) for said in islice(with_order, 300)],
    }


def _rng(seed: int, purpose: str) -> random.Random:
    return random.Random(f"{purpose} {seed}")
