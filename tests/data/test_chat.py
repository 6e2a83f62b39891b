"""Tokens and labels, against transformers and against answers worked out by hand."""

from __future__ import annotations

import random
from datetime import datetime

import pytest
from transformers import PreTrainedTokenizerFast

from ftlab.data.chat import IGNORED, plain_text, tokenise
from ftlab.data.conversations import end_of_turn
from ftlab.data.template import CannotRender, render
from ftlab.data.tokens import load_tokenizer
from tests.small import TEMPLATES, save_tokenizer, with_bos

ALL_TEMPLATES = sorted(path.stem for path in TEMPLATES.glob("*.jinja"))
NOW = datetime(2026, 3, 14, 15, 9)
WORDS = ["hello", " world\n", "12", "  ", "🦜", "naïve", "{% x %}", "</tool>", "日本", "a&b<c>"]


def user(text):
    return {"role": "user", "content": text}


def assistant(text, **extra):
    return {"role": "assistant", "content": text, **extra}


def chats(seed, n):
    """Random conversations, some of which strict templates refuse."""
    draw = random.Random(seed)

    def text():
        return "".join(draw.choices(WORDS, k=draw.randint(1, 5)))

    for _ in range(n):
        messages = [{"role": "system", "content": text()}] if draw.random() < 0.4 else []
        for _ in range(draw.randint(1, 3)):
            messages += [user(text()), assistant(text())]
        if draw.random() < 0.1:
            messages.append(assistant(text()))
        if draw.random() < 0.3:
            messages[-1]["reasoning_content"] = text()
        yield messages


def trained_text(tokens, tokenizer):
    """What the model learns to write, from the labels alone."""
    return tokenizer.decode([label for label in tokens.labels if label != IGNORED])


@pytest.fixture(params=ALL_TEMPLATES)
def template(request):
    return request.param


def test_rendered_text_equals_transformers(template, tmp_path, monkeypatch):
    folder = save_tokenizer(tmp_path, template)
    ours = load_tokenizer(folder)
    theirs = PreTrainedTokenizerFast.from_pretrained(folder)
    clock = "transformers.utils.chat_template_utils.datetime"
    monkeypatch.setattr(clock, type("Clock", (), {"now": staticmethod(lambda: NOW)}))
    rendered = refused = 0
    for messages in chats(seed=template, n=150):
        for prompt in (False, True):
            try:
                expected = theirs.apply_chat_template(
                    messages, tokenize=False, add_generation_prompt=prompt
                )
            except Exception:
                expected = None
            try:
                text = render(
                    ours.templates["default"],
                    messages,
                    special=ours.special,
                    now=NOW,
                    add_generation_prompt=prompt,
                )
            except CannotRender:
                text = None
            assert text == expected
            rendered += text is not None
            refused += text is None
    assert rendered > 50
    assert refused > 0 or template not in ("inst_strict", "turn_tagged", "no_system")


def test_tools_and_documents_render_as_in_transformers(tmp_path):
    folder = save_tokenizer(tmp_path, "tools_macro")
    theirs = PreTrainedTokenizerFast.from_pretrained(folder)
    tools = [{"type": "function", "function": {"name": "find", "parameters": {"é": [1, None]}}}]
    call = {"type": "function", "function": {"name": "find", "arguments": {"city": "Zürich"}}}
    messages = [
        {"role": "system", "content": "Use <tools> & think."},
        user("Where?"),
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "content": "Here", "tool_call_id": "1"},
        assistant("There"),
    ]
    tokenizer = load_tokenizer(folder)
    expected = theirs.apply_chat_template(messages, tools=tools, tokenize=False)
    (tokens,) = tokenise({"messages": messages, "tools": tools}, tokenizer)
    assert tokens.text == expected
    assert tokens.ids == theirs(expected, add_special_tokens=False)["input_ids"]
    assert trained_text(tokens, tokenizer) == (
        '\n<tool_call>\n{"name": "find", "arguments": {"city": "Zürich"}}\n</tool_call><|im_end|>'
        "There<|im_end|>"
    )


def test_ids_and_mask_equal_transformers_where_the_template_has_tags(tmp_path):
    folder = save_tokenizer(tmp_path, "generation_tags")
    ours, theirs = load_tokenizer(folder), PreTrainedTokenizerFast.from_pretrained(folder)
    for messages in chats(seed=1, n=200):
        (tokens,) = tokenise({"messages": messages}, ours)
        expected = theirs.apply_chat_template(
            messages, return_dict=True, return_assistant_tokens_mask=True
        )
        assert tokens.ids == expected["input_ids"]
        mask = [int(label != IGNORED) for label in tokens.labels]
        assert mask == expected["assistant_masks"]


# What each template trains for [user "Hi there", assistant "Good day"], read off the template.
EXPECTED = {
    "chatml": "Good day<|im_end|>",
    "chatml_default_system": "Good day<|im_end|>",
    "header_id": "Good day<|eot|>",
    "inst_strict": "Good day</s>",
    "inst_spaced": "Good day </s>",
    "turn_tagged": "Good day<end_of_turn>",
    "no_system": "Good day<|end|>",
    "tools_macro": "Good day<|im_end|>",
    "generation_tags": "Good day<|im_end|>",
    "generation_in_set": "Good day<|im_end|>",
    "thinking": "Good day<|im_end|>",
    "bare_words": "Good day",
    "documents": "Good day</s>",
}


def test_every_answer_trains_with_the_token_that_closes_it(template, tmp_path):
    tokenizer = load_tokenizer(save_tokenizer(tmp_path, template))
    messages = [user("Hi there"), assistant("Good day"), user("Bye"), assistant("Good day")]
    (tokens,) = tokenise({"messages": messages}, tokenizer, now=NOW)
    assert trained_text(tokens, tokenizer).strip() == EXPECTED[template] * 2


@pytest.mark.parametrize("answer", ["good day\n", " good day", "\n\ngood day \n", "good day  "])
def test_white_space_around_an_answer_keeps_what_closes_it(template, answer, tmp_path):
    tokenizer = load_tokenizer(save_tokenizer(tmp_path, template))
    (plain,) = tokenise({"messages": [user("hello"), assistant("good day")]}, tokenizer, now=NOW)
    (tokens,) = tokenise({"messages": [user("hello"), assistant(answer)]}, tokenizer, now=NOW)
    trained, bare = trained_text(tokens, tokenizer), trained_text(plain, tokenizer)
    if len(tokens.text) - len(plain.text) == len(answer) - len("good day"):  # it stays as it is
        # A token may reach back into a blank that the template writes.
        assert trained.lstrip(" ") == bare.replace("good day", answer).lstrip(" ")
    elif tokens.text == plain.text:
        assert trained == bare
    else:  # some of it goes
        assert trained.split() == bare.split()


def test_a_message_with_weight_0_does_not_train(template, tmp_path):
    tokenizer = load_tokenizer(save_tokenizer(tmp_path, template))
    messages = [user("a"), assistant("Never this", weight=0), user("b"), assistant("Good day")]
    (tokens,) = tokenise({"messages": messages}, tokenizer, now=NOW)
    assert trained_text(tokens, tokenizer).strip() == EXPECTED[template]


def test_all_inputs_train_when_asked(tmp_path):
    tokenizer = load_tokenizer(save_tokenizer(tmp_path, "chatml"))
    (tokens,) = tokenise({"messages": [user("a"), assistant("b")]}, tokenizer, train_on_inputs=True)
    assert tokens.labels == tokens.ids


def test_reasoning_trains_where_the_template_shows_it(tmp_path):
    tokenizer = load_tokenizer(save_tokenizer(tmp_path, "thinking"))
    messages = [
        user("a"),
        assistant("<think>\nfirst thought\n</think>\n\nfirst"),
        user("b"),
        assistant("second", reasoning_content="second thought"),
    ]
    (tokens,) = tokenise({"messages": messages}, tokenizer)
    assert "first thought" not in tokens.text  # rewritten, because a user's turn follows
    assert trained_text(tokens, tokenizer) == (
        "first<|im_end|><think>\nsecond thought\n</think>\n\nsecond<|im_end|>"
    )


def test_a_tag_inside_set_is_still_found(tmp_path):
    """Counting the characters written so far, as transformers does, marks the wrong text here."""
    folder = save_tokenizer(tmp_path, "generation_in_set")
    messages = [user("a question"), assistant("the answer")]
    tokenizer = load_tokenizer(folder)
    (tokens,) = tokenise({"messages": messages}, tokenizer)
    assert trained_text(tokens, tokenizer) == "the answer<|im_end|>"


def test_an_emoji_at_the_end_trains_whole(tmp_path):
    """transformers' mask loses the last bytes of such a block."""
    tokenizer = load_tokenizer(save_tokenizer(tmp_path, "chatml"))
    (tokens,) = tokenise({"messages": [user("a"), assistant("ok 🦜")]}, tokenizer)
    assert trained_text(tokens, tokenizer) == "ok 🦜<|im_end|>"


def test_prompt_and_completion(tmp_path):
    tokenizer = load_tokenizer(save_tokenizer(tmp_path, backend=with_bos()))
    (tokens,) = tokenise({"prompt": "Where is it?", "completion": " On its way"}, tokenizer)
    assert tokenizer.decode(tokens.ids) == "<s>Where is it? On its way</s>"
    assert trained_text(tokens, tokenizer) == " On its way</s>"


def test_plain_text_of_a_chat_is_what_its_messages_say():
    parts = [{"type": "text", "text": "Where "}, {"type": "text", "text": "is it?"}]
    messages = [{"role": "system"}, {"content": None}, {"content": parts}, {"content": "Here."}]
    assert plain_text(messages) == "Where is it?\nHere."


def test_plain_text_trains_whole_and_ends(tmp_path):
    tokenizer = load_tokenizer(save_tokenizer(tmp_path))
    (tokens,) = tokenise({"text": "Hello, dog"}, tokenizer)
    assert tokenizer.decode(tokens.ids) == "Hello, dog</s>"
    assert tokens.labels == tokens.ids


def test_plain_rows_need_an_end_token(tmp_path):
    tokenizer = load_tokenizer(save_tokenizer(tmp_path, special={}))
    with pytest.raises(CannotRender, match="eos_token"):
        tokenise({"text": "Hello"}, tokenizer)


def test_a_preference_row_is_two_sequences_that_train_only_the_output(tmp_path):
    tokenizer = load_tokenizer(save_tokenizer(tmp_path, "chatml"))
    row = {
        "input": {"messages": [user("a"), assistant("earlier"), user("b")]},
        "preferred_output": [assistant("better")],
        "non_preferred_output": [assistant("worse")],
    }
    chosen, rejected = tokenise(row, tokenizer)
    assert trained_text(chosen, tokenizer) == "better<|im_end|>"
    assert trained_text(rejected, tokenizer) == "worse<|im_end|>"


def test_a_sample_weight_travels_with_the_tokens(tmp_path):
    tokenizer = load_tokenizer(save_tokenizer(tmp_path))
    assert tokenise({"text": "a", "weight": 0.5}, tokenizer)[0].weight == 0.5


def test_a_model_without_template_says_so(tmp_path):
    tokenizer = load_tokenizer(save_tokenizer(tmp_path))
    with pytest.raises(CannotRender, match="no chat template"):
        tokenise({"messages": [user("a"), assistant("b")]}, tokenizer)


def test_half_a_surrogate_pair_is_named(tmp_path):
    tokenizer = load_tokenizer(save_tokenizer(tmp_path))
    with pytest.raises(CannotRender, match="surrogate"):
        tokenise({"text": "bad \ud83d"}, tokenizer)


def test_text_of_the_private_planes_survives(tmp_path):
    tokenizer = load_tokenizer(save_tokenizer(tmp_path, "chatml"))
    answer = "mark \U000f0003 and \U000f0002"
    (tokens,) = tokenise({"messages": [user("\U000f0001"), assistant(answer)]}, tokenizer)
    assert trained_text(tokens, tokenizer) == answer + "<|im_end|>"


def test_tokens_of_each_role_add_up(template, tmp_path):
    tokenizer = load_tokenizer(save_tokenizer(tmp_path, template))
    (tokens,) = tokenise({"messages": [user("Hi there"), assistant("Good day")]}, tokenizer)
    counts = tokens.by_role()
    assert sum(counts.values()) == len(tokens.ids)
    assert counts["user"] >= 1
    assert counts["assistant"] == sum(label != IGNORED for label in tokens.labels)


def test_cutting_keeps_the_start(tmp_path):
    tokenizer = load_tokenizer(save_tokenizer(tmp_path))
    (tokens,) = tokenise({"text": "one two three four five"}, tokenizer)
    cut = tokens.cut(4)
    assert (cut.ids, cut.labels) == (tokens.ids[:4], tokens.labels[:4])
    assert cut.n_trained == 3
    assert tokens.cut(None) is tokens


def test_a_stored_truncation_is_not_obeyed(tmp_path):
    backend = with_bos()
    backend.enable_truncation(4)
    try:
        tokenizer = load_tokenizer(save_tokenizer(tmp_path, backend=backend))
    finally:
        backend.no_truncation()
    assert len(tokenizer.encode("a b c d e f g h")[0]) > 4


def test_closing_token_is_read_off_the_template(tmp_path):
    tokenizer = load_tokenizer(save_tokenizer(tmp_path, "inst_spaced"))
    assert end_of_turn(tokenizer.templates["default"], tokenizer) == " </s>"
