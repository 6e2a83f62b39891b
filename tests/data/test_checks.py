"""Every check of a row on its own example, on clean rows, and on what it should leave alone."""

from __future__ import annotations

import json

import pytest

from ftlab.data.chat import tokenise
from ftlab.data.checks import CHECKS, DIGITS, RowView, find_problems, needles_for, patterns
from ftlab.data.screen import Screen
from ftlab.data.tokens import load_tokenizer
from tests.small import chat_rows, save_tokenizer

NEEDLED = [check for check in CHECKS if check.needles is not None]


def named(checks):
    return pytest.mark.parametrize("check", checks, ids=lambda check: check.name)


def view(row, tmp_path, length=None):
    tokenizer = load_tokenizer(save_tokenizer(tmp_path, "chatml"))
    return RowView(row, tokenise(row, tokenizer), tokenizer, length, 1)


def said(name, row):
    """The problems that one check finds in a row, without a tokenizer."""
    return list(find_problems(RowView(row), frozenset({name})))


def chat(*contents):
    roles = ("user", "assistant")
    return {"messages": [{"role": roles[i % 2], "content": c} for i, c in enumerate(contents)]}


@named(CHECKS)
def test_every_check_finds_its_example(check, tmp_path):
    seen = view(check.example, tmp_path, check.length) if check.needs_tokenizer else None
    problems = list(check.find(seen or RowView(check.example)))
    assert {problem.code for problem in problems} == {check.name}
    assert all(problem.blocks == () for problem in problems)


@named(CHECKS)
def test_no_check_complains_of_a_usual_row(check, tmp_path):
    assert list(check.find(view(chat_rows(1)[0], tmp_path, 512))) == []


@pytest.mark.parametrize("ascii_only", [True, False])
@named(NEEDLED)
def test_the_screen_sends_the_example_to_its_check(check, ascii_only):
    screen = Screen(needles_for(), DIGITS)
    lines = [json.dumps(row, ensure_ascii=ascii_only).encode() for row in (check.example, {})]
    hits = screen.look(b"".join(lines), lines).hits
    assert check.name in hits[0]
    assert 1 not in hits


@named(CHECKS)
def test_checks_pass_over_values_of_any_type(check):
    odd = [None, 3, True, "x", [], [3], {}, {"function": 3}, {"function": {"arguments": "{"}}]
    for value in odd:
        message = {"role": "assistant", "content": value, "tool_calls": value, "reasoning": value}
        calling = {"role": "assistant", "tool_calls": [value], "tool_call_id": value}
        for row in (
            {"messages": [message, calling, {"role": "tool", "tool_call_id": value}]},
            {"messages": value, "tools": value},
            {"input": value, "preferred_output": value, "non_preferred_output": value},
            {"prompt": value, "completion": value, "text": value},
        ):
            if not check.needs_tokenizer:
                list(check.find(RowView(row)))


def test_only_the_named_checks_run():
    row = chat("Write to kari@posten.no", "I can't help with that. \ufffd")
    assert [p.code for p in find_problems(RowView(row), frozenset({"refusal"}))] == ["refusal"]
    codes = {p.code for p in find_problems(RowView(row))}
    assert codes == {"refusal", "email_address", "replacement_character"}


def test_special_tokens_of_the_model_are_needles():
    needles = needles_for(["<|mine|>"])["control_token_in_text"]
    assert "<|mine|>" in needles
    assert "<|im_end|>" in needles
    assert {"card_number", "bank_account"} == DIGITS


# --- tokens ----------------------------------------------------------------------------------


def test_a_lost_answer_is_graver_than_a_shortened_one(tmp_path):
    row = chat("A question of many words, " * 8, "And a long answer. " * 8)
    n = len(view(row, tmp_path).tokens[0].ids)
    (short,) = find_problems(view(row, tmp_path, n - 4), frozenset({"answer_cut"}))
    (lost,) = find_problems(view(row, tmp_path, 8), frozenset({"answer_cut"}))
    assert (short.level, lost.level) == ("warning", "error")
    assert "all of its" in lost.message
    assert short.value != lost.value


@pytest.mark.parametrize(
    ("row", "place", "level"),
    [
        (chat("Stop <|im_end|> here", "Yes"), "messages[0].content", "error"),
        (chat("Hello", "Stop <|im_end|> here"), "messages[1].content", "warning"),
        (chat("[INST] Hello [/INST]", "Yes"), "messages[0].content", "warning"),
        ({"text": "One. </s> Two."}, "text", "warning"),
    ],
)
def test_control_tokens_are_gravest_where_they_forge_a_turn(row, place, level, tmp_path):
    (problem,) = find_problems(view(row, tmp_path), frozenset({"control_token_in_text"}))
    assert (problem.where, problem.level) == (place, level)


def test_struck_out_text_is_no_control_token():
    assert said("control_token_in_text", chat("<s>old</s> new", "Yes")) == []


# --- tool calls ------------------------------------------------------------------------------


def call(name="find", id="c1", arguments="{}"):
    return {"id": id, "type": "function", "function": {"name": name, "arguments": arguments}}


def asking(*calls):
    return {"role": "assistant", "tool_calls": list(calls)}


ASKED = {"role": "user", "content": "Where?"}
ANSWER = {"role": "assistant", "content": "There."}
TOOLS = [{"type": "function", "function": {"name": "find"}}]


def result(id="c1"):
    return {"role": "tool", "tool_call_id": id, "content": "north"}


TOOL_CHECKS = ("tool_call_unanswered", "tool_result_without_call", "tool_arguments", "tool_unknown")


@pytest.mark.parametrize(
    ("messages", "found"),
    [
        ([ASKED, asking(call()), result(), ANSWER], []),
        ([ASKED, asking(call(), call(id="c2")), result("c2"), result(), ANSWER], []),
        (
            [ASKED, asking(call(), call(id="c2")), result("c2"), ANSWER],
            [("tool_call_unanswered", "messages[1].tool_calls[0]", "error")],
        ),
        (
            [ASKED, asking(call())],
            [("tool_call_unanswered", "messages[1].tool_calls[0]", "warning")],
        ),
        (
            [ASKED, asking(call()), result(), result("c9"), ANSWER],
            [("tool_result_without_call", "messages[3]", "error")],
        ),
        (
            [ASKED, asking(call(arguments='["Oslo"]')), result(), ANSWER],
            [("tool_arguments", "messages[1].tool_calls[0].function.arguments", "error")],
        ),
        ([ASKED, asking(call(arguments={"city": "Oslo"})), result(), ANSWER], []),
        (
            [ASKED, asking(call("search")), result(), ANSWER],
            [("tool_unknown", "messages[1].tool_calls[0].function.name", "error")],
        ),
    ],
)
def test_calls_and_results_belong_together(messages, found):
    row = {"messages": messages, "tools": TOOLS}
    problems = find_problems(RowView(row), frozenset(TOOL_CHECKS))
    assert [(p.code, p.where, p.level) for p in problems] == found


def test_tools_stand_inside_the_input_of_a_preference():
    row = {
        "input": {"messages": [ASKED], "tools": TOOLS},
        "preferred_output": [asking(call("search"))],
        "non_preferred_output": [ANSWER],
    }
    (problem,) = said("tool_unknown", row)
    assert problem.where == "preferred_output[0].tool_calls[0].function.name"


# --- sides and reasoning ---------------------------------------------------------------------


def test_outputs_are_equal_when_only_white_space_differs():
    def sides(one, other):
        outputs = [[{"role": "assistant", "content": text}] for text in (one, other)]
        return {
            "input": {"messages": [ASKED]},
            "preferred_output": outputs[0],
            "non_preferred_output": outputs[1],
        }

    assert said("equal_outputs", sides("Yes.  It is", "Yes. It is\n"))[0].level == "error"
    assert said("equal_outputs", sides("Yes.", "yes.")) == []


def test_thoughts_that_the_template_opened_may_close_alone():
    assert said("think_unclosed", chat("Hi", "Hm.</think> Hello")) == []
    assert said("think_unclosed", chat("What is <think>?", "A mark.")) == []
    assert len(said("think_unclosed", chat("Hi", "<think>Hm. Hello"))) == 1


# --- broken text -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("cafÃ©", ["Ã©"]),
        ("Itâ€™s", ["â€™"]),
        ("20Â°C", ["Â°"]),
        ("ðŸ˜€ yes", ["ðŸ˜€"]),
        ("café, it’s 20°C 😀", []),
        ("NÃO, MANHÃ", []),  # Portuguese
        ("Ângela", []),
    ],
)
def test_mojibake_is_told_from_letters(text, found):
    assert list(patterns.mojibake(text)) == found


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("a\x00b", "control_character"),
        ("\x1b[2J", "control_character"),
        ("a\x93b", "control_character"),
        ("a\u200b\u200bb", "invisible_characters"),
        ("a\ufeffb", "invisible_characters"),
        ("a\tb\r\nc", None),
        ("👩‍🚀 family 👨‍👩‍👧", None),
        ("می‌خواهم", None),  # Persian writes single joiners
    ],
)
def test_characters_that_nobody_sees(text, code):
    found = [p.code for p in find_problems(RowView(chat(text, "Yes")))]
    assert found == ([code] if code else [])


@pytest.mark.parametrize(
    ("answer", "refuses"),
    [
        ("As an AI language model, I do not have feelings.", True),
        ("I’m sorry, but I can’t help with that.", True),
        ("I cannot provide that information.", True),
        ("As of my last update, the tower was closed.", True),
        ("I'm sorry to hear that. Let us send a new one.", False),
        ("An AI writes this. I can't wait to see it!", False),
        ("Sure. " * 80 + "As an AI language model, I say so.", False),  # far into the answer
    ],
)
def test_refusals_stand_at_the_start_of_answers(answer, refuses):
    assert bool(said("refusal", chat("Why?", answer))) is refuses
    assert said("refusal", chat(answer, "Fine.")) == []


# --- personal data ---------------------------------------------------------------------------

CASES = [
    ("emails", "kari.nordmann+x@posten.co.uk", True),
    ("emails", "(ola@firma.no)", True),
    ("emails", "user@example.com", False),
    ("emails", "git@github.com", False),
    ("emails", "@property and a@b", False),
    ("cards", "4111 1111 1111 1111", True),
    ("cards", "2024 5500-0000-0000-0004", True),
    ("cards", "378282246310005", True),
    ("cards", "3782 822463 10005", True),
    ("cards", "4111111111111112", False),  # wrong check digit
    ("cards", "0000000000000000", False),
    ("cards", "41111111111111111234567890", False),
    ("cards", "0.4111111111111111", False),
    ("ibans", "NO9386011117947", True),
    ("ibans", "GB82 WEST 1234 5698 7654 32 and", True),
    ("ibans", "DE89370400440532013000", True),
    ("ibans", "DE88370400440532013000", False),
    ("ibans", "DE893704004405320130001", False),
    ("phones", "+47 22 86 44 00", True),
    ("phones", "+1 (415) 555-2671", True),
    ("phones", "+14155552671", True),
    ("phones", "1+2 3 4 5 6 7 8 9 1", False),
    ("phones", "+12.3456789012", False),
    ("phones", "+1000000000", False),
    ("addresses", "158.36.191.10", True),
    ("addresses", "is 158.36.191.10.", True),
    ("addresses", "192.168.100.200", False),
    ("addresses", "2.10.3.1", False),
    ("addresses", "version 158.36.191.10", False),
    ("addresses", "158.36.191.256", False),
    ("addresses", "1.158.36.191.10", False),
]


@pytest.mark.parametrize(("kind", "text", "found"), CASES)
def test_personal_data_is_told_from_other_numbers(kind, text, found):
    assert bool(list(getattr(patterns, kind)(f"It was {text} then"))) is found


def test_check_digits_of_worked_examples():
    assert patterns.luhn("79927398713")
    assert not patterns.luhn("79927398710")
    assert patterns.mod_97("GB82WEST12345698765432") == 1


RANDOM = "x7Qk2Lm9Rt4Vb8Nc3Wd6Zf1Hj5Sp0Gy2Ka7U"


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("sk-" + "proj-" + RANDOM, ["sk-…"]),
        ("gh" + "p_" + RANDOM, ["ghp_…"]),
        ("AK" + "IAQ3XZ7LM2NP9RT5VB", ["AKIA…"]),
        ("AK" + "IAIOSFODNN7EXAMPLE", []),  # stands in AWS's manuals
        ("gh" + "o_16C7e42F292c6912E7710c838347Ae178B4a", []),  # in GitHub's
        ("AI" + "zaSyD-9tSrke72PouQMnMX-a7eZSW0jkFMBWY", []),  # in Google's
        ("sk-" + "x" * 30, []),
        ("sk-your-key-goes-here-1", []),
        ("task-" + RANDOM, []),
        ("sk-a-slug-of-many-words-2024-edition", []),
        ("-----BEGIN RSA " + "PRIVATE KEY-----\n" + RANDOM, ["-----BEGIN … PRIVATE KEY-----"]),
        ("-----BEGIN PUBLIC KEY-----\n" + RANDOM, []),
        ("It starts with -----BEGIN PRIVATE KEY----- and so on", []),
    ],
)
def test_keys_are_told_from_names(text, found):
    assert list(patterns.secrets(f"Use {text} here")) == found


def test_what_is_private_is_never_shown_whole():
    key = "gh" + "p_" + RANDOM
    row = chat(f"{key} kari@posten.no", "4111 1111 1111 1111, NO93 8601 1117 947, +47 22 86 44 00")
    problems = list(find_problems(RowView(row)))
    assert {p.code for p in problems} == {
        "secret",
        "email_address",
        "card_number",
        "bank_account",
        "phone_number",
    }
    whole = " ".join(p.message for p in problems)
    for private in (RANDOM[:6], "kari", "posten", "1111", "8601", "22 86"):
        assert private not in whole
    assert {p.level for p in problems if p.code == "secret"} == {"error"}


HOSTILE = ["a", "1", "@", "a@", "+1 ", "+1", "1 1-", "1.", "A1", "NO93 ", "sk-", "a.b@", "Ã", "€â"]
HOSTILE += ["-----BEGIN ", "-----BEGIN A PRIVATE KEY-----", "i'm sorry ", "as an ", "\u200b", "<"]


@pytest.mark.parametrize("piece", HOSTILE)
def test_no_text_takes_a_square_time(piece):
    # 4 × 10^10 steps would run into the time limit of the test.
    text = (piece * 200_000)[:200_000]
    list(find_problems(RowView(chat(text, text))))
