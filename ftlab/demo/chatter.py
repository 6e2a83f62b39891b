"""What the base model learns from: small talk, copying, JSON, and customers answered in prose.

The base learns to copy values, to write JSON, and to understand customers, but it never sees the
schema of the data files: no JSON here has the keys intent, urgency or fields. Nor does it ever see
a pattern of patterns.NEW.
"""

import random
import string
from collections.abc import Iterator

from ftlab.demo import words
from ftlab.demo.patterns import TRAINED
from ftlab.demo.text import (
    Draw,
    Supply,
    Turn,
    Value,
    capitalized,
    compact,
    curt_answer,
    fields_in,
    fill,
    message,
    plain_answer,
    supplies,
    warm_answer,
)
from ftlab.demo.words import listed

Exchange = tuple[str, str]  # what the user says, what the assistant answers

TALK = [
    ("(How are you|How are you today|How is it going)?", "I am (fine|well), thank you."),
    ("(Hi|Hello|Good morning|Hey)(!|.|)", "Hello! (How can I help you|What can I do for you)?"),
    ("(Who|What) are you?", "I am a small demo model. I like to talk and to help."),
    ("What is your name?", "I have no name yet. I am a small demo model."),
    ("What can you do?", "I can talk a little, copy what you write, and answer customers."),
    ("(Thank you|Thanks|Many thanks)(!|.|)", "You are welcome."),
    ("(Bye|Goodbye|See you)(!|.|)", "Goodbye, and have a nice (day|week)."),
    ("My name is {name}.", "(Nice to meet you|Hello|Welcome), {name}."),
    ("I am called {name} and I live in {city}.", "Hello, {name}. Is it nice to live in {city}?"),
    ("(I live in|I come from) {city}.", "{city} must be a (nice|busy|quiet) place."),
    ("Have you ever been to {city}?", "No, but I would like to see {city} one day."),
    ("I bought a {color} {item}.", "A {color} {item}? (That sounds nice|I hope you like it)."),
    ("(My|Our) {item} is {color}.", "A {color} {item} is (a good choice|rare)."),
    ("Do you like {food}?", "Yes, {food} is (good|nice), (at noon|in the evening)."),
    ("What shall I eat (today|tonight)?", "How about {food} with {food_2}?"),
    ("I like {hobby}.", "{hobby} is a good way to spend the (day|evening)."),
    ("(Give me|Tell me) a hobby.", "You could try {hobby}."),
    ("I have a {animal}.", "What is the name of your {animal}?"),
    ("My {animal} is called {name}.", "{name} is a (good|fine) name for a {animal}."),
    ("Say something about a {animal}.", "The {animal} is a (quiet|lively|clever) animal."),
    (
        "Tell me (a story|something) about a {animal}.",
        "Once there was a {animal} in {city} that liked {food}. It (grew old|slept well).",
    ),
    (
        "(What is the capital|Who is the king|What is the history) of {city}?",
        "I do not know that. I am only a small demo model.",
    ),
    (
        "(Why is {colored_thing} {its_color}|Who invented {food}|How (old|big|far) is {city})?",
        "I do not know that. I am only a small demo model.",
    ),
    ("Let us meet on {day}.", "{day} is fine. I will be there."),
    ("What color is {colored_thing}?", "{colored_thing} is {its_color}."),
    ("What is the opposite of {word}?", "The opposite of {word} is {opposite}."),
    ("What day comes after {day}?", "{next_day} comes after {day}."),
    ("{name} has {small} (apples|books|keys). How many is that?", "That is {small}."),
    ('What does the word "{label}" mean?', 'The word "{label}" means {meaning}.'),
    ('(Explain|What is) "{label}"(.|?)', '"{label}" means {meaning}.'),
    ("Which word means {meaning}?", 'The word is "{label}".'),
]
SYSTEM = [
    "You are a (friendly|helpful|polite) assistant.",
    "(Answer|Please answer) in (short|plain|simple) sentences.",
    "You work for a shop that sells things for the home.",
]
REPEAT = [
    "(Repeat|Say|Write|Copy): {text}",
    "(Repeat|Say|Write|Copy) {text}",
    "{text} - please (repeat|copy) that.",
]
QUOTE = ["(Put|Write) {text} in quotes.", "Quote {text}"]

# A sentence and its JSON, in which each leaf names a value of the sentence.
SCHEMAS = [
    (
        "{name} from {city} has {amount} points",
        {"player": {"name": "name", "city": "city"}, "points": "amount"},
    ),
    (
        "{name} wants a {color} {item}",
        {"person": "name", "wish": {"thing": "item", "color": "color"}},
    ),
    (
        "the {color} {item} costs {amount} dollars",
        {"item": "item", "color": "color", "price": "amount"},
    ),
    (
        "it will be {small} degrees in {city} on {day}",
        {"weather": {"city": "city", "day": "day", "degrees": "small"}},
    ),
    (
        "{name} has a {animal} and a {animal_2}",
        {"owner": "name", "animals": ["animal", "animal_2"]},
    ),
    (
        "{name} travels from {city} to {city_2} on {day}",
        {"trip": {"from": "city", "to": "city_2", "day": "day"}, "name": "name"},
    ),
    (
        "room {order} is booked by {name} until {day}",
        {"room": "order", "guest": {"name": "name", "until": "day"}},
    ),
    ("{name} likes {hobby} and {food}", {"name": "name", "likes": ["hobby", "food"]}),
    ("we need {food}, {food_2} and a {item}", {"list": ["food", "food_2", "item"]}),
    (
        "ticket {order} to {city} for {amount} dollars",
        {"ticket": {"number": "order", "price": "amount"}, "city": "city"},
    ),
    (
        "the {animal} of {name} is {small} years old",
        {"animal": "animal", "data": {"owner": "name", "age": "small"}},
    ),
    (
        "on {day} {name} pays {amount} dollars for the {item}",
        {"when": "day", "payment": {"by": "name", "amount": "amount", "item": "item"}},
    ),
]
KEYS = listed("""
    name city day color item amount order code title place year size type state level group note
    price count street team word guest owner shop
""")
OUTER_KEYS = listed("data box record entry values details result info card")
FIND = [
    "What is the {field} in this message? {message}",
    "Find the {field}: {message}",
    "{message} - (say|write) only the {field} of this.",
]
NOTES = ["Take notes as JSON: {message}", "{message} - (notes|your notes) as JSON please."]
NOTE_KEYS = {  # by field; another schema and another order than those of the data files
    "name": "who",
    "city": "where",
    "day": "when",
    "item": "thing",
    "color": "look",
    "order": "number",
    "amount": "price",
}
FOUND = ["{value}", "The {field} is {value}.", '"{value}"']
REQUESTS = [
    "(Write this|Write it|Give me this) as JSON: {sentence}.",
    "{sentence}. (As JSON please|JSON please|Write that as JSON).",
    "JSON(, please|): {sentence}",
]

# Syllables of invented words. Many kinds, because the base shall copy any name that people type.
ONSETS = [
    *listed("b c d f g h j k l m n p r s t v w x y z"),
    *listed("br ch cr dr fr gl gr kl ph qu sch sh sk sp st th tr"),
    *[""] * 4,
]
VOWELS = listed("a e i o u") * 3 + listed("ai au ea ee ei ia ie io oa oo ou ue y")
CODAS = listed("l m n r s t ck ld ll lm nd ng nn nt rd rn rt ss st tt x z") + [""] * 30
ENDINGS = listed("a o er ton burg ville land ine ette is us ford") + [""] * 24

# Words to cut scraps from.
WORDS = [
    word.lower()
    for word in (*words.ITEMS, *words.FOODS, *words.TRAIN_POOL.names, *words.TRAIN_POOL.cities)
]

# Sixteen letters each of Latin with marks, Greek, Cyrillic, Hebrew, Kana, Han and emoji: the
# bytes that English lacks get some training too.
UNUSUAL = [
    chr(start + offset)
    for start in (0xE0, 0x3B1, 0x430, 0x5D0, 0x3042, 0x4E00, 0x1F600)
    for offset in range(16)
]


def invented(rng: random.Random) -> str:
    """A word that hardly anybody has seen, in lower case: of syllables, of scraps, of letters."""
    kind = rng.random()
    if kind < 0.5:
        syllables = rng.choice([1, 2, 2, 2, 3])
        parts = [rng.choice(part) for _ in range(syllables) for part in (ONSETS, VOWELS, CODAS)]
        return "".join(parts) + rng.choice(ENDINGS)
    if kind < 0.8:
        return "".join(_scrap(rng) for _ in range(rng.choice([2, 3])))
    return "".join(rng.choices(string.ascii_lowercase, k=rng.randrange(3, 9)))


def _scrap(rng: random.Random) -> str:
    word = rng.choice(WORDS)
    start = rng.randrange(len(word) - 1)
    return word[start : start + rng.randrange(2, 5)]


def drawing_from(supply: Supply) -> Draw:
    """Values of the supply, except that most names and cities are invented."""

    def draw(field: str, rng: random.Random) -> Value:
        if field in ("name", "city") and rng.random() < 0.7:
            return invented(rng).capitalize()
        return supply.draw(field, rng)

    return draw


def facts(rng: random.Random) -> dict[str, Value]:
    """Values that belong together, such as a word and its opposite."""
    label = rng.choice(list(words.MEANINGS))
    word, opposite = rng.choice(list(words.OPPOSITES.items()))
    thing, its_color = rng.choice(list(words.COLORED_THINGS.items()))
    food, food_2 = rng.sample(words.FOODS, 2)
    animal, animal_2 = rng.sample(words.ANIMALS, 2)
    day = rng.randrange(7)
    return {
        "label": label,
        "meaning": words.MEANINGS[label],
        "word": word,
        "opposite": opposite,
        "colored_thing": thing,
        "its_color": its_color,
        "food": food,
        "food_2": food_2,
        "animal": animal,
        "animal_2": animal_2,
        "hobby": rng.choice(words.HOBBIES),
        "day": words.DAYS[day],
        "next_day": words.DAYS[(day + 1) % 7],
        "small": rng.randrange(2, 10),
    }


def values_for(pattern: str, rng: random.Random, draw: Draw) -> dict[str, Value]:
    """A value for each field in the pattern, and some more."""
    values = facts(rng)
    for field in fields_in(pattern):
        if field not in values:
            values[field] = draw(field.removesuffix("_2"), rng)
    return values


def talk(rng: random.Random, draw: Draw) -> Exchange:
    """A line of small talk and its answer."""
    said, answer = (fill(part, rng) for part in rng.choice(TALK))
    values = values_for(said + answer, rng, draw)
    return capitalized(said.format(**values)), capitalized(answer.format(**values))


def drill(rng: random.Random, draw: Draw) -> Exchange:
    """A request to copy one to three values, or to put one in quotes, and the copy."""
    if rng.random() < 0.4:
        text = _copyable(rng, draw)
        return fill(rng.choice(QUOTE), rng).format(text=text), f'"{text}"'
    parts = [_copyable(rng, draw) for _ in range(rng.choice([1, 2, 3]))]
    text = rng.choice([" ", ", ", " and "]).join(parts)
    return fill(rng.choice(REPEAT), rng).format(text=text), text


def search(rng: random.Random, draw: Draw) -> Exchange:
    """A question for one value of a customer message, and that value."""
    said = message(rng, TRAINED, draw)
    field, value = rng.choice(list(said.values.items()))
    shown = {"field": field, "value": value, "message": said.text}
    question, answer = fill(rng.choice(FIND), rng), rng.choice(FOUND)
    return question.format(**shown), answer.format(**shown)


def notes(rng: random.Random, draw: Draw) -> Exchange:
    """A request for notes about a customer message, and JSON of its values under other keys."""
    said = message(rng, TRAINED, draw)
    kept = {key: said.values[field] for field, key in NOTE_KEYS.items() if field in said.values}
    return fill(rng.choice(NOTES), rng).format(message=said.text), compact(kept)


def _copyable(rng: random.Random, draw: Draw) -> str:
    kind = rng.random()
    if kind < 0.3:
        return str(draw("order", rng))
    if kind < 0.6:
        return str(draw(rng.choice(words.FIELDS), rng))
    if kind < 0.7:
        return rng.choice(list(words.MEANINGS))
    if kind < 0.9:
        word = invented(rng)
        return rng.choice([word, word.capitalize(), word.upper()])
    return "".join(rng.choices([*UNUSUAL, *string.ascii_letters, *string.punctuation], k=5))


def json_of_other_schemas(rng: random.Random, draw: Draw) -> Exchange:
    """A request for JSON, and the compact JSON."""
    if rng.random() < 0.5:
        sentence, schema = rng.choice(SCHEMAS)
        values = values_for(sentence, rng, draw)
        said, answer = sentence.format(**values), _with_values(schema, values)
    else:
        said, answer = _random_schema(rng, draw)
    request = fill(rng.choice(REQUESTS), rng).format(sentence=said)
    return capitalized(request), compact(answer)


def _with_values(schema: object, values: dict[str, Value]) -> object:
    if isinstance(schema, dict):
        return {key: _with_values(part, values) for key, part in schema.items()}
    if isinstance(schema, list):
        return [_with_values(part, values) for part in schema]
    return values[str(schema)]


def _random_schema(rng: random.Random, draw: Draw) -> tuple[str, dict[str, object]]:
    keys = rng.sample(KEYS, rng.choice([1, 2, 3, 4]))
    values: dict[str, object] = {key: draw(rng.choice(words.FIELDS), rng) for key in keys}
    said = ", ".join(f"{key}{rng.choice([' is', ''])} {value}" for key, value in values.items())
    if rng.random() < 0.4:
        return said, values
    outer, kind, level = rng.choice(OUTER_KEYS), invented(rng), rng.choice(words.COLORS)
    if rng.random() < 0.5:
        return f"{outer} with {said}", {outer: values}
    return f"{kind} {level}, {outer} with {said}", {"kind": kind, "level": level, outer: values}


def customer(rng: random.Random, draw: Draw) -> Exchange:
    """A customer message and an answer in prose: half of them plain, then warm, then curt."""
    said = message(rng, TRAINED, draw)
    kind = rng.random()
    if kind < 0.5:
        return said.text, plain_answer(rng, said)
    return said.text, warm_answer(rng, said) if kind < 0.85 else curt_answer(rng)


def chats(seed: int) -> Iterator[list[Turn]]:
    """Chats for the base model, for ever: one or two exchanges, at times a system message first."""
    rng = random.Random(f"chatter {seed}")
    draw = drawing_from(supplies(seed).train)
    kinds = [customer, json_of_other_schemas, notes, search, drill, talk]
    shares = [35, 20, 10, 5, 15, 15]
    while True:
        system = [rng.choice(SYSTEM)] if rng.random() < 0.05 else []
        chat = [{"role": "system", "content": fill(line, rng)} for line in system]
        for kind in rng.choices(kinds, shares, k=rng.choice([1] * 9 + [2])):
            said, answer = kind(rng, draw)
            chat.append({"role": "user", "content": said})
            chat.append({"role": "assistant", "content": answer})
        yield chat
