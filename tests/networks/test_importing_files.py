"""Files of models that are damaged, hostile or of another kind: one clear error, and nothing else is touched."""

import itertools
import os
import sys

import numpy as np
import pytest

import noisysim
from noisysim import networks
from noisysim.networks.importing import constants, translation, writing

onnx = pytest.importorskip("onnx", reason="models from elsewhere need the package onnx")
pytest.importorskip("onnxruntime", reason="the models are made with ONNX Runtime")

from onnx import TensorProto, helper, numpy_helper  # noqa: E402

from onnx_graphs import Builder, answers, read_from  # noqa: E402  # which imports onnx

KERNEL = 1
"""Which of its constants is the kernel."""


def valid():
    """A model with a convolution, constants of all kinds, and a dense layer."""
    g = Builder((1, 6, 6))
    x = g.op("Relu", g.conv("x", 3, 3))
    return g.proto(g.dense(g.op("Reshape", x, g.samples(x, -1)), 4))


def computed(op, *inputs, **settings):
    """A model that reshapes by what an operator computes of constants."""
    g = Builder((4,))
    proto = g.proto(g.dense("x", 3))
    names = [f"a{k}" for k in range(len(inputs))]
    arrays = zip(map(np.asarray, inputs), names, strict=True)
    proto.graph.initializer.extend(numpy_helper.from_array(array, name) for array, name in arrays)
    first = helper.make_node(op, names, ["large"], name="first", **settings)
    added = helper.make_node("Add", ["t1", "large"], ["sum"], name="second")
    proto.graph.node.extend([first, added])
    proto.graph.output[0].name = "sum"
    return proto


def changed(change, proto=None):
    """A valid model after a change."""
    proto = valid() if proto is None else proto
    change(proto.graph)
    return proto


def dims(*sizes):
    def change(graph):
        del graph.initializer[KERNEL].dims[:]
        graph.initializer[KERNEL].dims.extend(sizes)

    return change


def cycle(graph):
    graph.node[0].input[0] = graph.node[1].output[0]


def missing(graph):
    graph.node[1].input[0] = "nowhere"


def twice(graph):
    graph.node[1].output[0] = graph.node[0].output[0]


def same_constants(graph):
    graph.initializer[1].name = graph.initializer[0].name


def second_input(graph):
    graph.input.append(helper.make_tensor_value_info("z", TensorProto.FLOAT, [1, 2]))


def not_numbers(graph):
    array = np.full((3, 1, 3, 3), np.nan, np.float32)
    graph.initializer[KERNEL].CopyFrom(numpy_helper.from_array(array, graph.initializer[KERNEL].name))


def other_bias(graph):
    graph.initializer[0].CopyFrom(numpy_helper.from_array(np.zeros((3, 2), np.float32), graph.initializer[0].name))


def other_type(graph):
    graph.initializer[0].data_type = TensorProto.STRING


def custom(graph):
    graph.node[0].domain = "com.example"


def no_shape(graph):
    graph.input[0].type.tensor_type.ClearField("shape")


def open_sizes(graph):
    graph.input[0].type.tensor_type.shape.dim[2].dim_param = "height"


def one_axis(graph):
    del graph.input[0].type.tensor_type.shape.dim[1:]


def old(proto):
    proto.opset_import[0].version = 3
    return proto


def no_output():
    return changed(lambda graph: graph.ClearField("output"))


def two_outputs():
    return changed(lambda graph: graph.output.append(graph.output[0]))


def deep(count=5000):
    """A model with as many functions one after the other."""
    g = Builder((4,))
    proto = g.proto(g.dense("x", 3))
    names = [proto.graph.output[0].name, *(f"d{k}" for k in range(count))]
    for before, after in itertools.pairwise(names):
        proto.graph.node.append(helper.make_node("Tanh", [before], [after]))
    proto.graph.output[0].name = names[-1]
    return proto


def operator(op, **settings):
    """A model that ends in some operator."""
    g = Builder((2, 4, 4))
    proto = g.proto(g.conv("x", 3, 3))
    proto.graph.node.append(helper.make_node(op, [proto.graph.output[0].name], ["end"], name="last", **settings))
    proto.graph.output[0].name = "end"
    return proto


def ended(graph, op, *names):
    """Another last operator, of the output there was and of others."""
    graph.node.append(helper.make_node("Tanh", [graph.output[0].name], ["bent"]))
    graph.node.append(helper.make_node(op, ["bent", *names], ["end"], name="last"))
    graph.output[0].name = "end"


def many(count):
    """Numbers that are made one set after the other, and all needed at the end."""
    proto = computed("ConstantOfShape", np.array([2**24]))
    nodes = proto.graph.node
    total = nodes.pop()
    first = nodes.pop()
    for k in range(count):
        nodes.append(helper.make_node("ConstantOfShape", first.input, [f"large{k}"]))
    nodes.append(helper.make_node("Sum", [f"large{k}" for k in range(count)], ["all"]))
    total.input[1] = "all"
    nodes.append(total)
    return proto


def without_inputs(op, *names):
    """A model whose last operator has other inputs than it needs."""
    proto = operator(op)
    del proto.graph.node[-1].input[:]
    proto.graph.node[-1].input.extend(names)
    return proto


def of_type(kind):
    """A model whose input is of another type."""

    def change(graph):
        graph.input[0].type.tensor_type.elem_type = kind

    return changed(change)


def enlarged(op, *, kernel=(3, 1, 2, 2), **settings):
    """A model that ends in a convolution whose settings make it large."""
    return with_constants(op, np.ones(kernel, np.float32), **settings)


def with_constants(op, *arrays, **settings):
    """A model that ends in some operator, with constants beside its tensor."""
    proto = operator(op, **settings)
    names = [f"a{k}" for k in range(len(arrays))]
    proto.graph.initializer.extend(map(numpy_helper.from_array, arrays, names))
    proto.graph.node[-1].input.extend(names)
    return proto


FAR = 2**40
NONE, LONG = np.zeros(0, np.float32), np.zeros((2**22, 1, 1, 1), np.float32)
CASES = {
    "many constants": (many(33), "more than 536870912 numbers follow"),
    "huge Greater": (computed("Greater", np.zeros((2**20, 1)), np.zeros((1, 2**20))), "at most"),
    "huge MatMuls": (computed("MatMul", np.zeros((2**10, 1)), np.zeros((2**10, 1, 2**10))), "at most"),
    "a huge sum": (with_constants("Add", LONG), "'last' (Add): it gives a tensor"),
    "zeros between all pixels": (enlarged("ConvTranspose", strides=[5000, 5000]), "at most"),
    "a huge result": (enlarged("ConvTranspose", output_shape=[9000, 9000]), "at most"),
    "a stride above the kernel's span": (
        enlarged("ConvTranspose", strides=[3, 3], auto_pad="SAME_UPPER"),
        "'last' (ConvTranspose): auto_pad=SAME_UPPER with strides (3, 3) above the kernel's span (2, 2)",
    ),
    "wide margins": (enlarged("Conv", kernel=(3, 3, 2, 2), pads=[9000] * 4), "at most"),
    "no inputs": (without_inputs("Relu"), "'last' (Relu) has the inputs none: it needs 1"),
    "too few inputs": (without_inputs("MatMul", "x"), "'last' (MatMul) has the inputs 'x': it needs 2"),
    "an input left out": (without_inputs("Add", "", "x"), "it needs 2"),
    "too many inputs": (without_inputs("Clip", "x", "", "", ""), "it needs 1 to 3"),
    "too few inputs of any number": (without_inputs("Concat"), "it needs 1 or more"),
    "texts as input": (of_type(TensorProto.STRING), "its input 'x' is of a type that is not read"),
    "padding by another name": (
        enlarged("Conv", kernel=(3, 3, 2, 2), auto_pad="SAME"),
        "auto_pad is one of NOTSET, VA",
    ),
    "an operator that is no name": (operator("Foo\n\x1b[31m"), r"'last' ('Foo\n\x1b[31m') is not supported"),
    "a condition of the input": (with_constants("Where", np.ones(4, np.float32), np.zeros(4, np.float32)), "condition"),
    "local response normalisation": (operator("LRN", size=3), "without local response normalisation"),
    "dims that do not fit": (changed(dims(3, 1, 3, 4)), "holds 27 numbers"),
    "negative dims": (changed(dims(-3, -1, 3, 3)), "has the shape"),
    "huge dims": (changed(dims(FAR, FAR)), "at most"),
    "a cycle": (changed(cycle), "cycle"),
    "a missing input": (changed(missing), "nowhere"),
    "a name twice": (changed(twice), "names must differ"),
    "constants of one name": (changed(same_constants), "two of its constants"),
    "two inputs": (changed(second_input), "2 inputs"),
    "two outputs": (two_outputs(), "output="),
    "no output": (no_output(), "no graph with an output"),
    "a bias of another shape": (changed(other_bias), "bias"),
    "weights that are no numbers": (changed(not_numbers), "NaN"),
    "texts for weights": (changed(other_type), "type"),
    "an operator of others": (changed(custom), "only ONNX's own"),
    "an input without shape": (changed(no_shape), "has no shape"),
    "an input of open size": (changed(open_sizes), "input_shape="),
    "an input of one axis": (changed(one_axis), "samples"),
    "an old version": (old(valid()), "version 3"),
    "too deep": (deep(), "it has 5001 operators that depend on its input, at most 4000 are read"),
    "a long product": (
        computed("MatMul", np.zeros((2**11, 2**12), np.float32), np.zeros((2**12, 2**11), np.float32)),
        "first' (MatMul) cannot be computed: all that follows from constants takes more than 2147483648 steps",
    ),
    "LogSoftmax": (operator("LogSoftmax"), "output='t1'"),
    "ArgMax": (operator("ArgMax"), "'last' (ArgMax) is not supported: classes are chosen from what comes before it"),
    "Celu of 0": (operator("Celu", alpha=0.0), "'last' (Celu): alpha=0.0 is not above 0"),
    "an exponent of 0": (with_constants("Pow", np.float32(0)), "'last' (Pow): it has no whole exponent"),
    "bounds without an end": (with_constants("Max", np.full((3, 1, 1), -np.inf, np.float32)), "not finite"),
    "padding by infinity": (with_constants("Pad", np.ones(8, np.int64), np.float32(-np.inf)), "padding by -inf"),
    "padding that leaves nothing": (with_constants("Pad", np.full(8, -9), np.float32(0)), "leave nothing"),
    "a bound that is computed": (
        changed(lambda graph: ended(graph, "Clip", graph.node[0].output[0])),
        "(Clip): its input 2 must be a constant",
    ),
    "a slope that is a text": (operator("HardSigmoid", alpha="steep"), "'last' (HardSigmoid): could not convert"),
    "padding of other axes": (with_constants("Pad", np.ones(6, np.int64), np.float32(0)), "do not fit the axes"),
    "padding without end": (with_constants("Pad", np.full(8, FAR), np.float32(0)), "at most"),
    "matrices that do not fit": (with_constants("MatMul", np.ones((3, 5, 2), np.float32)), "constant matrices of"),
    "If": (operator("If"), "control flow"),
    "quantised": (operator("DequantizeLinear"), "float32"),
    "an unknown operator": (operator("Det"), "'last' (Det) is not supported"),
    "a division by zero": (computed("Div", np.float32(1), np.float32(0)), "not finite"),
    "huge ConstantOfShape": (computed("ConstantOfShape", np.array([FAR, FAR])), "at most"),
    "huge Range": (computed("Range", np.array(0), np.array(FAR), np.array(1)), "at most"),
    "endless Range": (computed("Range", np.array(0), np.array(FAR), np.array(0)), "first"),
    "huge Expand": (computed("Expand", np.zeros(1, np.float32), np.array([FAR, FAR])), "too large"),
    "huge Tile": (computed("Tile", np.zeros(1, np.float32), np.array([FAR])), "at most"),
    "huge Pad": (computed("Pad", np.zeros(1, np.float32), np.array([FAR, FAR])), "at most"),
    "huge MatMul": (computed("MatMul", np.zeros((2**20, 1)), np.zeros((1, 2**20))), "at most"),
    "huge Add": (computed("Add", np.zeros((2**20, 1)), np.zeros((1, 2**20))), "at most"),
    "huge Gather": (computed("Gather", np.zeros((1, 2**14)), np.zeros(2**14, np.int64)), "at most"),
    "wild Gather": (computed("Gather", np.zeros(3), np.array([7])), "first"),
    "a huge Resize": (with_constants("Resize", NONE, np.array([1, 1, 1e6, 1e6], np.float32)), "at most"),
    "a window of nothing": (operator("MaxPool", kernel_shape=[9, 9]), "does not fit"),
    "a stride of 0": (operator("MaxPool", kernel_shape=[1, 1], strides=[0, 1]), "strides"),
    "settings of another kind": (operator("MaxPool", kernel_shape="wide"), "last"),
    "an axis that is not there": (operator("Softmax", axis=9), "axis 9"),
}


def refusal(path, **settings):
    """What loading a file says; one line that names it."""
    with pytest.raises(ValueError, match=r"model\.onnx") as refused:
        networks.load(path, **settings)
    text = str(refused.value)
    assert "\n" not in text
    assert len(text) < 600
    return text


@pytest.mark.parametrize("name", CASES)
def test_what_is_no_network_gives_one_clear_error(tmp_path, name):
    proto, part = CASES[name]
    path = tmp_path / "model.onnx"
    path.write_bytes(proto.SerializeToString())
    assert part in refusal(path)


def test_a_network_may_be_deeper_than_the_stack_of_python(tmp_path):
    onnx.save(deep(sys.getrecursionlimit() + 100), tmp_path / "model.onnx")
    network = networks.load(tmp_path / "model.onnx")
    assert len(network.layers) > sys.getrecursionlimit() + 100
    assert len(network.architecture.due[-1]) == sys.getrecursionlimit() + 100


@pytest.mark.parametrize(
    ("part", "name", "most", "said"),
    [
        (constants, "MOST_STEPS", 30, "'first' (Add) cannot be computed: all that follows from constants takes more"),
        (translation, "MOST_TOGETHER", 100, "(Mul): its tensors and those before have more than 100 values"),
        (writing, "MOST_PLACES", 60, "(Mul): it has gains and offsets of more than 60 values"),
    ],
)
def test_work_is_refused_before_it_is_done(tmp_path, monkeypatch, part, name, most, said):
    """Many operators, each of which is small enough."""
    g = Builder((40,))
    x = g.op("Add", "x", g.op("Add", np.ones(40, np.float32), np.ones(1, np.float32)))
    proto = g.proto(g.dense(g.op("Relu", g.op("Mul", g.op("Relu", x), g.weight(40))), 2))
    proto.graph.node[0].name = "first"
    onnx.save(proto, tmp_path / "model.onnx")
    networks.load(tmp_path / "model.onnx")
    monkeypatch.setattr(part, name, most)
    assert said in refusal(tmp_path / "model.onnx")


def test_truncated_files_are_refused(tmp_path):
    whole, path = valid().SerializeToString(), tmp_path / "model.onnx"
    for length in range(0, len(whole), 23):
        path.write_bytes(whole[:length])
        refusal(path)


def test_files_with_flipped_bits_are_refused_or_read(tmp_path):
    whole, path, rng = valid().SerializeToString(), tmp_path / "model.onnx", np.random.default_rng(0)
    refused = 0
    for _ in range(300):
        damaged = bytearray(whole)
        for at in rng.integers(len(whole), size=rng.integers(1, 4)):
            damaged[at] ^= 1 << int(rng.integers(8))
        path.write_bytes(damaged)
        refused += not loads(path)
    assert 50 < refused < 300


def loads(path):
    """Whether a file is read; if it is not, one clear error says so."""
    try:
        networks.load(path)
    except ValueError:
        refusal(path)
        return False
    return True


def test_what_is_no_onnx_file_is_refused(tmp_path):
    path = tmp_path / "model.onnx"
    for content in (b"", b"PK\x03\x04", b"\x89HDF\r\n\x1a\n" + bytes(100), os.urandom(1000)):
        path.write_bytes(content)
        refusal(path)
    with pytest.raises(FileNotFoundError, match=r"none\.onnx"):
        networks.load(tmp_path / "none.onnx")


def test_settings_that_do_not_fit_are_refused(tmp_path):
    path = tmp_path / "model.onnx"
    path.write_bytes(changed(open_sizes).SerializeToString())
    assert networks.load(path, input_shape=(1, 6, 6)).input_shape == (1, 6, 6)
    for shape in [(1, 6), (2, 6, 6), (1, 6, -6)]:
        assert "input_shape=" in refusal(path, input_shape=shape)
    assert "did you mean" in refusal(path, input_shape=(1, 6, 6), output="t1x")
    with pytest.raises(TypeError, match="fold_batch_norm"):
        networks.load(path, fold_batch_norm="yes")


# --- constants beside the file --------------------------------------------------------------------------------------


def external(folder, **settings):
    """A model whose kernel is in another file; and that constant's bytes."""
    proto = valid()
    tensor = proto.graph.initializer[KERNEL]
    raw = tensor.raw_data
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in {"location": "weights.bin", **settings}.items():
        tensor.external_data.add(key=key, value=str(value))
    path = folder / "model" / "model.onnx"
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(proto.SerializeToString())
    return path, raw


def test_constants_may_be_beside_the_file(tmp_path):
    path, raw = external(tmp_path, location="sub/weights.bin", offset=4, length=108)
    (path.parent / "sub").mkdir()
    (path.parent / "sub" / "weights.bin").write_bytes(b"skip" + raw)
    expected = numpy_helper.to_array(valid().graph.initializer[KERNEL])
    np.testing.assert_array_equal(networks.load(path).weights()["0.weight"], expected)


@pytest.mark.parametrize(
    "settings",
    [
        {"location": "../weights.bin"}, {"location": "sub/../../weights.bin"}, {"location": ""},
        {"location": "link.bin"}, {"location": "outside/weights.bin"}, {"location": "missing.bin"}, {"location": "."},
        {"offset": -4}, {"offset": 100}, {"offset": "x"}, {"length": 4}, {"length": FAR}, {"location": "a\0b"},
    ],
    ids=str,
)  # fmt: skip
def test_constants_elsewhere_are_refused(tmp_path, settings):
    path, raw = external(tmp_path, **settings)
    for place in (tmp_path / "weights.bin", path.parent / "weights.bin"):
        place.write_bytes(raw)
    (path.parent / "link.bin").symlink_to(tmp_path / "weights.bin")
    (path.parent / "outside").symlink_to(tmp_path)
    refusal(path)


def test_an_absolute_path_is_refused(tmp_path):
    path, raw = external(tmp_path, location=tmp_path / "model" / "weights.bin")
    (path.parent / "weights.bin").write_bytes(raw)
    assert "no file in the model's folder" in refusal(path)


_WATCHED = []
_EVENTS = []


def _watch(event, arguments):
    if _WATCHED and event.split(".")[0] in ("open", "exec", "compile", "subprocess", "os", "socket", "import"):
        _EVENTS.append((event, str(arguments[0]) if arguments else ""))


def test_nothing_but_the_file_is_opened_and_nothing_executed(tmp_path):
    path = tmp_path / "model.onnx"
    path.write_bytes(valid().SerializeToString())
    networks.load(path)  # imports what it needs
    sys.addaudithook(_watch)
    _WATCHED.append(True)
    try:
        networks.load(path)
    finally:
        _WATCHED.clear()
    assert {argument for event, argument in _EVENTS if event == "open"} == {str(path)}
    assert {event for event, _ in _EVENTS} <= {"open", "os.getcwd"}


def test_a_model_for_many_samples_says_what_would_help(tmp_path):
    """One whose shapes count samples; of others their number does not matter."""
    g = Builder((2, 3))
    proto = g.proto(g.dense(g.op("Flatten", "x"), 4))
    proto.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 64
    assert read_from(tmp_path / "any.onnx", proto).n_out == 4
    proto.graph.node[0].op_type = "Reshape"
    proto.graph.node[0].input.append("sizes")
    proto.graph.initializer.append(numpy_helper.from_array(np.array([64, 6]), "sizes"))
    with pytest.raises(
        ValueError, match=r"cannot be computed: .*; if the first axis of its input, 64, is that of samples"
    ):
        read_from(tmp_path / "many.onnx", proto)


# --- models of scikit-learn -------------------------------------------------------------------------------------------


def classifier():
    """As scikit-learn's are written: values scaled, probabilities, and labels by operators of another set."""
    g = Builder((3,))
    before = g.dense(g.op("Relu", g.dense("x", 4)), 2)
    last = g.op("Softmax", before, axis=-1)
    proto, another = g.proto(last), {"domain": "ai.onnx.ml"}
    first = helper.make_node("Scaler", ["x"], ["scaled"], offset=[1.0, -2.0, 0.5], scale=[2.0, 0.5, 4.0], **another)
    nodes = list(proto.graph.node)
    nodes[0].input[0] = "scaled"
    best = helper.make_node("ArgMax", [last], ["best"], axis=1, keepdims=0)
    label = helper.make_node("ArrayFeatureExtractor", ["kinds", "best"], ["label"], name="take", **another)
    del proto.graph.node[:]
    proto.graph.node.extend([first, *nodes, best, label])
    proto.graph.initializer.append(helper.make_tensor("kinds", TensorProto.STRING, [1, 2], [b"cat", b"dog"]))
    proto.graph.output.insert(0, helper.make_tensor_value_info("label", TensorProto.STRING, None))
    proto.opset_import.append(helper.make_opsetid("ai.onnx.ml", 1))
    return proto, before, last


def test_nothing_is_asked_of_what_an_output_does_not_need(tmp_path):
    """Probabilities and what comes before them are read, whatever gives the labels; labels are refused."""
    proto, before, last = classifier()
    with pytest.raises(ValueError, match=f"it has 2 outputs, choose one by output=: 'label', '{last}'"):
        read_from(tmp_path / "two.onnx", proto)
    with pytest.raises(ValueError, match="constant 'kinds' is of a type that is not read"):
        read_from(tmp_path / "label.onnx", proto, output="label")
    x = np.random.default_rng(0).standard_normal((5, 3)).astype(np.float32)
    del proto.graph.output[0]
    for output in (last, before):
        network = read_from(tmp_path / "one.onnx", proto, output=output)
        proto.graph.output[0].name = output
        np.testing.assert_allclose(
            noisysim.Chip(network, "ideal").predict(x), answers(proto, x), rtol=1e-4, atol=1e-5
        )  # fmt: skip
