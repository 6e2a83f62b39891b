"""The Job panel without a browser: which fields there are, offers, problems, the button."""

from __future__ import annotations

import time

import pytest

from ftlab.html import escaped
from ftlab.presets import PRESETS
from ftlab.ui import known_models
from ftlab.ui.estimate_box import estimate_html
from ftlab.ui.form import ALL, CHANGED, JobPanel
from ftlab.ui.knobs import FORM_FIELDS, FORM_GROUPS, FORM_KNOBS
from ftlab.ui.offers import Change, recommended_offer
from ftlab.ui.review_box import change_html
from ftlab.ui.run_panel import RunPanel
from tests.fake_hub import own_cache
from tests.test_model_cache import put
from tests.ui.test_state import scan

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


@pytest.fixture
def panel(state):
    return JobPanel(state)


def shown(panel):
    return {name for name, row in panel.rows.items() if row.layout.display != "none"}


# --- which fields ----------------------------------------------------------------------------


def test_every_field_stands_in_a_group(panel):
    groups = {FORM_KNOBS[name].group for name in FORM_FIELDS}
    assert groups == set(FORM_GROUPS)
    assert panel.rows.keys() == FORM_FIELDS.keys()


def test_basic_fields_are_those_of_this_engine_and_method(panel, state):
    here = {n for n, k in FORM_KNOBS.items() if "local" in k.providers and "sft" in k.methods}
    assert shown(panel) == {n for n in here if not FORM_KNOBS[n].advanced}
    assert panel.groups["Model"].layout.display is None


def test_all_fields_are_those_of_the_method(panel, state):
    panel.shown.value = ALL
    assert shown(panel) == {n for n, k in FORM_KNOBS.items() if "sft" in k.methods}
    state.set("training_method", "dpo")
    assert "dpo_beta" in shown(panel)
    assert "train_on_inputs" not in shown(panel)


def test_a_field_with_a_value_or_a_problem_is_always_there(panel, state, files):
    state.update({**files, "adam_beta2": 0.95, "early_stopping_enabled": True})
    assert {"adam_beta2", "early_stopping_enabled", "model"} <= shown(panel)
    about = {i.where for i in state.issues if i.level != "tip"} & FORM_FIELDS.keys()
    assert about <= shown(panel)
    panel.shown.value = CHANGED
    assert shown(panel) == {*state.values, *about}


def test_a_search_finds_advanced_fields_and_hides_the_rest(panel, state):
    panel.search.value = "rank"
    assert {"lora_r", "use_rslora"} <= shown(panel)
    assert "n_epochs" not in shown(panel)
    assert panel.groups["Data"].layout.display == "none"
    panel.search.value = "no such thing"
    assert shown(panel) == set()
    assert "No field answers" in panel.nothing.value
    panel.search.value = ""
    assert "n_epochs" in shown(panel)
    assert panel.nothing.value == ""


def test_the_places_of_the_fields_stay_so_that_typing_is_not_disturbed(panel, state):
    """A changed list of children would make the controls behind it anew, and take the cursor."""
    before = {group: box.children for group, box in panel.groups.items()}
    inner = {group: box.children[1].children for group, box in panel.groups.items()}
    state.set("adam_beta1", 2)
    panel.shown.value = ALL
    panel.search.value = "lora"
    assert {group: box.children for group, box in panel.groups.items()} == before
    assert {group: box.children[1].children for group, box in panel.groups.items()} == inner


def test_a_problem_leads_to_its_field_even_where_that_is_hidden(panel, state, files):
    state.update({**files, "adam_beta1": 2, "n_epochs": 0})
    assert [p["where"] for p in panel.problems.problems][:2] == ["n_epochs", "adam_beta1"]
    assert panel.problems.problems[0]["shape"] == "▲"
    panel.search.value = "rank"
    sent = []
    panel.problems.send = sent.append
    panel.problems._asked(None, {"where": "adam_beta1"}, [])
    assert "adam_beta1" in shown(panel)
    assert sent == [{"focus": "adam_beta1"}]


# --- offers ----------------------------------------------------------------------------------


def test_a_preset_shows_what_it_would_set_and_why_before_it_does(panel, state, files):
    state.update({**files, "n_epochs": 9})
    before = dict(state.values)
    panel.preset.value = "careful"
    review = panel.review
    assert review.layout.display is None
    assert state.values == before
    preset = PRESETS["careful"]
    assert preset.title in review.head.value
    text = " ".join(row.children[1].value for row in review.lines.children)
    assert preset.reasons["warmup_ratio"] in text
    assert review.choices["warmup_ratio"].value
    assert not review.choices["n_epochs"].value  # a person typed it
    assert "typed by you" in text
    review.apply.click()
    assert state.values["n_epochs"] == 9
    assert state.values["warmup_ratio"] == preset.values["warmup_ratio"]
    assert review.layout.display == "none"
    assert panel.preset.value == ""
    state.undo()
    assert state.values == before


def test_a_change_from_nothing_says_that_the_field_was_left_out():
    shown = change_html(Change("lora_dropout", None, 0.05, "small data", is_typed=False))
    assert "left out" in shown
    assert "None" not in shown


def test_what_was_typed_goes_only_when_it_is_ticked(panel, state, files):
    state.update({**files, "n_epochs": 9})
    panel.preset.value = "careful"
    panel.review.choices["n_epochs"].value = True
    panel.review.apply.click()
    assert state.values["n_epochs"] == PRESETS["careful"].values["n_epochs"]


def test_an_offer_that_is_open_follows_what_is_typed_meanwhile(panel, state, files):
    state.update(files)
    panel.preset.value = "careful"
    assert panel.review.choices["weight_decay"].value
    panel.review.choices["warmup_ratio"].value = False
    state.set("weight_decay", 0.3)
    assert not panel.review.choices["weight_decay"].value
    assert not panel.review.choices["warmup_ratio"].value
    panel.review.cancel.click()
    assert state.values == {**files, "weight_decay": 0.3}


def test_what_a_preset_set_is_not_taken_for_typed(panel, state, files):
    state.update(files)
    panel.preset.value = "small data"
    panel.review.apply.click()
    assert state.typed == set(files)
    panel.preset.value = "large data"
    assert panel.review.choices["n_epochs"].value


@pytest.mark.parametrize("name", PRESETS)
def test_what_would_be_refused_after_a_preset_is_said_before(name, panel, state, files):
    state.update(files)
    panel.preset.value = name
    warned = panel.review.warning.value
    panel.review.apply.click()
    wrong = [escaped(issue.message) for issue in state.issues if issue.blocks]
    assert all(message in warned for message in wrong)
    assert bool(warned) == bool(wrong)


def test_a_tick_that_goes_takes_its_warning_along(panel, state, files):
    state.update(files)  # its context is 512 tokens
    panel.preset.value = "consumer GPU"
    assert "max_seq_length is 1024" in panel.review.warning.value
    panel.review.choices["max_seq_length"].value = False
    assert panel.review.warning.value == ""


def test_everything_can_be_set_as_recommended_and_nothing_is_left_to_recommend(panel, state, files):
    state.update(files)
    scan(state)
    state.update({"weight_decay": 0.5, "lora_r": 64}, typed=False)
    state.set("n_epochs", 7)
    panel.use_all.click()
    choices = panel.review.choices
    assert choices["weight_decay"].value
    assert not choices["n_epochs"].value
    panel.review.apply.click()
    assert state.values["n_epochs"] == 7
    assert "lora_r" not in state.values  # it follows by itself
    left = {change.name for change in recommended_offer(state).changes}
    assert left <= {"n_epochs"}
    panel.use_all.click()
    panel.review.choices["n_epochs"].value = True
    panel.review.apply.click()
    assert state.values.get("n_epochs") == state.recommended["n_epochs"].value


def test_an_offer_without_changes_says_so(panel, state, files):
    state.update(files)
    scan(state)
    panel.use_all.click()
    panel.review.apply.click()
    panel.use_all.click()
    assert "is set already" in panel.review.lines.children[0].value
    assert panel.review.apply.disabled


def test_undo_and_redo_are_off_where_there_is_nothing(panel, state):
    assert panel.undo.disabled
    assert panel.redo.disabled
    state.set("n_epochs", 3)
    panel.undo.click()
    assert panel.rows["n_epochs"].input.value == ""
    assert panel.undo.disabled
    panel.redo.click()
    assert panel.rows["n_epochs"].input.value == "3"


# --- models ----------------------------------------------------------------------------------


def test_the_models_on_this_machine_come_first_and_are_marked(panel, tmp_path, monkeypatch):
    cache = own_cache(tmp_path / "cache", monkeypatch)
    put(cache, "models--org--a--b")
    put(cache, "models--org--half", weights=False)
    known = known_models.known_models()
    assert known[0] == "demo"
    assert known[1].startswith("org/a--b · on this machine, ")
    assert "org/half" not in known
    assert len(known) == len(set(known)) > 40
    panel.rows["model"].input.value = known[1]
    assert panel.rows["model"].input.value == panel.state.values["model"] == "org/a--b"


def test_what_is_known_of_a_model_is_shown_with_its_source_and_unknown_as_unknown(panel, state):
    state.set("model", "Qwen/Qwen3-8B")
    note = panel.rows["model"].note.value
    assert "8.19B parameters" in note
    assert "context 40,960 tokens" in note
    assert state.info.source_of("n_params").split(",")[-1] in note
    assert str(state.info.hosted.as_of) in note
    state.set("model", "somebody/small")
    note = panel.rows["model"].note.value
    assert "size unknown" in note
    assert "licence unknown" in note
    assert "<dt>layers</dt><dd>unknown</dd>" in note


def test_the_model_s_own_layers_are_offered(panel, state, files):
    panel.shown.value = ALL
    state.update(files)
    options = panel.rows["lora_trainable_modules"].input.options
    assert set(options) == {"all-linear", *state.info.lora_params_per_rank}


# --- figures and the button ------------------------------------------------------------------


def test_the_train_button_says_why_it_is_off(panel, state, files):
    assert panel.train.disabled
    assert "No model is given" in panel.why_not.value
    state.update(files)
    scan(state)
    assert not panel.train.disabled
    assert panel.why_not.value == ""
    state.set("n_epochs", 0)
    assert panel.train.disabled
    assert "n_epochs is 0" in panel.why_not.value


def test_an_option_that_is_wrong_keeps_a_job_from_starting(panel, state, files):
    state.update({**files, "micro_batch_size": "few"})
    scan(state)
    assert panel.train.disabled
    assert "micro_batch_size is" in panel.why_not.value


def test_the_estimate_follows_what_is_typed(panel, state, files):
    state.update(files)
    scan(state)
    before = panel.estimate.value
    state.set("n_epochs", 7)
    assert panel.estimate.value != before
    assert "<svg" in panel.course.value


def test_an_estimate_without_data_says_unknown(state):
    assert "unknown" in estimate_html(state.estimate)


def test_what_a_figure_rests_on_stands_under_it(state, files):
    state.update(files)
    scan(state)
    html = estimate_html(state.estimate)
    memory = html[html.index("<b>memory</b>") :]
    basis = next(line for line in state.estimate.basis if line.startswith("Memory: "))
    assert basis.removeprefix("Memory: ") in memory.split("</details>")[0]


@pytest.mark.slow
def test_train_starts_a_run_with_the_options_and_opens_it(panel, state, files):
    view = RunPanel(state)
    state.update({**files, "max_steps": 3, "micro_batch_size": 2})
    scan(state)
    panel.train.click()
    assert panel.train.disabled
    end = time.monotonic() + 60
    while state.run is None or not state.run.state.ended:
        assert time.monotonic() < end
        time.sleep(0.05)
    state.tick()
    assert state.tab == "run"
    assert "completed" in view.head.value
    assert view._figure is not None
    assert len(view._figure.data[0].x) == 3
    assert state.run.job.options["micro_batch_size"] == 2


def test_a_start_that_fails_is_told_and_the_button_comes_back(panel, state, files, monkeypatch):
    state.update(files)
    scan(state)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    panel.train.click()
    end = time.monotonic() + 10
    while panel.train.disabled:
        assert time.monotonic() < end
        time.sleep(0.02)
    assert "pip install" in state.message[1]
