"""Counts of many sequences at once, against the tokens of each by itself."""

from __future__ import annotations

import random
from collections import Counter
from datetime import datetime

import numpy as np
import pytest
from tokenizers import (
    AddedToken,
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
    trainers,
)

from ftlab.data import counts
from ftlab.data.chat import IGNORED, lay_out, tokenise
from ftlab.data.counts import TokenCounter
from ftlab.data.template import CannotRender
from ftlab.data.tokens import load_tokenizer
from tests.small import ADDED, TEXT, byte_level, save_tokenizer, with_bos

NOW = datetime(2026, 3, 14, 15, 9)
TEMPLATES = ["chatml", "generation_tags", "inst_spaced", "inst_strict", "bare_words", "turn_tagged"]
LIMITS = [None, 1, 2, 7, 20, 1_000]
WORDS = [
    "hello",
    " order 4417",
    "\n",
    "  ",
    "🦜",
    "naïve",
    "</s>",
    "<|im_end|>",
    "日本",
    "'s",
    "\t",
    " ",
]


def changed(change):
    """The byte-level tokenizer with something else about it."""
    tokenizer = Tokenizer.from_str(byte_level().to_str())
    change(tokenizer)
    return tokenizer


def trained(tokenizer, trainer):
    tokenizer.train_from_iterator([*TEXT, "naïve hello 日本 's"], trainer)
    tokenizer.add_special_tokens([AddedToken(t, special=True, normalized=False) for t in ADDED])
    return tokenizer


def metaspace(scheme="first"):
    """As T5's: a space is a letter of its own, unknown letters are <unk>."""
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=True))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme=scheme)
    tokenizer.decoder = decoders.Metaspace(prepend_scheme=scheme)
    return trained(
        tokenizer,
        trainers.BpeTrainer(vocab_size=300, show_progress=False, special_tokens=["<unk>"]),
    )


def word_piece():
    """As BERT's: in small letters, white space gone."""
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    return trained(
        tokenizer,
        trainers.WordPieceTrainer(vocab_size=200, show_progress=False, special_tokens=["[UNK]"]),
    )


def trimming(**settings):
    def change(tokenizer):
        tokenizer.post_processor = processors.ByteLevel(trim_offsets=True, **settings)

    return change


def trimming_with_bos(tokenizer):
    """As Llama 3's."""
    bos = with_bos().post_processor
    trim = processors.ByteLevel(trim_offsets=True)
    tokenizer.post_processor = processors.Sequence([trim, bos])


def with_prefix_space(tokenizer):
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)


def composing(tokenizer):
    tokenizer.normalizer = normalizers.NFC()


def stripping(tokenizer):
    tokens = [AddedToken("<|im_end|>", special=True, normalized=False, lstrip=True, rstrip=True)]
    tokenizer.add_special_tokens(tokens)


def without_some_bytes(tokenizer):
    """No token for the bytes of other scripts: they vanish."""
    model = models.BPE()
    tokenizer.model = model
    alphabet = [c for c in pre_tokenizers.ByteLevel.alphabet() if ord(c) < 0x7F]
    trainer = trainers.BpeTrainer(
        vocab_size=200,
        show_progress=False,
        initial_alphabet=alphabet,
        special_tokens=[AddedToken(t, special=True, normalized=False) for t in ADDED],
    )
    tokenizer.train_from_iterator(TEXT, trainer)


TOKENIZERS = {
    "byte-level": byte_level,
    "with BOS": with_bos,
    "trimming": lambda: changed(trimming()),
    "trimming without prefix": lambda: changed(trimming(add_prefix_space=False)),
    "trimming with BOS": lambda: changed(trimming_with_bos),
    "with a prefix space": lambda: changed(with_prefix_space),
    "composing": lambda: changed(composing),
    "stripping": lambda: changed(stripping),
    "without some bytes": lambda: changed(without_some_bytes),
    "metaspace": metaspace,
    "metaspace always": lambda: metaspace("always"),
    "metaspace never": lambda: metaspace("never"),
    "word piece": word_piece,
}


def text(draw):
    return "".join(draw.choices(WORDS, k=draw.randint(1, 6)))


def rows(seed, n):
    """Rows of all formats; weights and reasoning occur."""
    draw = random.Random(seed)
    for _ in range(n):
        kind = draw.random()
        if kind < 0.15:
            yield {"prompt": draw.choice(["", text(draw)]), "completion": text(draw)}
        elif kind < 0.3:
            yield {"text": text(draw)}
        else:
            messages = []
            for _ in range(draw.randint(1, 3)):
                messages.append({"role": "user", "content": text(draw)})
                messages.append({"role": "assistant", "content": text(draw)})
                if draw.random() < 0.2:
                    messages[-1]["weight"] = 0
            if kind < 0.45:
                outputs = [[{"role": "assistant", "content": text(draw)}] for _ in range(2)]
                yield {
                    "input": {"messages": messages[:-1]},
                    "preferred_output": outputs[0],
                    "non_preferred_output": outputs[1],
                }
            else:
                yield {"messages": messages}


def runs(flags):
    """(from, to) of what trains."""
    padded = [False, *flags, False]
    edges = [i for i in range(len(flags) + 1) if padded[i] != padded[i + 1]]
    return list(zip(edges[::2], edges[1::2], strict=True))


def merged(spans):
    """Runs that touch each other as one."""
    found = []
    for start, end in sorted(spans):
        if found and found[-1][1] >= start:
            found[-1] = (found[-1][0], max(end, found[-1][1]))
        else:
            found.append((start, end))
    return found


def compare(counter, limit, layouts, tokens):
    """The counts of a batch against the tokens of its sequences."""
    found = counter.count(layouts)
    roles = Counter()
    spans = Counter()
    for place, one in enumerate(tokens):
        flags = [False, *(label != IGNORED for label in one.labels[1:])]
        where = [i for i, flag in enumerate(flags) if flag]
        assert found.n_tokens[place] == len(one.ids)
        assert found.n_trained[place] == one.n_trained
        assert found.n_kept[place] == one.cut(limit).n_trained
        assert found.first[place] == (where[0] if where else len(one.ids))
        assert found.last[place] == (where[-1] + 1 if where else 0)
        roles.update(one.by_role())
        for start, end in runs(flags):
            spans.update(range(start, end))
    assert found.by_role == dict(roles)
    covered = Counter(i for start, end in found.spans.T.tolist() for i in range(start, end))
    assert covered == spans


def both(tokenizer, made, train_on_inputs):
    layouts, tokens = [], []
    for row in made:
        try:
            tokens += tokenise(row, tokenizer, train_on_inputs, now=NOW)
        except CannotRender:
            continue
        layouts += lay_out(row, tokenizer, train_on_inputs, now=NOW)
    assert len(layouts) == len(tokens)
    return layouts, tokens


def in_batches(seed, layouts, tokens):
    draw, start = random.Random(seed), 0
    while start < len(layouts):
        end = start + draw.randint(1, 40)
        yield layouts[start:end], tokens[start:end]
        start = end


@pytest.mark.parametrize("train_on_inputs", ["auto", True])
@pytest.mark.parametrize("template", TEMPLATES)
@pytest.mark.parametrize("name", TOKENIZERS)
def test_counts_are_those_of_the_tokens(name, template, train_on_inputs, tmp_path):
    backend = TOKENIZERS[name]()
    tokenizer = load_tokenizer(save_tokenizer(tmp_path, template, backend=backend))
    layouts, tokens = both(tokenizer, rows(3, 60), train_on_inputs)
    assert len(layouts) > 30
    for limit in LIMITS:
        counter = TokenCounter(tokenizer, limit)
        for some in in_batches(limit, layouts, tokens):
            compare(counter, limit, *some)


@pytest.mark.parametrize("name", ["byte-level", "with BOS", "trimming with BOS"])
def test_the_common_tokenizers_are_counted_by_bytes(name, tmp_path):
    """And so fast; or the test above would look at the slow way only."""
    tokenizer = load_tokenizer(save_tokenizer(tmp_path, "chatml", backend=TOKENIZERS[name]()))
    layouts, _ = both(tokenizer, rows(3, 60), "auto")
    counter = TokenCounter(tokenizer, None)
    counter.count(layouts)
    assert counter._widths is not None


@pytest.mark.parametrize("name", ["trimming", "trimming with BOS"])
def test_places_of_tokens_leave_no_gaps(name, tmp_path):
    tokenizer = load_tokenizer(save_tokenizer(tmp_path, backend=TOKENIZERS[name]()))
    _, offsets = tokenizer.encode("the  day \n is long")
    assert [start for start, _ in offsets[1:]] == [end for _, end in offsets[:-1]]
    assert tokenizer.prefix == ((tokenizer.backend.token_to_id("<s>"),) if "BOS" in name else ())


@pytest.mark.parametrize("name", ["metaspace", "word piece", "with a prefix space", "stripping"])
def test_the_others_are_counted_by_offsets(name, tmp_path):
    tokenizer = load_tokenizer(save_tokenizer(tmp_path, "chatml", backend=TOKENIZERS[name]()))
    layouts, _ = both(tokenizer, rows(3, 60), "auto")
    counter = TokenCounter(tokenizer, None)
    counter.count(layouts)
    assert counter._widths is None
    assert counter.name == "tokenizers"


@pytest.mark.parametrize("name", ["byte-level", "with BOS", "trimming"])
def test_gigatoken_counts_the_same(name, tmp_path):
    pytest.importorskip("gigatoken")
    tokenizer = load_tokenizer(save_tokenizer(tmp_path, "chatml", backend=TOKENIZERS[name]()))
    layouts, tokens = both(tokenizer, rows(4, 400), "auto")
    counter = TokenCounter(tokenizer, 20)
    assert counter.name == "gigatoken"
    for some in in_batches(4, layouts, tokens):
        compare(counter, 20, *some)
    assert counter.name == "gigatoken"


def test_without_gigatoken_the_counts_are_the_same(tmp_path, monkeypatch):
    monkeypatch.setattr(counts, "_fast_tokenizer", lambda _: None)
    tokenizer = load_tokenizer(save_tokenizer(tmp_path, "chatml"))
    counter = TokenCounter(tokenizer, 20)
    assert counter.name == "tokenizers"
    compare(counter, 20, *both(tokenizer, rows(4, 200), "auto"))


def test_a_fast_tokenizer_that_differs_is_left(tmp_path, monkeypatch):
    """One that is right for plain words and wrong for others."""
    folder = save_tokenizer(tmp_path, "chatml")
    tokenizer = load_tokenizer(folder)

    def wrong(_, texts):
        right = counts._plain_ids(tokenizer.backend, texts)
        differs = any("🦜" in text for text in texts)
        return right._replace(ids=right.ids[::-1].copy()) if differs else right

    monkeypatch.setattr(counts, "_fast_tokenizer", lambda _: "fast")
    monkeypatch.setattr(counts, "_gigatoken_ids", wrong)
    counter = TokenCounter(tokenizer, 20)
    plain = both(tokenizer, [{"text": "hello"}], "auto")
    compare(counter, 20, *plain)
    assert counter.name == "gigatoken"
    compare(counter, 20, *both(tokenizer, rows(4, 100), "auto"))
    assert counter.name == "tokenizers"


def test_bytes_that_only_add_up_over_all_texts(tmp_path):
    """One text gains a byte where another loses one."""
    words = [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.ByteLevel(add_prefix_space=True)]

    def splitting(tokenizer):
        tokenizer.pre_tokenizer = pre_tokenizers.Sequence(words)

    tokenizer = load_tokenizer(save_tokenizer(tmp_path, "chatml", backend=changed(splitting)))
    made = [{"prompt": "one two ", "completion": "three four"}]
    made += [{"prompt": "one   two", "completion": " three"}]
    for some in (made, made[::-1], [*made, *made]):
        compare(TokenCounter(tokenizer, 20), 20, *both(tokenizer, some, "auto"))


def test_tokens_of_texts_together(tmp_path):
    texts = ["hello", "", "日本 🦜", "order 4417"]
    for name in ("byte-level", "word piece"):
        folder = save_tokenizer(tmp_path / name, "chatml", backend=TOKENIZERS[name]())
        tokenizer = load_tokenizer(folder)
        counter = TokenCounter(tokenizer, None)
        assert counter.n_tokens(texts) == sum(len(tokenizer.encode(t)[0]) for t in texts)
        assert counter.n_tokens([]) == 0


def test_no_sequences_and_empty_ones(tmp_path):
    tokenizer = load_tokenizer(save_tokenizer(tmp_path, "chatml"))
    assert TokenCounter(tokenizer, None).count([]).n_tokens.tolist() == []
    (layout,) = lay_out({"text": "a"}, tokenizer)
    empty = layout._replace(text="", turns=[], trained=[], whole=False, tail=())
    found = TokenCounter(tokenizer, None).count([empty, empty])
    assert found.n_tokens.tolist() == [0, 0]
    assert found.n_trained.tolist() == [0, 0]
    assert not np.any(found.spans)
