"""Single fields without a browser: set what a person would type, read what they would see."""

from __future__ import annotations

import pytest

from ftlab.html import escaped
from ftlab.issues import Issue
from ftlab.spec import FIELDS
from ftlab.ui.fields import FieldRow, fix_label
from ftlab.ui.inputs import (
    CheckInput,
    ChipsInput,
    ChoiceInput,
    ModelInput,
    RateInput,
    TextInput,
    make_input,
    read_text,
)
from ftlab.ui.knobs import FORM_FIELDS, FORM_KNOBS, NOT_GIVEN, OPTIONS, help_of, matches, written


def test_the_fields_of_the_form_have_each_a_name_of_their_own():
    assert not OPTIONS & FIELDS.keys()
    assert FORM_FIELDS.keys() == FORM_KNOBS.keys()


@pytest.mark.parametrize("name", FORM_FIELDS)
def test_every_field_has_an_input_that_says_nothing_by_itself(name, state):
    row = FieldRow(state, name)
    assert row.control.read() is NOT_GIVEN
    assert row.input.description == name
    assert row.input.tooltip == help_of(name)
    assert row.input.tooltip.startswith(FORM_FIELDS[name].description)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("model", ModelInput),
        ("learning_rate", RateInput),
        ("n_epochs", TextInput),
        ("batch_size", TextInput),
        ("lr_scheduler_type", ChoiceInput),
        ("train_on_inputs", ChoiceInput),
        ("lora", ChoiceInput),
        ("device", ChoiceInput),
        ("use_dora", CheckInput),
        ("gradient_checkpointing", ChoiceInput),
        ("lora_trainable_modules", ChipsInput),
        ("sample_prompts", ChipsInput),
    ],
)
def test_a_field_gets_the_control_that_suits_it(name, kind):
    assert type(make_input(name)) is kind


@pytest.mark.parametrize(
    ("name", "typed", "value"),
    [
        ("learning_rate", "4e-3", 0.004),
        ("learning_rate", " 1e-4 ", 1e-4),
        ("learning_rate", "fast", "fast"),
        ("n_epochs", "3", 3),
        ("batch_size", "max", "max"),
        ("batch_size", "16", 16),
        ("training_file", "12", "12"),
        ("max_seq_length", "2 048", 2048),
        ("suffix", "  ", NOT_GIVEN),
    ],
)
def test_what_is_typed_becomes_a_value(name, typed, value):
    assert read_text(name, typed) == value


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("use_dora", True),
        ("use_dora", "perhaps"),
        ("lr_scheduler_type", "linear"),
        ("lr_scheduler_type", "cosin"),
        ("lora", False),
        ("lora", None),
        ("train_on_inputs", "auto"),
        ("train_on_inputs", True),
        ("quantization", ["nf4"]),
        ("lora_trainable_modules", ("q_proj", "v_proj")),
        ("lora_trainable_modules", "q_proj"),
        ("lora_exclude_modules", ("lm_head",)),
        ("sample_prompts", ("Hello, who is there?",)),
        ("learning_rate", 4.7e-4),
        ("learning_rate", 0.000123456789),
        ("learning_rate", "fast"),
        ("learning_rate", -1),
        ("model", "somebody/unknown"),
        ("device", "cuda:7"),
    ],
)
def test_every_value_valid_or_not_can_be_shown_and_read_again(name, value):
    control = make_input(name)
    control.show(value)
    assert control.read() == value
    control.show(NOT_GIVEN)
    assert control.read() is NOT_GIVEN


def test_a_comma_ends_a_name_and_not_a_sentence():
    assert make_input("lora_trainable_modules").widget.splits
    prompts = make_input("sample_prompts")
    assert not prompts.widget.splits
    prompts.show("Hello, you")
    assert prompts.read() == ("Hello, you",)


def test_what_is_no_choice_stays_visible_with_its_message(state, files):
    state.update({**files, "lr_scheduler_type": "cosin"})
    row = FieldRow(state, "lr_scheduler_type")
    assert row.input.label == "cosin (not a choice)"
    assert "lr_scheduler_type is &#x27;cosin&#x27;" in row.said
    row.input.label = "linear"
    assert state.values["lr_scheduler_type"] == "linear"


def test_a_default_that_is_chosen_leaves_the_field_out(state):
    row = FieldRow(state, "lr_scheduler_type")
    row.input.label = "linear"
    row.input.label = "cosine"
    assert state.values == {}


def test_none_is_a_choice_only_where_it_means_something(state):
    row = FieldRow(state, "lora")
    assert [label for label, _ in row.input.options] == ["True", "False", "None"]
    row.input.label = "None"
    assert state.values == {"lora": None}
    row.input.label = "True"
    assert state.values == {}


def test_a_message_stands_under_its_field_and_the_text_stays(state, files):
    state.update(files)
    row = FieldRow(state, "n_epochs")
    row.input.value = "many"
    assert state.values["n_epochs"] == "many"
    assert "n_epochs is &#x27;many&#x27;" in row.said
    assert row.input.value == "many"
    row.input.value = "2"
    assert "alert" not in row.said
    assert state.spec.n_epochs == 2


def test_every_issue_of_a_field_is_shown_with_its_own_fix(state, files):
    state.update(files)
    row = FieldRow(state, "lora_r")
    found = [
        Issue("error", "one", where="lora_r", fix={"lora_r": 8}),
        Issue("tip", "two", where="lora_r"),
    ]
    row.issues = lambda: found
    row.refresh()
    first, second = row.lines.lines
    assert [first.text.value.count("one"), second.text.value.count("two")] == [1, 1]
    assert first.fix.description == "lora_r = 8"
    assert second.fix is None
    first.fix.click()
    assert state.values["lora_r"] == 8
    found.clear()
    row.refresh()
    assert row.said == ""


def test_a_fix_button_changes_the_field(state, files):
    state.update(files)
    row = FieldRow(state, "lora_alpha")
    row.input.value = "900"
    fix = row.lines.lines[0].fix
    fix.click()
    assert fix.description == f"lora_alpha = {row.input.value}"
    assert row.said == ""


def test_what_is_left_out_shows_what_it_will_be(state, files):
    state.update(files)
    row = FieldRow(state, "learning_rate")
    advice = state.recommended["learning_rate"]
    assert row.input.placeholder == written(advice.value)
    assert f"{written(advice.value)} is recommended" in row.note.value
    assert escaped(advice.source) in row.note.value


def test_a_recommendation_opens_to_its_range_reasons_and_those_who_disagree(state, files):
    state.update(files)
    note = FieldRow(state, "learning_rate").note.value
    advice = state.recommended["learning_rate"]
    assert note.startswith("<details")
    for label in ("range", "why", "others"):
        assert f"<dt>{label}</dt>" in note
    assert advice.others[0].value in note


def test_a_value_other_than_recommended_is_marked_and_taken_back_by_a_button(state, files):
    state.update(files)
    row = FieldRow(state, "weight_decay")
    advice = state.recommended["weight_decay"]
    row.input.value = "0.3"
    assert "ft-differs" in row._dom_classes
    assert row.use.description == f"use {written(advice.value)}"
    row.use.click()
    assert state.resolved.spec.weight_decay == advice.value
    assert "ft-differs" not in row._dom_classes
    assert row.use.layout.display == "none"
    assert "weight_decay" not in state.typed


def test_taking_a_recommendation_that_comes_by_itself_leaves_the_field_out(state, files):
    state.update(files)
    row = FieldRow(state, "lora_r")
    row.input.value = "64"
    row.use.click()
    assert row.input.value == ""
    assert "lora_r" not in state.values


def test_one_button_is_enough_where_an_issue_offers_the_recommended_value(state, files):
    state.update({**files, "weight_decay": 0.5})
    row = FieldRow(state, "weight_decay")
    best = state.recommended["weight_decay"].value
    row.issues = lambda: [Issue("tip", "use it", where="weight_decay", fix={"weight_decay": best})]
    row.refresh()
    assert row.use.layout.display == "none"
    assert "ft-differs" in row._dom_classes


@pytest.mark.parametrize("typed", ["4.0e-3", "0.0040", " 4e-3", "4e-", "4e", "0.", "nan", "1e999"])
def test_typing_is_not_disturbed_by_its_own_change(typed, state):
    row = FieldRow(state, "learning_rate")
    row.input.value = typed
    assert row.input.value == typed
    state.set("n_epochs", 2)
    assert row.input.value == typed


def test_the_slider_follows_the_text_and_the_text_the_slider(state, files):
    state.update(files)
    row = FieldRow(state, "learning_rate")
    slider, advice = row.control.slider, state.recommended["learning_rate"]
    assert slider.value is None
    assert (slider.best, slider.low, slider.high) == (advice.value, advice.low, advice.high)
    row.input.value = "2e-4"
    assert slider.value == 2e-4
    row.input.value = "fast"
    assert slider.value is None
    slider.value = 5e-5
    assert row.input.value == "5e-5"
    assert state.values["learning_rate"] == 5e-5


def test_chips_are_names(state, files):
    state.update(files)
    row = FieldRow(state, "lora_trainable_modules")
    row.input.value = ["q_proj", "v_proj"]
    assert state.values["lora_trainable_modules"] == ("q_proj", "v_proj")
    assert state.spec.lora_trainable_modules == ("q_proj", "v_proj")
    row.input.value = ["all-linear"]
    assert state.values["lora_trainable_modules"] == "all-linear"
    row.input.value = []
    assert "lora_trainable_modules" not in state.values


def test_an_option_of_the_machine_is_checked_like_a_field(state, files):
    state.update(files)
    row = FieldRow(state, "micro_batch_size")
    row.input.value = "0"
    assert state.options == {"micro_batch_size": 0}
    assert "micro_batch_size is 0" in row.said
    assert state.spec is None
    row.lines.lines[0].fix.click()
    assert state.options == {"micro_batch_size": 1}
    assert state.spec is not None
    assert "micro_batch_size" not in state.values


def test_a_field_out_of_sight_costs_nothing_until_it_is_shown(state):
    row = FieldRow(state, "n_epochs", visible=False)
    state.set("n_epochs", 3)
    assert row.children == ()
    row.set_visible(True)
    assert row.input.value == "3"


def test_fix_labels_say_what_will_change():
    assert fix_label(Issue("error", fix={"a": 1, "b": None})) == "a = 1, leave b out"
    assert fix_label(None) == ""


@pytest.mark.parametrize(
    ("query", "name"),
    [
        ("rank", "lora_r"),
        ("warm-up", "warmup_ratio"),
        ("warm up", "warmup_ratio"),
        ("lr", "learning_rate"),
        ("cutoff_len", "max_seq_length"),
        ("SEED", "random_seed"),
        ("clip grad", "max_grad_norm"),
        ("memory less", "gradient_checkpointing"),
    ],
)
def test_a_field_is_found_by_its_meaning_and_by_what_others_call_it(query, name):
    assert matches(name, query)
    assert not matches("training_file", query)


def test_none_is_a_choice_that_can_be_seen():
    control = make_input("lora")
    for value in (True, None, False):
        control.show(value)
        assert control.widget.label == str(value)
        assert control.read() is (NOT_GIVEN if value is True else value)
    control.widget.label = "None"  # as a person chooses it
    assert control.read() is None


def test_half_a_character_reaches_no_control():
    control = make_input("suffix")
    control.show("a\ud800b")
    assert control.widget.value == "a?b"


def test_a_number_beyond_all_rates_is_taken_as_it_stands():
    control = make_input("learning_rate")
    control.widget.value = "9" * 400
    assert control.read() == int("9" * 400)
    assert control.slider.value is None
