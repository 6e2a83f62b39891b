"""The line of each mirror in the Run panel, and its button."""

from __future__ import annotations

from ftlab.trackers.states import Mirrored, MirrorFolder
from ftlab.ui.state import State
from ftlab.ui.trackers_box import TrackersBox
from tests.trackers.world import made


def test_a_line_for_each_mirror_and_the_others_on_offer(tmp_path):
    run = made(tmp_path)
    state = State(tmp_path)
    box = TrackersBox(state)
    assert box.layout.display == "none"
    state.select(run.id)
    assert box.layout.display is None
    assert [name for _, name in box.choice.options] == [
        *("wandb", "mlflow", "tensorboard", "trackio"),
    ]
    folder = MirrorFolder(run, "wandb")
    folder.path.mkdir(parents=True)
    folder.say(Mirrored(step=5, link="https://w.example/<run>", problem="It is down."))
    box.refresh()
    text, button = box.lines["wandb"].children
    assert "W&amp;B: mirrored up to step 5 of 8" in text.value
    assert 'href="https://w.example/&lt;run&gt;"' in text.value
    assert "It is down. `ftlab track" in text.value
    assert button.layout.display is None
    assert "wandb" not in dict(box.choice.options).values()
    folder.say(Mirrored(step=8, link="wandb sync here", is_whole=True))
    box.refresh()
    assert "all is there" in text.value
    assert "<code>wandb sync here</code>" in text.value
    assert button.layout.display == "none"
