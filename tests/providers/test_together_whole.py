"""A run at the service from its beginning to the adapter in its folder."""

from __future__ import annotations

from ftlab.adapter_files import read_adapter
from ftlab.origin import started
from ftlab.providers.together import finishing
from ftlab.providers.together.downloads import download_adapter
from ftlab.spec import JobSpec
from tests.fakes.together_artefacts import Serving
from tests.providers.archive_makers import ADAPTER, adapter_archive, archive
from tests.providers.hosted import carried_out, hosted, new_run, texts


def test_a_run_ends_with_an_adapter_that_others_go_on_from(tmp_path, monkeypatch):
    with hosted(monkeypatch) as service:
        monkeypatch.setattr(finishing, "download_adapter", download_adapter)
        service.artefacts.archives["ft-0000"] = adapter_archive("checkpoint/")
        service.artefacts.servings = [Serving(cut_at=100)]
        run = new_run(tmp_path)
        assert carried_out(run) == 0
    assert run.status == "completed"
    assert {file.name for file in run.adapter.iterdir()} == set(ADAPTER)
    assert read_adapter(run.adapter).settings["lora_r"] == 4
    spec, issues, _ = started(JobSpec(from_checkpoint=str(run.path)))
    assert not issues
    assert (spec.model, spec.lora_r) == (run.job.spec.model, 4)


def test_an_archive_that_is_not_taken_leaves_the_run_with_the_reason(tmp_path, monkeypatch):
    with hosted(monkeypatch) as service:
        monkeypatch.setattr(finishing, "download_adapter", download_adapter)
        service.artefacts.archives["ft-0000"] = archive({**ADAPTER, "../evil.json": b"x"})
        run = new_run(tmp_path)
        carried_out(run)
    assert not run.adapter.exists()
    assert "leads out of it" in "\n".join([run.state.detail or "", *texts(run)])
    assert not list(tmp_path.rglob("evil.json"))
