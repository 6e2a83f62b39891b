"""A judge at an OpenAI-compatible address, played by a small service that keeps count."""

from __future__ import annotations

import json
from collections import Counter

import httpx
import pytest

import ftlab
from ftlab.errors import FtlabError, ServiceError
from ftlab.scores.chat_service import TRIES
from ftlab.scores.judges import MUTE, verdict_in
from ftlab.scores.metrics import Seen

ADDRESS = "https://judge.example/v1"


class Service:
    """Prefers the longer answer, unless told otherwise; `before` are replies that come first."""

    def __init__(self, says=None, before=()):
        self.says, self.before = says, list(before)
        self.asked: list[httpx.Request] = []
        self.waited: list[float] = []

    def reply(self, request):
        self.asked.append(request)
        if self.before:
            first = self.before.pop(0)
            if isinstance(first, Exception):
                raise first
            return first
        question = json.loads(request.content)["messages"][1]["content"]
        a, b = (question.split(f"[answer {x}]\n")[1].split(f"\n[/answer {x}]")[0] for x in "AB")
        word = self.says(a, b) if self.says else ("A" if len(a) > len(b) else "B")
        message = {"role": "assistant", "content": word}
        usage = {"prompt_tokens": 100, "completion_tokens": 1}
        return httpx.Response(200, json={"choices": [{"message": message}], "usage": usage})

    def judge(self, **options):
        made = ftlab.judge(ADDRESS, "big", transport=httpx.MockTransport(self.reply), **options)
        made.service.sleep = self.waited.append
        return made

    def values(self, *pairs, **options):
        rows = [
            Seen(line=n, prompt="Q", reference="R", answer=tuned, base=Seen(answer=base))
            for n, (tuned, base) in enumerate(pairs, start=1)
        ]
        self.usage: dict[str, dict[str, int]] = {}
        return list(self.judge(**options).over(rows, self.usage))


def busy(status, **headers):
    return httpx.Response(status, headers=headers)


def test_the_better_answer_wins_in_both_orders():
    service = Service()
    assert service.values(("long answer", "short"), ("no", "longer"), ("same", "same ")) == [
        1,
        0,
        0.5,
    ]
    assert service.usage["judge big"] == {
        "requests": 4,
        "prompt_tokens": 400,
        "completion_tokens": 4,
    }


def test_a_judge_that_likes_the_first_place_decides_nothing():
    assert Service(says=lambda a, b: "A").values(("one", "two")) == [0.5]
    assert Service(says=lambda a, b: "TIE").values(("one", "two")) == [0.5]


def test_the_base_itself_and_rows_without_an_answer_are_not_asked_about():
    service = Service()
    rows = [Seen(answer="a"), Seen(base=Seen(answer="b")), Seen(answer="a", base=Seen())]
    assert list(service.judge().over(rows, {})) == [None, None, None]
    assert service.asked == []


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("A", 1.0),
        ("b.", 0.0),
        ("**TIE**", 0.5),
        ("The first is shorter.\n\n[[A]]", 1.0),
        ("I cannot help with that.", None),
        ("A or B", None),
        ("", None),
    ],
)
def test_a_reply_is_taken_by_its_word_alone(text, value):
    assert verdict_in(text) == value


def test_a_refusal_is_no_verdict_and_is_counted():
    service = Service(says=lambda a, b: "I'd rather not say.")
    assert service.values(("one", "two")) == [None]
    assert service.usage["judge big"]["rows_without_verdict"] == 1
    assert Service(before=[busy(400), busy(400)]).values(("one", "two")) == [None]


def test_a_model_that_takes_no_settings_is_asked_without():
    service = Service(before=[busy(400)])
    assert service.values(("long answer", "short")) == [1.0]
    told = [json.loads(request.content) for request in service.asked]
    assert ["max_tokens" in one for one in told] == [True, False, True]


@pytest.mark.parametrize(
    ("reply", "words"),
    [
        (httpx.Response(200, html="<p>Welcome</p>"), "Welcome"),
        (httpx.Response(200, json={"error": {"message": "no credit"}}), "no credit"),
        (httpx.Response(400, json={"error": {"message": "no such model"}}), "no such model"),
        (httpx.Response(200, json={"choices": [{"message": {"content": None}}]}), "content"),
    ],
)
def test_who_says_nothing_of_the_first_rows_is_told_and_nothing_is_kept(reply, words):
    service, values = Service(before=[reply] * 99), []
    rows = [Seen(answer="one", base=Seen(answer="two"))] * 40
    with pytest.raises(ServiceError, match=f"no verdict on the first {MUTE} rows.*{words}"):
        values.extend(service.judge().over(rows, {}))
    assert values == []


def test_who_is_silent_on_some_rows_only_goes_on():
    service = Service(says=lambda a, b: "?" if "odd" in a + b else "A")
    pairs = [("odd", "x")] * (MUTE - 1) + [("same", "same"), ("a", "b")] + [("odd", "x")] * MUTE
    assert service.values(*pairs) == [None] * (MUTE - 1) + [0.5, 0.5] + [None] * MUTE


def test_another_address_is_told_and_not_gone_to():
    moved = httpx.Response(301, headers={"location": "https://elsewhere.example"})
    with pytest.raises(ServiceError, match="answered 301"):
        Service(before=[moved]).values(("one", "two"))


def test_a_busy_service_is_asked_again_when_it_says():
    lost = httpx.ConnectError("gone")
    service = Service(before=[busy(429, **{"Retry-After": "7"}), busy(503), lost])
    assert service.values(("long answer", "short")) == [1.0]
    assert service.waited == [7.0, 2.0, 4.0]
    assert service.usage["judge big"]["requests"] == 5


def test_a_service_that_stays_busy_is_given_up():
    service = Service(before=[httpx.ReadTimeout("slow")] * TRIES)
    with pytest.raises(ServiceError, match=f"did not answer {TRIES} times in a row"):
        service.values(("one", "two"))
    assert len(service.asked) == TRIES


def test_whom_it_does_not_let_in_is_told_at_once(monkeypatch):
    monkeypatch.setenv("MY_KEY", "sk-secret")
    service = Service(before=[busy(401)] * 9)
    with pytest.raises(ServiceError, match="Check MY_KEY") as refused:
        service.values(("one", "two"), key="MY_KEY")
    assert "sk-secret" not in str(refused.value)
    assert service.asked[0].headers["authorization"] == "Bearer sk-secret"


def test_the_key_is_kept_nowhere(monkeypatch):
    monkeypatch.setenv("MY_KEY", "sk-secret")
    made = ftlab.judge(ADDRESS, "big", "MY_KEY")
    assert "sk-secret" not in repr(made) + repr(vars(made))
    shown = (f"https://u:sk-secret@{ADDRESS[8:]}", ""), (f"{ADDRESS}?api-key=sk-secret", "")
    for address, key in (*shown, (ADDRESS, "sk-secret")):
        with pytest.raises(FtlabError) as refused:
            ftlab.judge(address, "big", key)
        assert "sk-secret" not in str(refused.value)
    monkeypatch.delenv("MY_KEY")
    with pytest.raises(FtlabError, match="MY_KEY is not set"):
        list(made.over([Seen()], {}))


def test_other_instructions_are_another_metric():
    names = {Service().judge().name, Service().judge(instructions="Be kind.").name}
    assert Counter(name.split()[0] for name in names) == {"judge": 2}
