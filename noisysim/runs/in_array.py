"""Runs on devices that update in the array, by pulse trains: what the array cannot do, refused before anything runs."""

from __future__ import annotations

from noisysim.chip.array_updates import refuse
from noisysim.common.arguments import argument
from noisysim.devices.contract import Device
from noisysim.learners import Learner
from noisysim.learners.optimizers import SGD, Optimizer


def check(device: Device, learner: Learner, optimizer: Optimizer, clip: float, chips: int, decorrelate: str) -> None:
    """Refuse what pulse trains cannot do.

    The array is the optimizer: signals on its rows and inputs on its columns, sample by sample, are all that it takes.
    No gradient is formed of which a moment or a norm could be known.
    """
    if type(optimizer) is not SGD or optimizer.momentum:
        momentum = " with momentum" if isinstance(optimizer, SGD) else ""
        refuse(
            f"{argument('run.optimizer')} is {optimizer.name!r}{momentum}",
            device,
            "the array itself does the step of plain SGD: use " + argument("optimizer='sgd'"),
        )  # fmt: skip
    if not getattr(learner, "has_factors", False):
        refuse(
            f"learner {learner.name!r} gives no factors", device,
            "rows and columns take outer products of signals and inputs: use a rule of these, such as 'danp' or 'bp'",
        )  # fmt: skip
    if chips > 1 and not learner.stacks:
        teaches = f"learner {learner.name!r} teaches each chip by itself (stacks=False)"
        refuse(
            f"{argument(f'run.chips={chips}')}, and {teaches}", device,
            f"factors of all chips are given at once: use {argument('chips=1')}",
        )  # fmt: skip
    if clip:
        refuse(argument(f"run.clip={clip:g}"), device, f"the norm of a gradient is not known: use {argument('clip=0')}")
    if decorrelate != "inputs" and learner.decorrelation:
        inputs = argument("decorrelate='inputs'")
        refuse(argument(f"run.decorrelate={decorrelate!r}"), device, f"updates are not turned: use {inputs}")
