"""`run`, `resume` and `retention`: one run, from its arguments to its result, and tests of its chip after ageing."""

from __future__ import annotations

import inspect
import os
import time
from collections.abc import Sequence
from typing import Any

from noisysim.chip.given_weights import Initial
from noisysim.common import hdf5, writing
from noisysim.common.fields import check_switch
from noisysim.compute import backends, execution, losses
from noisysim.networks.importing.imported import Imported
from noisysim.runs import callback_files, environment, execute, lengthening, steering, storage
from noisysim.runs import config as configuration
from noisysim.runs.events import CallbackLike
from noisysim.runs.result import Result
from noisysim.runs.resuming import recorded_config, restored
from noisysim.runs.schedules import ScheduleLike
from noisysim.runs.training import Training
from noisysim.runs.validation import ValidationLike


def run(
    task: Any = "digits",
    *,
    loss: losses.LossSpec | None = None,
    layers: str | os.PathLike[str] | Sequence[Any] | Imported | None = None,
    device: Any = "crossbar",
    learner: Any = "danp",
    optimizer: Any = "adam",
    learning_rate: float | None = None,
    learning_rate_decay: float | None = None,
    schedule: ScheduleLike | None = None,
    weight_decay: float = 0.0,
    clip: float = 0.0,
    frozen: str | int | Sequence[int | str] | None = None,
    batch_size: int | None = None,
    epochs: int | None = None,
    activation: Any = "leaky_relu",
    bias: bool = False,
    inject: str = "line",
    backend: str = "cpu",
    seed: int = 0,
    oracle: bool | None = None,
    init: Initial | None = None,
    weight_scaling: str = "fixed",
    decorrelate: str | None = None,
    diagnostics: Sequence[Any] = (),
    every: int = 50,
    chips: int = 1,
    validation: ValidationLike = None,
    calibration: int = 0,
    callbacks: Sequence[CallbackLike] = (),
    data: str | os.PathLike[str] | None = None,
    threads: int | None = None,
    out: str | os.PathLike[str] | None = None,
    overwrite: bool = False,
    checkpoint_seconds: float = 30.0,
    until: float | str | None = None,
    progress: bool | None = None,
) -> Result:
    """Train a network on a simulated chip.

    Parameters
    ----------
    task : str or Task or arrays or path
        What to learn: a name such as "fashion-mnist", with settings "student-teacher:n_in=50"; your own data, arrays
        (x_train, y_train, x_test, y_test) or (x, y), a data frame, or a file, "my.csv:target=y", .parquet or .h5.
        x is (n, inputs), or images (n, channels, height, width); y holds class labels (n,), whole numbers or text,
        one-hot rows (n, classes), or floats to be fitted, (n, outputs); noisysim.tasks.get has all forms.
    loss : str or path or Loss or function
        What to minimise, in place of the task's own: "cce", "mse", the path of a file that defines one "huber.py", or
        a function of outputs and targets, (batch, n_out) each, that gives a float64 value per sample. Without a
        derivative (noisysim.losses.Loss) it serves the rules that learn from the scalar loss alone: it may be a
        reward with its sign changed, or what another program says.
    layers : list or str
        Hidden layers: numbers of units [512, 512], layers [conv(16, 3, stride=2), pool(2), 128] (on the command line
        512 512, or "conv(16, 3, stride=2)" "pool(2)" 128), or the name of a published network "dalm-convnet". The task
        decides input and output. Or a model from elsewhere, "model.onnx" or noisysim.networks.load("model.onnx"), with
        weights and biases: input and output are as many as the task's. Default: the task's own.
    device : str or path or device
        The simulated hardware: a name, the path of a device file "my_chip.py", either with settings
        "crossbar:adc_bits=6", or a device.
    learner : str or path or Learner
        The rule: a name, the path of a file that defines one "my_rule.py", either with settings "danp:samples=4", or a
        learner.
    optimizer : str or optimizer
        "adam" or "sgd", perhaps with settings "sgd:momentum=0.9".
    learning_rate : float
        Step of the optimizer. Default: one that suits the rule.
    learning_rate_decay : float
        Factor on the learning rate, each epoch. Default: the task's own.
    schedule : str or path or function
        How the learning rate changes from epoch to epoch, instead of by learning_rate_decay: "cosine:final=0.01",
        "exponential:decay=0.9", "warm-up:epochs=5", "plateau:patience=5", a file that defines one "my_schedule.py", or
        a function of the number of epochs done that returns a factor on learning_rate.
    weight_decay : float
        Decoupled weight decay (as in AdamW): each update takes learning rate times weight_decay of each weight off, in
        the same write. It needs a device whose write controller knows the weights.
    clip : float
        Largest norm of the gradient, over all layers: a longer one is scaled to it. 0: any.
    frozen : str or int or list
        Layers that keep their weights: "arrays", so that what is digital learns alone (learned gains and offsets,
        digital layers); "digital"; or numbers as noisysim.networks.show prints them, from 1, -1 for the last. They are
        never written; perturbations reach them, running statistics of their lines follow. Default: none.
    batch_size : int
        Samples per update. Default: the task's own.
    epochs : int
        Epochs: passes through the training split. Default: the task's own.
    activation : str or path or activation
        Activation function of hidden layers that name none: a name, such as leaky_relu or gelu, or the path of a file
        that defines one "swish.py".
    bias : bool
        Give every unit a bias. A model from elsewhere has them if it needs them.
    inject : str
        Where a learner's perturbation enters: at the "line", before the ADC, or "digital", after it.
    backend : str
        Where the chip is simulated: "cpu", "cuda" (a GPU), "cuda:tf32" (a GPU, products of numbers rounded to ten bits:
        faster, and blind to small perturbations), or "auto" (a GPU if there is one).
    seed : int
        Seed of chip, noise, learner and the order of the data. The same seed gives the same bits.
    oracle : bool
        Grant the learner exact weights and gradients, which no real chip gives. Default: only where the learner
        needs it (BP).
    init : str, list, mapping, path, Result or Chip
        Initial weights, by a law: "he" (normal), "he-uniform", "uniform" (within 1 / sqrt(n_in)), "glorot" or "zero".
        Default: those of a model from elsewhere, else "he". Or given: a list of arrays (n_out, n_in), of pairs (W, b)
        with bias=True; named arrays, or a file of them (.npz, .safetensors); what the chip of a result, of a result
        file (.h5), or a chip holds.
    weight_scaling : str
        Which weight the full span of conductances stands for: "fixed", the one that the device states; "array", the
        largest |initial weight| of each layer, biases included; "column", of each output line, or of its layer where
        that is below 1 % of the layer's. The periphery multiplies by it after the ADC.
    decorrelate : str
        How a rule with decorrelation applies its matrices R: to what drives the arrays, "inputs"; to what is observed
        and written, "updates", so that steps of R change no output; or as "inputs", each step of R made up for by a
        write of all weights, "compensated". Default: "inputs" where initial weights are drawn, "updates" where they are
        given.
    diagnostics : list of str or Diagnostic
        What to measure during the run, such as ["angle", "bias:samples=50"]; the run itself stays the same to the bit.
        Those that need exact weights are granted them, the learner is not.
    every : int
        Updates from one measurement of the diagnostics to the next.
    chips : int
        How many chips of the device to train side by side, on the same data and from the same initial weights: they
        differ in fabrication, noise and the learner's draws. Results have one more axis, the chips.
    validation : float or arrays
        What to test on after each epoch besides the test split: a share of the training split such as 0.1, which is
        then not learned from and drawn by the seed, or arrays (x, y). The run itself stays the same to the bit.
    calibration : int
        Training samples by which chips are calibrated before each test, at most 512 of which are read: ranges of
        converters, which passes with large perturbations leave too wide, and running statistics of batch
        normalisation, which writes leave behind. The run goes on from there. 0: they are calibrated at the start alone.
    callbacks : list of str or function or Callback
        What to call at the end of each epoch: ["early-stopping:patience=5", "csv-log:path=log.csv"], functions of one
        argument, or objects of noisysim.callbacks. They see what is recorded, and may stop the run.
    data : path
        Folder of the data files. Default: NOISYSIM_DATA, then the user's cache, then a download.
    threads : int
        Threads to use; the result does not depend on it. Default: all cores.
    out : path
        Result file to write; it is also the checkpoint from which the run can be resumed.
    overwrite : bool
        Replace an existing result file.
    checkpoint_seconds : float
        Longest time between two checkpoints; there is one at each epoch's end as well. If one cannot be
        written, because the disk is full, say, the run warns, and continues.
    until : float or str
        Time limit: end the run that long after its start, set-up included, with status "stopped". Seconds, or a text
        such as "11h50m" or "90s". noisysim.resume continues the run.
    progress : bool
        Show progress: a bar on a terminal, one line in a notebook, elsewhere a line on stderr after ten seconds, then
        more and more rarely; True: every ten seconds. Default: yes.

    Returns
    -------
    Result
        What was recorded: history, cost, warnings, configuration. After Ctrl-C too, with status "interrupted"; SIGTERM,
        SIGHUP and SIGXCPU also end the run, and then the process, once the file is written.

    Raises
    ------
    ValueError, TypeError, OSError
        For bad input, before any work; OSError also if the result cannot be written at the end.

    Examples
    --------
    >>> result = run("digits", layers=[16], device="crossbar:adc_bits=6", learner="danp", epochs=5, seed=1)
    >>> result.status, result.history["test_accuracy"].shape
    ('finished', (5,))
    >>> bool(result.history["test_accuracy"][-1] > 0.5)
    True
    """
    arguments = dict(locals())
    path = execute.check_output(out, overwrite)
    execute.check_apart(path, task, init)
    options = execute.check_options(threads, checkpoint_seconds, until, progress)
    settings = {name: arguments[name] for name in configuration.SETTINGS}
    config = configuration.resolve(**settings, data=data, loss=loss)
    started = time.perf_counter()
    with (
        execute.hold(path, overwrite) as held, execution.threads(options.threads),
        backends.products(config.backend), options.announcing(),
    ):  # fmt: skip
        steering.begin(config, overwrite=overwrite, out=path)
        training = Training(config)
        training.begin()
        began = {**environment.describe(config.backend), **callback_files.recorded_folder(config.callbacks, path)}
        return execute.execute(training, began, held, started, options)


def resume(
    path: str | os.PathLike[str],
    *,
    task: Any = None,
    device: Any = None,
    learner: Any = None,
    optimizer: Any = None,
    activation: Any = None,
    loss: losses.LossSpec | None = None,
    diagnostics: Sequence[Any] = (),
    schedule: ScheduleLike | None = None,
    validation: ValidationLike = None,
    callbacks: Sequence[CallbackLike] | None = None,
    epochs: int | None = None,
    data: str | os.PathLike[str] | None = None,
    threads: int | None = None,
    checkpoint_seconds: float = 30.0,
    until: float | str | None = None,
    progress: bool | None = None,
    allow_other_source: bool = False,
) -> Result:
    """Resume a run that was cut short, or make a finished one longer: to the bits of one undisturbed run.

    A run that was stopped by a callback is complete, as it would be in one of more epochs; `callbacks` resumes it.

    Parts that the run was given by name or by file are loaded again. A part that was an object of a class of your own
    must be passed again, and has to be the same: in its parameters, in its code, and in the constants and functions
    that its code reads.

    Parameters
    ----------
    path : path
        The run's result file.
    task : arrays, path or Task
        The data, for a run that learned arrays: its file does not hold them; where the run's task file is now, if it
        was moved.
    device : path or device
        Where the run's device file is now, if it was moved; or the device, if it was made in a script or a notebook.
        It must be the same to the byte; its settings are the run's.
    learner : path or Learner
        Where the run's learner file is now, if it was moved; or the learner, if it is an object of your own class.
        Settings that are given must be the run's.
    optimizer : path or optimizer
        Likewise the run's optimizer.
    activation : path or activation
        Likewise the network's activation function. Files that layers name have to be where they were.
    loss : path or Loss or function
        Likewise the loss.
    diagnostics : list
        Those of the run's diagnostics that are objects of your own classes, or whose files were moved.
    schedule : function or path or schedule
        Likewise the run's schedule, if it was a function or an object of your own.
    validation : arrays
        The data (x, y), for a run that was validated on arrays.
    callbacks : list
        From here on these, instead of the run's; what those among them kept that the run had is given back to them.
        Needed for functions and objects of your own; [] leaves all out.
    epochs : int
        Epochs of the whole run: more than it has lengthen it, to the bits of a run that had as many from the start.
    data : path
        Folder of the data files.
    threads : int
        Threads to use.
    checkpoint_seconds : float
        Longest time between two checkpoints.
    until : float or str
        As in `run`, from the start of this call.
    progress : bool
        Show progress: a bar on a terminal, one line in a notebook, elsewhere a line on stderr after ten seconds, then
        more and more rarely; True: every ten seconds. Default: yes.
    allow_other_source : bool
        Resume although the source of noisysim, or of your own parts, is not the one the run began with: the bits may
        be others from here on. The result's warnings say so.

    Returns
    -------
    Result
        Of the whole run. A run that is complete, and not to be longer, is returned as it is.

    Raises
    ------
    ValueError
        If data, settings or source are not the run's, saying which and how; or if the file holds no complete state.
    """
    path = hdf5.checked_path(path, "result file")
    options = execute.check_options(threads, checkpoint_seconds, until, progress)
    allow_other_source = check_switch("resume.allow_other_source", allow_other_source)
    content = storage.read(path)
    if lengthening.is_complete(content, path, epochs, callbacks is not None):
        return Result(content, path)
    parts = {
        "task": task, "device": device, "learner": learner, "optimizer": optimizer, "activation": activation,
        "loss": loss, "diagnostics": diagnostics, "schedule": schedule, "validation": validation,
        "callbacks": callbacks,
    }  # fmt: skip
    with writing.hold(path) as held:
        content = storage.read(path)  # now that no other process writes it
        if lengthening.is_complete(content, path, epochs, callbacks is not None):
            return Result(content, path)
        longer = lengthening.lengthened(content, epochs)
        config, notes = recorded_config(longer, path, parts, data, allow_other_source)
        with execution.threads(options.threads), backends.products(config.backend), options.announcing():
            config.callbacks = callback_files.rebased(config.callbacks, content, path)
            steering.begin(config, out=path, resumed=content)
            training = restored(config, longer, path)
            training.steering.check_lengthened(content["config"]["epochs"], began=training.step > 0)
            training.notes += notes
            started = options.called - content["elapsed"]
            began = {**callback_files.recorded_folder(config.callbacks, path), **content["environment"]}
            return execute.execute(training, began, held, started, options)


ARGUMENTS = tuple(inspect.signature(run).parameters)
"""The names of `run`'s arguments."""
