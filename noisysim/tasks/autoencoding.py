"""Autoencoding: images that are their own targets."""

from __future__ import annotations

import os
from typing import Annotated, Any, NamedTuple

from noisysim.common.fields import Field
from noisysim.common.registry import scan
from noisysim.tasks.base import Labels, Split, Task, ValueLoss, read_settings
from noisysim.tasks.images import ImageStandardise
from noisysim.tasks.loading import Loader, Loaders
from noisysim.tasks.noise import input_noise

DEFAULTS: dict[str, Any] = {
    "layers": ["dense(200, activation='tanh')", "dense(2, activation='linear')", "dense(200, activation='tanh')"],
    "batch_size": 32,
    "epochs": 10,
}

IMAGE_TASKS: dict[str, Loader] = scan("noisysim.tasks.image_sets", Loaders())
"""The tasks of images by name."""


class AutoencodingSettings(NamedTuple):
    """Settings of autoencoding."""

    of: Annotated[str, Field(choices=tuple(IMAGE_TASKS), doc="task whose images are learned")] = "mnist"
    standardise: ImageStandardise = "unit"
    noise: Annotated[float, Field(low=0, doc="std of the noise on the inputs trained on, after standardising")] = 0.0
    loss: ValueLoss = "mse"


def load_autoencoding(settings: AutoencodingSettings, data: str | os.PathLike[str] | None, seed: int) -> Task:
    """Images are their own targets: learn to pass them on through a narrow layer, such as one of 2 units.

    Inputs and targets are standardised alike; the default scales pixels to 0 (black) to 1 (white), and a loss of
    such images is half the squared error summed over the pixels. The layers of the default are those of Lansdell et
    al. (ICLR 2020, section 4.2 and appendix C.2), 200-2-200, tanh, linear and tanh; their output units are rectified,
    the last layer here is linear.

    With ``noise`` it is the denoising autoencoder of Vincent et al. (ICML 2008), with the Gaussian noise of Lansdell
    et al. (standard deviation 0.3): the inputs of the training split carry it, its targets and the test split do not.
    It is drawn anew each epoch, a pure function of seed, epoch, sample and pixel. The training loss is that of noisy
    inputs.

    The targets are the same arrays as the inputs, in the images' own type. What the images show is kept in `labels`.
    """
    loader = IMAGE_TASKS[settings.of]
    images = loader.load(read_settings(settings.of, loader.settings, {"standardise": settings.standardise}), data, seed)
    train, test = images.train, images.test
    noise = input_noise(settings.noise, seed)
    return Task(
        name="autoencoding",
        train=Split(train.inputs, train.inputs),
        test=Split(test.inputs, test.inputs),
        loss=settings.loss,
        n_out=images.n_in,
        settings=settings._asdict(),
        affine=images.affine,
        target_affine=images.affine,
        defaults=DEFAULTS,
        input_shape=images.input_shape,
        notes=images.notes + ((f"noise of the inputs drawn with seed {seed}",) if noise else ()),
        labels=Labels(train.targets, test.targets),
        noise=noise,
    )
