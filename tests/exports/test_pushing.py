"""Exports on the hub: what goes there, who may see it, and what is said where it is not taken."""

from __future__ import annotations

import pytest

from ftlab.errands import Errand
from ftlab.errors import RunError
from tests.fake_hub import own_cache, serving

TOKEN = "hf_" + "x" * 34


@pytest.fixture
def hub(tmp_path, monkeypatch):
    own_cache(tmp_path / "cache", monkeypatch)
    monkeypatch.setenv("HF_HUB_DISABLE_XET", "1")  # whose server is another one
    with serving(monkeypatch) as hub:
        monkeypatch.setenv("HF_TOKEN", TOKEN)
        yield hub


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "taken"
    (folder / "additional_chat_templates").mkdir(parents=True)
    (folder / "model.safetensors").write_bytes(bytes(range(256)) * 40)
    (folder / "README.md").write_text("---\nlibrary_name: transformers\n---\n")
    (folder / "additional_chat_templates" / "rag.jinja").write_text("{{ messages }}")
    return folder


def push(folder, **asked):
    request = {"repo": "me/tuned", "private": True, "folder": str(folder), "message": "merged"}
    return Errand().run("ftlab.exports.pushing", {**request, **asked}, lambda *why: str(why))


def test_all_files_of_an_export_go_to_a_private_model(hub, folder):
    address = push(folder)
    repo = hub.repos["me/tuned"]
    assert address == f"{hub.endpoint}/me/tuned/commit/{'c0ffee' + '0' * 34}"
    assert repo.visibility == "private"
    files = {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}
    assert repo.files == files


def test_it_is_public_where_that_is_asked_for_and_may_be_there_already(hub, folder):
    push(folder, private=False)
    assert hub.repos["me/tuned"].visibility == "public"
    (folder / "README.md").write_text("---\nlibrary_name: peft\n---\n")
    push(folder, private=False)
    assert b"peft" in hub.repos["me/tuned"].files["README.md"]


def test_nothing_private_goes_to_a_model_that_everybody_sees(hub, folder):
    hub.add("me/tuned")
    with pytest.raises(RunError, match="everybody can see it"):
        push(folder)
    assert not hub.repos["me/tuned"].files


def test_without_a_token_nothing_is_sent(hub, folder, monkeypatch):
    monkeypatch.delenv("HF_TOKEN")
    with pytest.raises(RunError, match="Run `hf auth login` or set HF_TOKEN"):
        push(folder)
    assert not hub.repos


def test_a_name_that_the_hub_does_not_take_is_said_without_the_token(hub, folder):
    with pytest.raises(RunError, match="The hub did not take a/b/c") as found:
        push(folder, repo="a/b/c")
    assert TOKEN not in str(found.value)
