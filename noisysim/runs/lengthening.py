"""What there is left to do of a recorded run, and how it gets more epochs."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from noisysim.common.arguments import argument
from noisysim.common.fields import check, declared
from noisysim.runs import storage
from noisysim.runs.arguments import PlainSettings


def is_complete(content: Mapping[str, Any], path: Path, epochs: int | None, other_callbacks: bool) -> bool:
    """Whether a run has nothing left to do.

    Parameters
    ----------
    content : mapping
        Of its file.
    path : Path
    epochs : int or None
        How many it is to have; ``None`` for those it was to have.
    other_callbacks : bool
        Whether callbacks are given in place of those one of which may have stopped it.

    Raises
    ------
    ValueError
        If it has done more epochs already, or has diverged and is to have more.
    """
    before = content["config"]["epochs"]
    wanted = before if epochs is None else check("resume", "epochs", epochs, declared(PlainSettings)["epochs"])
    done, under_way = _done(content)
    if wanted < done + under_way:
        begun = " and begun another" if under_way else ""
        raise ValueError(
            f"{argument(f'resume.epochs={wanted}')}: {path} has done {done} epochs{begun}, and cannot have fewer"
        )
    if content["status"] == "diverged":
        if wanted > before:
            raise ValueError(
                f"{argument(f'resume.epochs={wanted}')}: {path} has diverged in epoch {done + 1}, and cannot "
                "be continued"
            )
        return True
    if content["status"] == "finished":
        return bool(wanted == done)
    return not (storage.is_cut_short(content) or other_callbacks)


def _done(content: Mapping[str, Any]) -> tuple[int, bool]:
    """Epochs that are done, and whether one is under way."""
    done = len(content["arrays"]["history/epoch"]["learning_rate"])
    position = content["arrays"].get("state/progress", {}).get("position")
    return done, position is not None and len(position) == 2 and bool(position[1])


def lengthened(content: Mapping[str, Any], epochs: int | None) -> dict[str, Any]:
    """The content of a run that has as many epochs to do."""
    config = content["config"] if epochs is None else {**content["config"], "epochs": int(epochs)}
    return {**content, "config": config}
