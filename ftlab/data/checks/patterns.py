"""What personal data, keys, broken encodings and refusals look like.

Every pattern starts at most once per run of its characters and has bounded repeats, so that its
time grows with the length of a text and not faster: texts come from strangers.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Iterator

from ftlab.data.fix_texts import right_encoding

Finder = Callable[[str], Iterator[str]]

ANY_DIGITS: tuple[str, ...] = ("0", "1", "2", "3", "4", "5", "6", "7", "8", "9")
"""Needles of a check that looks at every row with a run of four digits."""

# --- personal data ---------------------------------------------------------------------------

_EMAIL = re.compile(
    r"(?<![\w.%+-])([\w.%+-]{1,64})@([a-z0-9-]{1,63}(?:\.[a-z0-9-]{1,63}){1,8})(?![\w@])",
    re.IGNORECASE | re.ASCII,
)
# Names that RFC 2606 keeps for examples, and addresses of machines rather than of people.
_PLACEHOLDER_DOMAIN = re.compile(
    r"(?:^|\.)(?:example(?:\.(?:com|org|net))?|test|invalid|localhost)$"
)
_MACHINE_NAMES = frozenset({"git", "noreply", "no-reply", "donotreply", "do-not-reply"})


def emails(text: str) -> Iterator[str]:
    """E-mail addresses; not those of example domains, nor of machines."""
    for found in _EMAIL.finditer(text):
        name, domain = found[1].lower(), found[2].lower()
        last = domain.rpartition(".")[2]
        if not last.isalpha() or len(last) < 2 or name in _MACHINE_NAMES:
            continue
        if not _PLACEHOLDER_DOMAIN.search(domain):
            yield found[0]


_CARD = re.compile(
    r"(?<![\d.])(?=((?:\d{13,19}"
    r"|\d{4}([ -])\d{4}\2\d{4}\2\d{4}"
    r"|\d{4}([ -])\d{6}\3\d{4,5})(?!\.?\d)))",
    re.ASCII,
)
_CARD_STARTS = re.compile(
    r"(?:4(?:\d{12}|\d{15}|\d{18})"  # Visa
    r"|(?:5[1-5]\d\d|222[1-9]|22[3-9]\d|2[3-6]\d\d|27[01]\d|2720)\d{12}"  # Mastercard
    r"|3[47]\d{13}"  # American Express
    r"|(?:6011|65\d\d|64[4-9]\d)\d{12}"  # Discover
    r"|35(?:2[89]|[3-8]\d)\d{12}"  # JCB
    r"|3(?:0[0-5]|[68]\d)\d{11}"  # Diners Club
    r"|62\d{14,17})"  # UnionPay
)


def cards(text: str) -> Iterator[str]:
    """Numbers of payment cards: an issuer's first digits, its length, and the Luhn digit."""
    for found in _CARD.finditer(text):
        digits = re.sub(r"\D", "", found[1])
        if _CARD_STARTS.fullmatch(digits) and luhn(digits):
            yield found[1]


def luhn(digits: str) -> bool:
    """Whether the last digit is the check digit of ISO/IEC 7812-1."""
    total = 0
    for place, digit in enumerate(reversed(digits)):
        value = int(digit) * (1 + place % 2)
        total += value - 9 if value > 9 else value
    return total % 10 == 0


# Lengths of the countries in SWIFT's IBAN registry.
_IBAN_LENGTHS = {
    length: codes.split()
    for length, codes in {
        15: "NO",
        16: "BE",
        18: "DK FK FI FO GL NL SD",
        19: "MK SI",
        20: "AT BA EE KZ LT LU MN XK",
        21: "CH HR LI LV",
        22: "BG BH CR DE GB GE IE ME RS VA",
        23: "AE GI IL IQ OM SO TL",
        24: "AD CZ ES MD PK RO SA SE SK TN VG",
        25: "LY PT ST",
        26: "IS TR",
        27: "BI DJ FR GR IT MC MR SM",
        28: "AL AZ BY CY DO GT HN HU LB NI PL SV",
        29: "BR EG PS QA UA",
        30: "JO KW MU YE",
        31: "MT SC",
        32: "LC",
        33: "RU",
    }.items()
}
_IBAN_LENGTH = {code: length for length, codes in _IBAN_LENGTHS.items() for code in codes}
_IBAN_START = re.compile(r"(?<![A-Za-z0-9])[A-Z]{2}\d{2}(?=[ A-Z0-9])")
_LONGEST_IBAN = 33 + 9  # and a space after every four characters


def ibans(text: str) -> Iterator[str]:
    """Account numbers of the length of their country that leave 1 when divided by 97."""
    for start in _IBAN_START.finditer(text):
        length = _IBAN_LENGTH.get(start[0][:2])
        if length is None:
            continue
        found = _first_characters(text[start.start() : start.start() + _LONGEST_IBAN + 1], length)
        if found is not None and mod_97(found) == 1:
            yield found


def _first_characters(text: str, length: int) -> str | None:
    """So many letters and digits, single spaces between them left out; None if a word goes on."""
    kept: list[str] = []
    for place, letter in enumerate(text):
        if len(kept) == length:
            return None if letter.isalnum() else "".join(kept)
        if letter.isascii() and letter.isalnum():
            kept.append(letter)
        elif letter != " " or text[place - 1] == " ":
            return None
    return "".join(kept) if len(kept) == length else None


def mod_97(iban: str) -> int:
    """What ISO 13616 wants to be 1."""
    return int("".join(str(int(letter, 36)) for letter in iban[4:] + iban[:4])) % 97


_PHONE = re.compile(
    r"(?<![\w+])\+[1-9]\d{0,14}(?:(?:[ /-]|[ -]?\(|\)[ -]?)\d{1,11}){0,7}(?!\d|\.\d)", re.ASCII
)
PHONE_NEEDLES = tuple(f"+{digit}" for digit in range(1, 10))


def phones(text: str) -> Iterator[str]:
    """International numbers (E.164): a plus sign and 9 to 15 digits, together or in groups."""
    for found in _PHONE.finditer(text):
        groups = re.findall(r"\d+", found[0])
        n_digits = sum(map(len, groups))
        grouped = len(groups) >= 3 and len(groups[0]) <= 3 and all(len(g) > 1 for g in groups[1:])
        if 9 <= n_digits <= 15 and (grouped or len(groups) <= 2) and len(set("".join(groups))) > 2:
            yield found[0]


_OCTET = r"(?:25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)"
_ADDRESS = re.compile(rf"(?<![\w.])(?:{_OCTET}\.){{3}}{_OCTET}(?!\w|\.\d)", re.ASCII)
ADDRESS_NEEDLES = tuple(f".{octet}." for octet in range(256))
_VERSION = re.compile(r"(?:\bv|version|release|[=@])[ .:]{0,2}$", re.IGNORECASE)


def addresses(text: str) -> Iterator[str]:
    """Public IPv4 addresses; not those of local networks or documentation, nor version and section
    numbers, which have fewer digits."""
    for found in _ADDRESS.finditer(text):
        if len(found[0]) < 10:
            continue
        before = text[max(found.start() - 12, 0) : found.start()]
        if ipaddress.IPv4Address(found[0]).is_global and not _VERSION.search(before):
            yield found[0]


# --- keys ------------------------------------------------------------------------------------

_KEYS: dict[str, str] = {
    "sk-": r"sk-[A-Za-z0-9_-]{20,200}",
    "sk_live_": r"sk_live_[A-Za-z0-9]{16,120}",
    "rk_live_": r"rk_live_[A-Za-z0-9]{16,120}",
    "ghp_": r"ghp_[A-Za-z0-9]{36}",
    "gho_": r"gho_[A-Za-z0-9]{36}",
    "ghu_": r"ghu_[A-Za-z0-9]{36}",
    "ghs_": r"ghs_[A-Za-z0-9]{36}",
    "ghr_": r"ghr_[A-Za-z0-9]{36}",
    "github_pat_": r"github_pat_[A-Za-z0-9_]{60,90}",
    "glpat-": r"glpat-[A-Za-z0-9_-]{20,60}",
    "AKIA": r"AKIA[A-Z0-9]{16}",
    "ASIA": r"ASIA[A-Z0-9]{16}",
    "AIza": r"AIza[A-Za-z0-9_-]{35}",
    "hf_": r"hf_[A-Za-z0-9]{30,40}",
    "tgp_v1_": r"tgp_v1_[A-Za-z0-9_-]{20,80}",
    "xoxb-": r"xoxb-[A-Za-z0-9-]{20,120}",
    "xoxp-": r"xoxp-[A-Za-z0-9-]{20,120}",
    "xapp-": r"xapp-[A-Za-z0-9-]{20,120}",
    "npm_": r"npm_[A-Za-z0-9]{36}",
    "pypi-": r"pypi-[A-Za-z0-9_-]{50,250}",
    "SG.": r"SG\.[A-Za-z0-9_-]{16,32}\.[A-Za-z0-9_-]{16,64}",
}
_PRIVATE_KEY = (
    r"-----BEGIN (?:[A-Z]{2,10} ){0,2}PRIVATE KEY(?: BLOCK)?-----"
    r"(?:\s|\\[nr]){0,4}[A-Za-z0-9+/]{24}"
)
_DOCUMENTED = frozenset(
    {"16C7e42F292c6912E7710c838347Ae178B4a", "SyD-9tSrke72PouQMnMX-a7eZSW0jkFMBWY"}
)
"""Examples of GitHub's and Google's manuals, without their beginnings. They stand in thousands of
texts and open nothing; those of AWS say EXAMPLE themselves."""
KEY_NEEDLES = (*_KEYS, "PRIVATE KEY")
_SECRET = re.compile(rf"(?<![A-Za-z0-9_])(?:{'|'.join(_KEYS.values())})(?![A-Za-z0-9])")
_PEM = re.compile(_PRIVATE_KEY)


def secrets(text: str) -> Iterator[str]:
    """What opens an account: the known beginning of each key found, never the rest.

    The examples of manuals are none: they open nothing, and a model may well write them.
    """
    for found in _SECRET.finditer(text):
        start = next(start for start in _KEYS if found[0].startswith(start))
        if _looks_random(found[0].removeprefix(start)):
            yield f"{start}…"
    for _ in _PEM.finditer(text):
        yield "-----BEGIN … PRIVATE KEY-----"


def _looks_random(key: str) -> bool:
    """Not a name with dashes, and not sk-xxxx, …EXAMPLE or a known key as manuals have them."""
    varied = len(set(key)) >= 8 and any(map(str.isdigit, key)) and any(map(str.isalpha, key))
    longest = max(map(len, re.split("[-_.]", key)))
    manual = re.search("example|your|xxxx|1234567|abcdef", key, re.IGNORECASE)
    return varied and longest >= 12 and not manual and key not in _DOCUMENTED


def masked(text: str) -> str:
    """Enough of a text to find it again, and no more."""
    return f"{text[:1]}…{text[-1:]}"


# --- broken encodings ------------------------------------------------------------------------

# What bytes 0x80 to 0xBF become when UTF-8 is read as cp1252; the five that cp1252 lacks stay.
_TAILS = "".join(
    bytes([byte]).decode("cp1252") if byte not in (0x81, 0x8D, 0x8F, 0x90, 0x9D) else chr(byte)
    for byte in range(0x80, 0xC0)
)
_TAIL = f"[{_TAILS}\x80-\xbf]"
MOJIBAKE_NEEDLES = ("Â", "Ã", "â€", "â\x80", "ðŸ", "ð\x9f", "ï»¿", "ï¿½")
_MOJIBAKE = re.compile(f"[ÂÃ]{_TAIL}|â[€\x80]{_TAIL}|ð[Ÿ\x9f]{_TAIL}{{2}}|ï»¿|ï¿½")


def mojibake(text: str) -> Iterator[str]:
    """Pieces of UTF-8 that were read as cp1252 or latin-1, such as Ã© for é.

    Only what the repair would change: a letter and a quote may be just that.
    """
    pieces = [found[0] for found in _MOJIBAKE.finditer(text)]
    right = right_encoding(text) if pieces else text
    return (piece for piece in pieces if piece not in right)


_INVISIBLE = "\u200b\u200c\u200d\u2060\ufeff"
CONTROLS = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x84\x86-\x9f]")
INVISIBLE = re.compile(f"[{_INVISIBLE}]{{2,}}|\ufeff")
CONTROL_NEEDLES = tuple(
    letter for letter in map(chr, range(0xA0)) if CONTROLS.fullmatch(letter) is not None
)
INVISIBLE_NEEDLES = ("\ufeff", *(a + b for a in _INVISIBLE for b in _INVISIBLE))

# --- refusals --------------------------------------------------------------------------------

REFUSAL_LOOKED_AT = 400
"""Characters of an answer: who refuses does it at once."""
_NOT = "(?:can(?:'t|not| not)|won't)"
_REFUSALS = (
    r"\bas an? (?:ai|artificial intelligence|(?:large )?language model)\b",
    r"\bi(?:'m| am) (?:just |only |merely )?an? (?:ai|(?:large )?language model)\b",
    r"\bi(?:'m| am) sorry,? but (?:as an ai|i(?:'m| am) (?:unable|not able)"
    rf"|i (?:{_NOT}|do not|don't))",
    rf"\bi {_NOT} (?:assist|help|fulfill?|comply|engage|participate|support)\b",
    rf"\bi {_NOT} (?:provide|create|generate|discuss|answer) (?:that|this|any)\b",
    r"\bi(?:'m| am) (?:unable|not able) to (?:assist|help|fulfill?|comply|provide|answer|engage)\b",
    r"\bmy (?:knowledge|training) cut-?off\b",
    r"\bas of my (?:last|latest|most recent) (?:knowledge )?(?:update|training|cut-?off)\b",
)
_REFUSAL = re.compile("|".join(_REFUSALS))


def refusals(text: str) -> Iterator[str]:
    """What models say of themselves, or when they decline, at the start of an answer."""
    start = text[:REFUSAL_LOOKED_AT].replace("’", "'").casefold()
    for found in _REFUSAL.finditer(start):
        yield found[0]


def _spellings(*texts: str) -> tuple[str, ...]:
    """The texts as they stand in and at the start of a sentence, with either apostrophe."""
    cased = [form for text in texts for form in (text, text.lower(), text.upper())]
    cased += [text[:1].upper() + text[1:] for text in texts]
    curly = [form.replace("'", "’") for form in cased]
    return tuple(dict.fromkeys([*cased, *curly]))


REFUSAL_NEEDLES = (
    "an AI",
    "AN AI",
    *_spellings(
        "as an AI",
        "as a AI",
        "i'm an AI",
        "artificial intelligence",
        "language model",
        "I'm sorry",
        "I am sorry",
        "I can't",
        "I cannot",
        "I can not",
        "I won't",
        "I'm unable",
        "I am unable",
        "I'm not able",
        "I am not able",
        "my knowledge cut",
        "my training cut",
        "as of my",
    ),
)
