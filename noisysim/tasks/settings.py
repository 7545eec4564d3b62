"""How settings of tasks are declared and checked."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from noisysim.common.fields import Field, check_names, checked
from noisysim.compute import losses
from noisysim.tasks import standard

Standardise = Annotated[
    str, Field(choices=standard.CHOICES, doc="inputs: one mean and std, one of each per input, or as they are")
]
ClassLoss = Annotated[str, Field(choices=tuple(losses.LOSSES), doc="loss on the one-hot targets")]
_OF_VALUES = tuple(name for name in losses.LOSSES if name != "cce")  # which takes targets that sum to one
ValueLoss = Annotated[str, Field(choices=_OF_VALUES, doc="loss on the target values")]
StandardiseTargets = Annotated[bool, Field(doc="targets to mean 0 and std 1, each output of its own")]


def read_settings(task: str, cls: type, settings: Mapping[str, Any]) -> Any:
    """An instance of the `NamedTuple` class that declares a task's settings, every value checked.

    A loss that is not the package's own stays a `noisysim.losses.Loss`.
    """
    check_names(f"task {task!r}", settings, cls._fields)  # type: ignore[attr-defined]
    settings, loss = dict(settings), settings.get("loss")
    foreign = {"loss": losses.get(settings.pop("loss"))} if loss is not None and losses.is_foreign(loss) else {}
    return cls(**checked(task, cls, settings, cls._field_defaults), **foreign)  # type: ignore[attr-defined]
