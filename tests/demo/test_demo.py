"""The demo's files: made again from the seed, kept apart, and usable as they are."""

import json
import re
import subprocess
import sys
from itertools import islice

import pytest

from ftlab import demo
from ftlab.demo.chatter import chats
from ftlab.demo.make import encode, train_tokenizer, write_data
from ftlab.demo.words import HELD_OUT_POOL, NEW_PATTERNS_POOL

DATA = [demo.TRAIN, demo.HELD_OUT, demo.NEW_PATTERNS, demo.PREFERENCES]
UNSEEN = [demo.HELD_OUT, demo.NEW_PATTERNS]
WEEKDAYS = {"Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"}
TOOL = {"type": "function", "function": {"name": "find", "parameters": {"type": "object"}}}

unseen = pytest.mark.parametrize("path", UNSEEN, ids=lambda path: path.stem)


def rows(path):
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def messages(path):
    return [row["messages"][0]["content"] for row in rows(path)]


def answers(path):
    return [json.loads(row["messages"][1]["content"]) for row in rows(path)]


def sentences(text):
    """Split at marks and line breaks; without case, spacing and the marks themselves."""
    parts = re.split(r"[.!?\n]+(?:\s+|$)", text)
    return {" ".join(part.casefold().split()) for part in parts} - {""}


def all_sentences(path):
    return set().union(*map(sentences, messages(path)))


def numbers(path):
    return set(re.findall(r"\d+", path.read_text(encoding="utf-8")))


def proper_names(path):
    """Values of name and city, and each capitalised word that does not begin a sentence."""
    fields = [answer["fields"] for answer in answers(path)]
    named = {values[key] for values in fields for key in ("name", "city") if key in values}
    inside = {word for text in messages(path) for word in re.findall(r"(?<=[a-z,] )[A-Z]\w+", text)}
    return (named | inside) - WEEKDAYS


def patterns(path):
    """Sentences with each value replaced by the name of its field."""
    found = set()
    for row in rows(path):
        message, answer = (turn["content"] for turn in row["messages"])
        for field, value in json.loads(answer)["fields"].items():
            message = re.sub(rf"\b{value}\b", field, message)
        found |= sentences(message)
    return found


@pytest.fixture(scope="module")
def tokenizer():
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(demo.MODEL)


# The same seed gives the same files


def test_the_data_files_come_out_of_the_seed(tmp_path):
    write_data(tmp_path, seed=0)
    assert [(tmp_path / path.name).read_bytes() for path in DATA] == [p.read_bytes() for p in DATA]


def test_another_seed_gives_other_data(tmp_path):
    write_data(tmp_path, seed=1)
    assert (tmp_path / demo.TRAIN.name).read_bytes() != demo.TRAIN.read_bytes()


def test_the_tokenizer_comes_out_of_the_seed(tmp_path):
    train_tokenizer(seed=0).save(str(tmp_path / "tokenizer.json"))
    made = (tmp_path / "tokenizer.json").read_bytes()
    assert made == (demo.MODEL / "tokenizer.json").read_bytes()


@pytest.mark.slow
def test_the_command_repeats_every_byte_and_differs_from_the_shipped_model_only_in_weights(
    tmp_path,
):
    runs = [tmp_path / "first", tmp_path / "second"]
    for run in runs:
        command = [sys.executable, "-m", "ftlab.demo.make", "--out", run, "--steps", "2"]
        subprocess.run(command, check=True, capture_output=True)
    first, second = (
        {path.relative_to(run): path.read_bytes() for path in run.rglob("*") if path.is_file()}
        for run in runs
    )
    assert first == second
    shipped = {path: (demo.MODEL.parent / path).read_bytes() for path in first}
    assert [path.name for path in first if first[path] != shipped[path]] == ["model.safetensors"]


# What training must not have seen


@unseen
def test_no_sentence_is_shared_with_the_training_rows(path):
    assert all_sentences(path).isdisjoint(all_sentences(demo.TRAIN))


@unseen
def test_no_number_is_shared_with_the_training_rows(path):
    assert numbers(path).isdisjoint(numbers(demo.TRAIN))


@unseen
def test_no_proper_name_is_shared_with_the_training_rows(path):
    assert len(proper_names(path)) > 20
    assert proper_names(path).isdisjoint(proper_names(demo.TRAIN))


def test_no_pattern_of_the_new_rows_is_one_of_the_training_rows():
    assert patterns(demo.NEW_PATTERNS).isdisjoint(patterns(demo.TRAIN))


def test_the_base_has_seen_neither_the_schema_nor_the_unseen_names_and_numbers():
    seen = " ".join(turn["content"] for chat in islice(chats(0), 10_000) for turn in chat)
    assert not re.search(r'"(intent|urgency|fields)":', seen)
    pools = [*HELD_OUT_POOL.names, *NEW_PATTERNS_POOL.names]
    pools += [*HELD_OUT_POOL.cities, *NEW_PATTERNS_POOL.cities]
    assert set(pools).isdisjoint(re.findall(r"\w+", seen))
    assert set(re.findall(r"\d+", seen)).isdisjoint(
        numbers(demo.HELD_OUT) | numbers(demo.NEW_PATTERNS)
    )


# What the rows say


@pytest.mark.parametrize(
    ("path", "count"),
    [(demo.TRAIN, 1200), (demo.HELD_OUT, 200), (demo.NEW_PATTERNS, 100), (demo.PREFERENCES, 300)],
    ids=["train", "held_out", "new_patterns", "preferences"],
)
def test_each_file_has_its_rows_and_no_row_twice(path, count):
    lines = path.read_text(encoding="utf-8").splitlines()
    assert len(lines) == len(set(lines)) == count


@pytest.mark.parametrize("path", DATA[:3], ids=lambda path: path.stem)
def test_answers_are_compact_json_and_their_values_stand_in_the_message(path):
    for row in rows(path):
        message, answer = (turn["content"] for turn in row["messages"])
        parsed = json.loads(answer)
        assert json.dumps(parsed, separators=(",", ":"), ensure_ascii=False) == answer
        assert list(parsed) == ["intent", "urgency", "fields"]
        assert all(str(value) in message for value in parsed["fields"].values())


def test_training_has_every_intent_with_every_urgency():
    pairs = {(answer["intent"], answer["urgency"]) for answer in answers(demo.TRAIN)}
    assert len(pairs) == 8 * 3


def test_the_preferred_answer_repeats_the_order_number_and_the_other_does_not():
    for row in rows(demo.PREFERENCES):
        assert list(row) == ["input", "preferred_output", "non_preferred_output"]
        (order,) = re.findall(r"\d{4,5}", row["input"]["messages"][0]["content"])
        assert order in row["preferred_output"][0]["content"]
        assert order not in row["non_preferred_output"][0]["content"]


# The model folder


def test_the_weights_are_small():
    assert (demo.MODEL / "model.safetensors").stat().st_size <= 4_000_000


def test_the_model_loads_and_answers_a_customer_in_prose(tokenizer):
    import torch
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(demo.MODEL, dtype=torch.float32)
    chat = rows(demo.HELD_OUT)[0]["messages"][:1]
    prompt = tokenizer.apply_chat_template(
        chat, add_generation_prompt=True, return_dict=True, return_tensors="pt"
    )
    generated = model.generate(**prompt, max_new_tokens=60, do_sample=False)[0].tolist()
    answer = generated[prompt["input_ids"].shape[1] :]
    assert answer[-1] == tokenizer.eos_token_id == model.config.eos_token_id
    assert re.match(r"[A-Z][a-z]+ [^{]+\.$", tokenizer.decode(answer[:-1]))


def test_special_tokens(tokenizer):
    assert (tokenizer.eos_token, tokenizer.pad_token) == ("<|im_end|>", "<|endoftext|>")
    assert tokenizer.bos_token is None
    assert len(tokenizer) == 1024


@pytest.mark.parametrize(
    "text", ["007 8.15", "order 48213", "\n\n a", "٣४", "ﬁn\u0301", "🦜\U0010ffff\0"]
)
def test_any_text_survives_the_tokenizer(tokenizer, text):
    assert tokenizer.decode(tokenizer.encode(text)) == text


def test_every_unicode_character_survives_the_tokenizer(tokenizer):
    codes = [code for code in range(0x110000) if not 0xD800 <= code < 0xE000]
    text = "".join(map(chr, codes[::7]))
    assert tokenizer.decode(tokenizer.encode(text)) == text


def test_each_digit_is_a_token(tokenizer):
    assert tokenizer.tokenize("48213") == list("48213")


def part(text):
    return {"type": "text", "text": text}


CHATS = {
    "system and two turns": (
        [
            {"role": "system", "content": "Be kind."},
            {"role": "user", "content": "Hi"},
            {"role": "assistant", "content": "Hello 🦜"},
            {"role": "user", "content": "Bye"},
            {"role": "assistant", "content": " \n"},
        ],
        None,
        "<|im_start|>system\nBe kind.<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n"
        "<|im_start|>assistant\n[Hello 🦜<|im_end|>]\n<|im_start|>user\nBye<|im_end|>\n"
        "<|im_start|>assistant\n[ \n<|im_end|>]\n",
    ),
    "tool calls": (
        [
            {"role": "user", "content": "Find 7"},
            {
                "role": "assistant",
                "reasoning_content": "not shown",
                "tool_calls": [{"function": {"name": "find", "arguments": {"text": "<ö>"}}}] * 2,
            },
            {"role": "tool", "content": "found"},
            {"role": "assistant", "content": "Done."},
        ],
        [TOOL],
        "<|im_start|>system\nThese tools can be called, one JSON object per line:\n"
        + json.dumps(TOOL)
        + '\nTo call one, write a line "call:" with a JSON object of its name and arguments.'
        "<|im_end|>\n<|im_start|>user\nFind 7<|im_end|>\n<|im_start|>assistant\n"
        '[call: {"name": "find", "arguments": {"text": "<ö>"}}\n'
        'call: {"name": "find", "arguments": {"text": "<ö>"}}<|im_end|>]\n'
        "<|im_start|>tool\nfound<|im_end|>\n<|im_start|>assistant\n[Done.<|im_end|>]\n",
    ),
    "parts of content": (
        [
            {"role": "user", "content": [part("a"), part("b")]},
            {"role": "assistant", "content": [part("c")]},
        ],
        None,
        "<|im_start|>user\nab<|im_end|>\n<|im_start|>assistant\n[c<|im_end|>]\n",
    ),
}


@pytest.mark.parametrize("kind", CHATS)
def test_the_template_writes_the_chat_and_marks_the_answers(tokenizer, kind):
    """Expected texts have the trained part in square brackets."""
    chat, tools, expected = CHATS[kind]
    encoded = tokenizer.apply_chat_template(
        chat, tools=tools, return_dict=True, return_assistant_tokens_mask=True
    )
    text, was_trained = "", 0
    for token, trained in zip(encoded["input_ids"], encoded["assistant_masks"], strict=True):
        text += ("[" if trained else "]") if trained != was_trained else ""
        text += tokenizer.convert_ids_to_tokens(token)
        was_trained = trained
    assert readable(text, tokenizer) == expected
    assert expected.replace("[", "").replace("]", "") == tokenizer.apply_chat_template(
        chat, tools=tools, tokenize=False
    )


def test_pretraining_reads_chats_as_the_template_writes_them(tokenizer):
    from tokenizers import Tokenizer

    own = Tokenizer.from_file(str(demo.MODEL / "tokenizer.json"))
    for chat in islice(chats(0), 200):
        encoded = tokenizer.apply_chat_template(
            chat, return_dict=True, return_assistant_tokens_mask=True
        )
        assert encode(own, chat) == (encoded["input_ids"], encoded["assistant_masks"])


def readable(tokens, tokenizer):
    return tokenizer.backend_tokenizer.decoder.decode([tokens])


def test_system_message_and_tools_share_one_block(tokenizer):
    chat = [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "Hi"}]
    text = tokenizer.apply_chat_template(
        chat, tools=[TOOL], tokenize=False, add_generation_prompt=True
    )
    assert text.startswith("<|im_start|>system\nBe kind.\n\nThese tools")
    assert text.count("<|im_start|>system") == 1
    assert text.endswith("<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n")


def test_importing_the_paths_loads_nothing_else():
    code = "import sys, ftlab.demo; print({'torch', 'tokenizers', 'json'} & set(sys.modules))"
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == "set()"
