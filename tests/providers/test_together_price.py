"""Asking a service on the loopback for a price: uploads, checks, and what may go wrong."""

from __future__ import annotations

import hashlib
import json
import threading

import pytest

import ftlab
from ftlab.errors import FtlabError, InvalidSpec, ServiceError
from ftlab.job import Job
from ftlab.providers.together import files
from ftlab.providers.together.account import secret
from ftlab.providers.together.client import Client
from ftlab.providers.together.price import PriceQuestion
from ftlab.runs import Run
from ftlab.spec import JobSpec
from tests.fakes.together import BUSY, DROP, REPLY, Fault, Service
from tests.small import chat_rows, preference_rows, write_rows

MODEL = "Qwen/Qwen3-8B"
ESTIMATE = "/estimate-price"


@pytest.fixture
def service(monkeypatch):
    pause = Client.pause
    monkeypatch.setattr(Client, "pause", lambda client, _: pause(client, 0))
    with Service(key="k") as service:
        monkeypatch.setenv("TOGETHER_BASE_URL", f"{service.address}/v1")
        monkeypatch.setenv("TOGETHER_API_KEY", "k")
        yield service


@pytest.fixture
def job(tmp_path):
    return {
        "model": MODEL,
        "training_file": str(write_rows(tmp_path / "train.jsonl", chat_rows(40))),
        "n_epochs": 3,
    }


def test_the_service_says_its_price_by_the_uploaded_file(service, job, tmp_path):
    content = (tmp_path / "train.jsonl").read_bytes()
    tokens = 3 * (len(content) // 4)
    found = ftlab.ask_price(job)
    assert service.contents == {"file-0000": content}
    assert found.price.low == found.price.high == pytest.approx(tokens * 0.48 / 1e6)
    assert (found.train_tokens, found.eval_tokens) == (tokens, 0)
    assert (found.credit, found.allowed, found.issue()) == (25.0, True, None)
    assert found.files == {"training_file": "file-0000"}
    assert "service's own" in found.price.basis[0]
    assert service.bodies == []  # no job was started


def test_validation_rows_are_uploaded_and_counted(service, job, tmp_path):
    held_out = write_rows(tmp_path / "held.jsonl", chat_rows(8, 100))
    found = ftlab.ask_price({**job, "validation_file": str(held_out), "n_evals": 5})
    assert list(service.files) == ["file-0000", "file-0001"]
    assert found.eval_tokens == 5 * (held_out.stat().st_size // 4)


def test_what_is_announced_is_what_is_sent(service, job, tmp_path):
    ftlab.ask_price(job)
    (announced,), (sent,) = service.asked("POST", "/files"), service.asked("PUT")
    checksum = hashlib.sha256((tmp_path / "train.jsonl").read_bytes()).hexdigest()
    assert checksum.encode() in announced.body
    assert str(tmp_path).encode() not in announced.body  # the name alone
    assert "Authorization" not in sent.headers


def test_a_file_that_is_there_is_not_sent_again(service, job):
    first, second = ftlab.ask_price(job), ftlab.ask_price(job)
    assert first.files == second.files
    assert first.price == second.price
    assert len(service.asked("PUT")) == 1
    assert len(service.asked("POST", "/files")) == 2  # a 409 is an answer, and not repeated


def test_a_file_named_by_its_id_is_not_looked_for_here(service, job):
    uploaded = ftlab.ask_price(job).files["training_file"]
    found = ftlab.ask_price({**job, "training_file": uploaded})
    assert found.price.low > 0
    assert len(service.asked("PUT")) == 1


def test_an_id_that_the_account_has_not_is_told(service, job):
    with pytest.raises(ServiceError, match="404 when file-9 was looked up"):
        ftlab.ask_price({**job, "training_file": "file-9"})


def test_a_scan_of_the_file_as_it_is_spares_another(service, job, monkeypatch):
    report = ftlab.scan(job["training_file"], max_seq_length=128)
    monkeypatch.setattr("ftlab.providers.together.price.scan", None)
    assert ftlab.ask_price(job, report=report).price.low > 0


def test_progress_is_told_and_never_goes_back(service, job, tmp_path, monkeypatch):
    monkeypatch.setattr(files, "CHUNK", 1000)
    held_out = write_rows(tmp_path / "held.jsonl", chat_rows(30, 100))
    told = []
    values = {**job, "validation_file": str(held_out)}
    ftlab.ask_price(values, told=lambda share, what: told.append((share, what)))
    shares = [share for share, _ in told]
    assert shares == sorted(shares)
    assert (shares[0], shares[-1]) == (0.0, 1.0)
    assert len(set(shares)) > 5
    words = [what for _, what in told]
    for what in ("uploading train.jsonl", "uploading held.jsonl", "Together checks held.jsonl"):
        assert what in words
    assert words[-2:] == ["asking for the price", "answered"]
    assert shares[-2] < 1


# --- the service's own word on the model and the file ----------------------------------------


def test_the_services_limits_come_before_the_catalogues(service, job):
    lora = {**REPLY["lora_training"], "max_rank": 4}
    service.models = {MODEL: {**REPLY, "lora_training": lora}}
    with pytest.raises(InvalidSpec, match=r"lora_r is 8.*own limits") as caught:
        ftlab.ask_price({**job, "lora_r": 8})
    assert {issue.where for issue in caught.value.issues} == {"lora_r"}
    assert service.files == {}  # nothing was uploaded for it
    found = ftlab.ask_price({**job, "lora_r": 4})
    assert found.limits.max_lora_r == 4
    assert found.limits.max_batch_size == 32


def test_what_the_price_does_not_hang_on_is_told_beside_it(service, job):
    found = ftlab.ask_price({**job, "batch_size": 512, "use_dora": True})
    assert found.price.low > 0
    assert {issue.where for issue in found.issues} == {"batch_size", "use_dora"}


def test_a_model_that_the_service_does_not_have_is_told(service, job):
    service.models = {"another/model": REPLY}
    with pytest.raises(ServiceError, match=f"no model or job '{MODEL}'") as caught:
        ftlab.ask_price(job)
    assert caught.value.__cause__ is None
    assert service.files == {}
    with pytest.raises(ServiceError, match=r"such as .*-Instruct-Reference"):  # its name there
        ftlab.ask_price({**job, "model": "meta-llama/Llama-3.1-8B-Instruct"})


def test_a_refused_file_is_an_issue_with_its_line(service, job, tmp_path):
    rows = [*chat_rows(6), {"messages": [{"role": "user", "content": "a"}, {"content": "b"}]}]
    bad = write_rows(tmp_path / "bad.jsonl", rows)
    content = bad.read_bytes()
    with pytest.raises(InvalidSpec):  # the scan finds it before anything is sent
        ftlab.ask_price({**job, "training_file": str(bad)})
    assert service.requests == []
    file_id = service.add_file("bad.jsonl")
    service.take_content(file_id, content)
    service.preprocess(file_id)
    with pytest.raises(InvalidSpec) as caught:
        ftlab.ask_price({**job, "training_file": file_id})
    (issue,) = caught.value.issues
    assert issue.lines == (7,)
    assert (issue.where, issue.blocks) == ("training_file", ("together",))
    assert "`messages[1]` must contain a `role` field" in issue.message


def test_a_file_that_the_service_fails_on_is_told(service, job):
    service.file_status = "FAILED"
    with pytest.raises(InvalidSpec, match="its state is FAILED"):
        ftlab.ask_price(job)


def test_a_state_that_nobody_knows_is_waited_for(service, job):
    service.looks_before_a_file_is_ready = 7
    service.misbehave(
        "GET", "file-0000", Fault(status=200, body=b'{"processing_status": "Pondering"}')
    )
    assert ftlab.ask_price(job).price.low > 0


def test_a_file_that_is_never_checked_is_given_up(service, job):
    service.looks_before_a_file_is_ready = 10**9
    with pytest.raises(ServiceError, match="after 30 minutes; a price needs a checked file"):
        ftlab.ask_price(job)
    assert len(service.asked("GET", "file-0000")) > 400


def test_an_upload_that_broke_off_before_the_file_was_looked_into_goes_on(service, job):
    service.misbehave("POST", "/preprocess", Fault(status=400))
    with pytest.raises(ServiceError, match="400"):
        ftlab.ask_price(job)
    assert ftlab.ask_price(job).price.low > 0
    assert len(service.asked("PUT")) == 1
    assert len(service.asked("POST", "/preprocess")) == 2
    ftlab.ask_price(job)
    assert len(service.asked("POST", "/preprocess")) == 2  # it has looked into it by now


def test_what_the_price_is_for_is_told(service, job, tmp_path):
    report = ftlab.scan(job["training_file"])
    write_rows(tmp_path / "train.jsonl", chat_rows(60))
    found = ftlab.ask_price(job, report=report)
    now = hashlib.sha256((tmp_path / "train.jsonl").read_bytes()).hexdigest()
    assert found.checksums == {"training_file": now} != {"training_file": report.sha256}


def test_that_packing_is_off_is_said_not_to_be_in_the_price(service, job):
    found = ftlab.ask_price({**job, "packing": False})
    assert [issue.where for issue in found.issues] == ["packing"]
    assert "does not know that packing is off" in found.issues[0].message
    assert ftlab.ask_price({**job, "packing": True}).issues == ()


@pytest.mark.parametrize("name", ["adapter", "adapter/missing", "20260101-abc", "20260101-abc:5"])
def test_what_is_on_this_machine_is_nothing_to_go_on_from_there(
    service, job, tmp_path, monkeypatch, name
):
    monkeypatch.setenv("FTLAB_RUNS", str(tmp_path / "runs"))
    (tmp_path / "adapter").mkdir()
    spec = JobSpec(model="m")
    run = Run.create(Job(spec=spec, provider="local"), tmp_path / "runs")
    given = name.replace("20260101-abc", run.id)
    if "adapter" in name:
        given = str(tmp_path / name)
    with pytest.raises(InvalidSpec, match="which is on this machine") as caught:
        ftlab.ask_price({"training_file": job["training_file"], "from_checkpoint": given})
    (issue,) = caught.value.issues
    assert (issue.where, issue.blocks) == ("from_checkpoint", ("together",))
    assert service.requests == []


def test_a_job_of_the_service_is_something_to_go_on_from(service, job):
    values = {"training_file": job["training_file"], "from_checkpoint": "ft-1234:20"}
    assert ftlab.ask_price(values).price.low > 0
    (limits,) = service.asked("GET", "/limits")
    assert limits.query == {"model_name": "ft-1234"}


def test_a_page_that_is_not_the_api_is_not_said_to_know_no_model(service, job):
    page = Fault(status=404, body=b"<html>Not found</html>", headers=())
    service.misbehave("GET", "/limits", page)
    with pytest.raises(ServiceError, match=r"can't be understood.*TOGETHER_BASE_URL"):
        ftlab.ask_price(job)


def test_the_name_that_was_refused_is_not_offered(service, job):
    service.models = {"another/model": REPLY}
    with pytest.raises(ServiceError) as caught:
        ftlab.ask_price(job)
    assert f"such as {MODEL}." not in str(caught.value)


def test_a_storage_that_refuses_is_told_with_its_own_advice(service, job):
    service.misbehave("PUT", "file-0000", Fault(status=403, body=b"<Error>key?s=s3cret</Error>"))
    with pytest.raises(ServiceError, match=r"The storage refused it \(403\)") as caught:
        ftlab.ask_price(job)
    assert "Scan the file and ask again" in str(caught.value)
    assert "TOGETHER_API_KEY" not in str(caught.value)
    assert "s3cret" not in str(caught.value)


def test_a_file_that_can_not_be_read_any_more_is_told(service, tmp_path):
    client = Client(secret("k"), service.address)
    with client, pytest.raises(FtlabError, match=r"gone\.jsonl can't be read any more \(No such"):
        files.upload(client, tmp_path / "gone.jsonl", "", lambda _: None)
    assert service.requests == []


def test_a_file_here_that_is_called_like_an_id_is_told(service, job, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_rows(tmp_path / "file-train", chat_rows(3))
    with pytest.raises(ServiceError, match=r"a file of that name lies here: \./file-train"):
        ftlab.ask_price({**job, "training_file": "file-train"})


def test_what_is_wrong_with_the_kind_of_file_is_said_alone(service, job, tmp_path):
    write_rows(tmp_path / "a.txt", chat_rows(3))
    with pytest.raises(InvalidSpec, match=r"a\.txt ends in \.txt; the service takes") as caught:
        ftlab.ask_price({**job, "training_file": str(tmp_path / "a.txt")})
    assert "Correct those rows" not in str(caught.value)


def test_what_the_service_says_of_a_file_is_shown_without_secrets_and_cut(service, job):
    said = f"Line 2: bearer tgp_canary-123456 \x1b[31m {'x' * 5000}"
    report = {"processing_status": "INVALID_FORMAT", "validation_report": {"error": said}}
    service.misbehave("GET", "file-0000", Fault(status=200, body=json.dumps(report).encode()))
    with pytest.raises(InvalidSpec) as caught:
        ftlab.ask_price(job)
    (issue,) = caught.value.issues
    assert issue.lines == (2,)
    assert issue.message.isprintable()
    assert "canary" not in issue.message
    assert len(issue.message) < 600


def test_why_there_is_no_estimate_is_shown_without_secrets_and_cut(service, job):
    reason = f"tgp_canary-123456 \x1b {'x' * 5000}"
    reply = {"estimation_available": False, "unavailable_reason": reason}
    service.misbehave("POST", ESTIMATE, Fault(status=200, body=json.dumps(reply).encode()))
    (basis,) = ftlab.ask_price(job).price.basis
    assert basis.isprintable()
    assert "canary" not in basis
    assert len(basis) < 500


def test_an_answer_says_itself(service, job):
    found = ftlab.ask_price(job)
    assert str(found).startswith("Together: under $0.01 for ")
    assert "The account may spend $25.00. The file stays in the account as file-0000." in str(found)
    assert "stays in the account" in found._repr_html_()


def test_no_estimate_is_told_and_no_error(service, job):
    reply = {"estimation_available": False, "unavailable_reason": "multimodal_dataset"}
    service.misbehave("POST", ESTIMATE, Fault(status=200, body=json.dumps(reply).encode()))
    found = ftlab.ask_price(job)
    assert found.price.low is None
    assert "images" in found.price.basis[0]


def test_a_short_credit_is_a_warning(service, job):
    service.credit = 0.0
    assert ftlab.ask_price(job).issue().code == "over_credit"


# --- faults ----------------------------------------------------------------------------------


@pytest.mark.parametrize("fault", [BUSY, DROP])
@pytest.mark.parametrize(
    ("method", "ending"),
    [("GET", "/limits"), ("POST", "/preprocess"), ("GET", "file-0000"), ("POST", ESTIMATE)],
)
def test_what_buys_nothing_is_repeated(service, job, method, ending, fault):
    service.misbehave(method, ending, fault)
    assert ftlab.ask_price(job).price.low > 0
    assert len(service.asked("PUT")) == 1


@pytest.mark.parametrize("fault", [BUSY, DROP])
@pytest.mark.parametrize(("method", "ending"), [("POST", "/files"), ("PUT", "file-0000")])
def test_an_upload_that_fails_is_told_and_may_be_asked_again(service, job, method, ending, fault):
    service.misbehave(method, ending, fault)
    with pytest.raises(ServiceError, match=r"when train\.jsonl was uploaded"):
        ftlab.ask_price(job)
    assert ftlab.ask_price(job).price.low > 0


def found_reply(**headers):
    return Fault(status=302, body=b"", headers=tuple(headers.items()))


@pytest.mark.parametrize(
    "reply",
    [
        found_reply(Location="/storage/x"),
        found_reply(**{"X-Together-File-Id": "file-1"}),
        found_reply(**{"Location": "/storage/x", "X-Together-File-Id": "../jobs"}),
        Fault(status=409, body=b"{}"),
        Fault(status=409, body=b'{"file_id": 7}'),
    ],
)
def test_a_reply_that_names_no_file_is_told(service, job, reply):
    service.misbehave("POST", "/files", reply)
    with pytest.raises(ServiceError, match="named no file"):
        ftlab.ask_price(job)
    assert service.asked("PUT") == []


def test_a_wrong_key_is_told(service, job):
    with pytest.raises(ServiceError, match="Invalid API key provided") as caught:
        ftlab.ask_price(job, key="another")
    assert caught.value.status == 401
    assert "another" not in str(caught.value)


@pytest.mark.parametrize("name", ["rows.json", "rows.JSONL", "nowhere.jsonl", "rows.csv"])
def test_files_that_the_service_does_not_take_are_not_sent(service, job, tmp_path, name):
    if "nowhere" not in name:
        write_rows(tmp_path / name, chat_rows(3))
    with pytest.raises(InvalidSpec) as caught:
        ftlab.ask_price({**job, "training_file": str(tmp_path / name)})
    assert {issue.where for issue in caught.value.issues} == {"training_file"}
    assert service.requests == []


def test_a_file_of_more_than_50_gib_is_told_to_be_too_large(tmp_path):
    large = tmp_path / "large.jsonl"
    with large.open("wb") as file:
        file.truncate(files.LARGEST + 2**30)
    issue = files.problem(large, "training_file")
    assert "51.1 GiB; the service takes files of up to 50.1 GiB" in issue.message
    assert issue.blocks == ("together",)
    with large.open("wb") as file:
        file.truncate(files.LARGEST)
    assert files.problem(large, "training_file") is None


def test_a_file_that_becomes_shorter_meanwhile_is_told(service, job, tmp_path, monkeypatch):
    monkeypatch.setattr(files, "CHUNK", 100)
    told = iter(range(10**6))

    def shorten(_share, what):
        if what.startswith("uploading") and next(told) == 3:
            (tmp_path / "train.jsonl").write_text("")

    with pytest.raises(FtlabError, match="became shorter"):
        ftlab.ask_price(job, told=shorten)


@pytest.mark.parametrize("values", [{"n_epochs": 0}, {"training_file": None}, {"model": "demo"}])
def test_a_job_without_a_price_is_refused_before_anything_is_sent(service, job, values):
    with pytest.raises(InvalidSpec):
        ftlab.ask_price({**job, **values})
    assert service.requests == []


def test_cancelling_gives_no_answer_and_sends_no_more(service, job, monkeypatch):
    monkeypatch.setattr(files, "CHUNK", 100)
    box = {}

    def cancel(share, _what):
        if share > 0.2:
            box["question"].cancel()

    box["question"] = PriceQuestion(job, {}, told=cancel)
    assert box["question"].ask() is None
    assert service.contents == {}
    assert service.asked("POST", ESTIMATE) == []


def test_cancelling_while_the_service_checks_ends_at_once(service, job, monkeypatch):
    monkeypatch.undo()  # with real pauses
    monkeypatch.setenv("TOGETHER_BASE_URL", service.address)
    monkeypatch.setenv("TOGETHER_API_KEY", "k")
    service.looks_before_a_file_is_ready = 10**9
    checks = threading.Event()
    question = PriceQuestion(
        job, {}, told=lambda _, what: checks.set() if what.startswith("Together") else None
    )
    threading.Thread(target=lambda: (checks.wait(20), question.cancel()), daemon=True).start()
    assert question.ask() is None


def test_preferences_have_a_price_too(service, job, tmp_path):
    pairs = write_rows(tmp_path / "pairs.jsonl", preference_rows(20))
    values = {**job, "training_file": str(pairs), "training_method": "dpo", "simpo_gamma": 0.5}
    assert ftlab.ask_price(values).price.low > 0
    method = json.loads(service.asked("POST", ESTIMATE)[0].body)["training_method"]
    assert (method["dpo_beta"], method["simpo_gamma"], method["rpo_alpha"]) == (0.1, 0.5, 0)
    assert method["dpo_reference_free"] is True
