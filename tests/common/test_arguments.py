"""Messages name arguments as their reader writes them: in Python, or as flags of a command."""

import ast
import re
import shlex
from pathlib import Path

import pytest

import noisysim
from noisysim import devices
from noisysim.cli.app import flags
from noisysim.cli.commands import app
from noisysim.common.arguments import FUNCTIONS, Flag, argument, as_flags
from noisysim.devices import models

COMMANDS = [
    ["run"], ["resume"], ["retention"], ["deploy"], ["sweep"], ["tune"], ["test"], ["predict"], ["weights"], ["plot"],
    ["report"], ["show"], ["reproduce"], ["devices"], ["devices", "show"], ["devices", "fit"], ["networks", "show"],
]  # fmt: skip
FLAGS = {" ".join(words): flags(words) for words in COMMANDS}
GIVEN = {
    "layers": Flag("--layers"), "bias": Flag("--bias", "--no-bias"), "overwrite": Flag("--overwrite"),
    "learning_rate": Flag("--learning-rate"), "device": Flag("--device"), "task": Flag("--task"),
    "everything": Flag("--all"),
}  # fmt: skip


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("overwrite=True", "--overwrite"),
        ("overwrite=False", "--overwrite False"),
        ("bias=True", "--bias"),
        ("bias=False", "--no-bias"),
        ("run.bias", "--bias"),
        ("learning_rate=0.01", "--learning-rate 0.01"),
        ("layers=[8, 4]", "--layers 8 4"),
        ("layers=['conv(8, 3)', 4]", "--layers 'conv(8, 3)' 4"),
        ("run.device='my chip.py'", "--device 'my chip.py'"),
        ("device='crossbar:adc_bits=6'", "--device crossbar:adc_bits=6"),
        ("task=...", "--task"),
        ("task=(x, y, ...)", "--task"),
        ("task=noisysim.tasks.get(x)", "--task"),
        ("everything=True", "--all"),
        ("seed=1", "seed=1"),
        ("danp.device", "danp.device"),
        ("crossbar.task=1", "crossbar.task=1"),
    ],
)
def test_an_argument_is_a_flag_where_the_command_has_one(text, said):
    assert argument(text) == text
    with as_flags(GIVEN):
        assert argument(text) == said
    assert argument(text) == text


def test_a_block_within_a_block_ends_where_it_began():
    with as_flags(GIVEN):
        with as_flags({}):
            assert argument("bias=True") == "bias=True"
        assert argument("bias=True") == "--bias"


def test_flags_are_those_of_the_command():
    assert FLAGS["run"]["bias"] == Flag("--bias", "--no-bias")
    assert FLAGS["run"]["learning_rate"] == Flag("--learning-rate")
    assert FLAGS["reproduce"]["everything"] == Flag("--all")
    assert FLAGS["weights"]["overwrite"] == Flag("--overwrite")
    assert "epochs" not in FLAGS["sweep"]
    assert flags([]) == flags(["run", "--help"]) == flags(["nothing"]) == {}


# --- all messages of the package --------------------------------------------------------------------------------------

NAMES = {name for found in FLAGS.values() for name in found}
"""Every argument that some command has a flag for."""
SAID = re.compile(rf"(?<![\w.(:'\"-])(?:({'|'.join(FUNCTIONS)})\.)?({'|'.join(sorted(NAMES))})=")
"""An argument with a value, as Python writes it."""
OF_A_FUNCTION = re.compile(rf"(?<![\w.])({'|'.join(FUNCTIONS)})\.({'|'.join(sorted(NAMES))})\b(?!\()")
EXEMPT = {
    ("chip/checking.py", "backend="): "of a chip in Python, given arrays on a GPU",
    ("chip/chip.py", "decorrelate="): "of a chip in Python",
    ("chip/weight_sources.py", "oracle="): "a call in Python, quoted whole: it makes what no command can be given",
    ("chip/weight_sources.py", "init="): "likewise",
    ("common/user_files.py", "diagnostics="): "what `argument` is given later",
    ("common/user_files.py", "device="): "likewise",
    ("learners/oracle.py", "oracle="): "of a rule's update",
    ("reporting/command.py", "seed="): "of a script in Python",
    ("runs/afterwards.py", "seed="): "of a task, in a line of Python",
    ("studies/joining.py", "keep="): "studies are joined in Python alone",
    ("runs/findings.py", "weight_scaling="): "recorded in the result file, for readers of either",
    ("runs/health.py", "loss="): "a setting of the learner",
    ("runs/resuming.py", "callbacks="): "functions and objects, which only Python has",
    ("runs/side_by_side.py", "chips="): "of a study's runs, beside each other",
    ("tasks/autoencoding.py", "activation="): "of a layer",
    ("tasks/frames.py", "task="): "a data frame, which only Python has",
    ("tasks/remembered.py", "seed="): "recorded in the result file, for readers of either",
    ("tasks/sequences.py", "activation="): "of a layer",
}
"""Where a message, or another text, names an argument as Python does, and why."""


def sources(word=""):
    """(path, tree) of the modules that have a word in them."""
    package = Path(noisysim.__file__).parent
    for folder in (package, Path(models.__path__[0])):
        for path in sorted(folder.rglob("*.py")):
            if word in (text := path.read_text()):
                yield path.relative_to(folder).as_posix(), ast.parse(text)


def documentation(tree):
    """The strings that stand alone: docstrings."""
    return {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}


def text_of(node):
    if isinstance(node, ast.Constant):
        return node.value if isinstance(node.value, str) else None
    if isinstance(node, ast.JoinedStr):
        return "".join(str(one.value) if isinstance(one, ast.Constant) else "{}" for one in node.values)
    return None


def texts(tree):
    """(text, whether `argument` is given it) of every string that is no docstring."""
    kept_out = documentation(tree)
    asked = {
        id(part) for node in ast.walk(tree) if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "argument"
        for part in ast.walk(node)
    }  # fmt: skip
    parts = {id(part) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in node.values}
    switches = {
        id(part) for node in ast.walk(tree) if isinstance(node, ast.Call)
        and getattr(node.func, "id", getattr(node.func, "attr", "")) in CHECKS for part in node.args
    }  # fmt: skip
    for node in ast.walk(tree):
        if id(node) not in kept_out | parts | switches and (text := text_of(node)):
            yield text, id(node) in asked


CHECKS = ("check_switch", "check", "check_form", "check_names")
"""Functions that write the argument that they are given the name of by `argument`."""


def test_no_message_names_an_argument_but_by_the_one_function():
    found = set()
    for path, tree in sources():
        for text, asked in texts(tree):
            if not asked and not path.startswith("papers/"):
                found |= {(path, f"{name}=") for _, name in SAID.findall(text)}
                found |= {(path, f"{function}.{name}") for function, name in OF_A_FUNCTION.findall(text)}
    assert found == set(EXEMPT)


def asked_for():
    """What `argument` is asked for in the package, with a value for what is filled in."""
    for path, tree in sources("argument("):
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "argument":
                text = text_of(node.args[0])
                if text and not text.startswith("{}"):
                    yield pytest.param(text.replace("{}", "7"), id=f"{path}:{node.lineno}")


@pytest.mark.parametrize("text", list(asked_for()))
def test_every_argument_of_a_message_is_a_flag_that_its_command_has(text):
    name = text.partition("=")[0].rpartition(".")[2]
    having = [command for command, found in FLAGS.items() if name in found]
    assert having or name in ("runs side by side",), f"no command has a flag for {name!r}"
    for command in having:
        with as_flags(FLAGS[command]):
            said = argument(text)
        flag, *values = shlex.split(said)
        assert flag in FLAGS[command][name]
        assert not re.search(r"=(True|False|None|\.\.\.)", said)
        assert all(value not in ("...", "x", "y") for value in values)
        app.parse_commands([*command.split(), flag])


# --- as the command line says them ------------------------------------------------------------------------------------


def test_a_message_is_the_same_in_python_whatever_command_was_before():
    with pytest.raises(ValueError, match=r"^run\.epochs must be"):
        noisysim.run(epochs=0)
    with as_flags(FLAGS["run"]), pytest.raises(ValueError, match=r"^--epochs must be"):
        noisysim.run(epochs=0)
    with as_flags(FLAGS["run"]), pytest.raises(ValueError, match=r"^crossbar\.adc_bits must be"):
        devices.get("crossbar:adc_bits=99")  # a setting of a part is written so on the command line too
    with as_flags(FLAGS["sweep"]), pytest.raises(ValueError, match=r"^run\.epochs must be"):
        noisysim.run(epochs=0)  # an argument that stands in a study file
