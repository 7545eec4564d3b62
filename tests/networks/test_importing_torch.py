"""PyTorch modules as networks, by PyTorch's own export."""

import contextlib
import sys
import types

import numpy as np
import pytest

import noisysim
from noisysim import networks

onnx = pytest.importorskip("onnx", reason="models from elsewhere need the package onnx")
pytest.importorskip("onnxruntime", reason="the models are made with ONNX Runtime")

from onnx_graphs import Builder, answers  # noqa: E402  # which imports onnx


def modules(torch):
    """Modules as people have them, and the shape of a sample of each."""
    nn = torch.nn

    class Recurrent(nn.Module):
        """The last output of a recurrent layer, or the last one of each direction."""

        def __init__(self, kind, layers, both):
            super().__init__()
            self.body = kind(8, 6, num_layers=layers, bidirectional=both, batch_first=True)
            self.head, self.both = nn.Linear(12 if both else 6, 4), both

        def forward(self, x):
            outputs, last = self.body(x)
            return self.head(outputs[:, -1] if self.both else last[-1])

    convolutions = nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4), nn.SiLU(), nn.AvgPool2d(2), nn.Flatten(), nn.Dropout(0.5),
        nn.Linear(64, 16), nn.LayerNorm(16), nn.GELU(), nn.Linear(16, 5),
    )  # fmt: skip

    class Words(nn.Module):
        """Embedded words, and the mean of what a recurrent layer makes of them."""

        def __init__(self):
            super().__init__()
            self.table, self.body, self.head = nn.Embedding(9, 4), nn.GRU(4, 6, batch_first=True), nn.Linear(6, 3)

        def forward(self, x):
            return self.head(self.body(self.table(x))[0].mean(1))

    encoder = nn.TransformerEncoder(nn.TransformerEncoderLayer(8, 2, 16, batch_first=True), 1)
    return {
        "convolutions": (convolutions, (1, 8, 8)),
        "GRU": (Recurrent(nn.GRU, 2, False), (5, 8)),
        "RNN": (Recurrent(nn.RNN, 1, True), (5, 8)),
        "LSTM": (nn.Sequential(nn.Flatten(2), Recurrent(nn.LSTM, 2, True)), (5, 4, 2)),
        "words": (Words(), (5,)),
        "transformer": (nn.Sequential(encoder, nn.Flatten(), nn.Linear(40, 3)), (5, 8)),
    }


@pytest.mark.filterwarnings("ignore")  # of PyTorch's export
@pytest.mark.parametrize("name", ["convolutions", "GRU", "RNN", "LSTM", "words", "transformer"])
def test_modules_do_what_they_did(name):
    torch = pytest.importorskip("torch", reason="modules are PyTorch's")
    torch.manual_seed(0)
    module, shape = modules(torch)[name]
    x = torch.randint(0, 9, (3, *shape)) if name == "words" else torch.randn(3, *shape)
    module(x)  # running statistics
    network = networks.from_torch(module, x)
    assert module.training
    expected = module.eval()(x).detach().numpy()
    found = noisysim.Chip(network, "ideal").predict(x.numpy().reshape(3, -1))
    np.testing.assert_allclose(found, expected, atol=1e-4 * np.abs(expected).max())


class Module:
    """What is asked of a module, and of its parts."""

    def __init__(self, *parts, training=True):
        self.parts, self.training = parts, training

    def modules(self):
        return [self, *self.parts]

    def eval(self):
        for part in self.modules():
            part.training = False
        return self


def stand_in(monkeypatch, proto, fails=()):
    """A package torch whose exports write this model, but for those that fail, and what they were called with."""
    calls = []

    def export(module, inputs, file=None, *, opset_version, dynamo=True, **more):
        calls.append(([part.training for part in module.modules()], [one.shape for one in inputs], dynamo, more))
        if dynamo in fails:
            raise RuntimeError(f"no export, dynamo={dynamo}")
        if file is None:
            return types.SimpleNamespace(model_proto=proto)
        file.write(proto.SerializeToString())
        return None

    modes = types.SimpleNamespace(PRESERVE="as it is")
    onnx = types.SimpleNamespace(export=export, TrainingMode=modes)
    torch = types.SimpleNamespace(onnx=onnx, nn=types.SimpleNamespace(Module=Module), Tensor=np.ndarray)
    monkeypatch.setitem(sys.modules, "torch", torch)
    return calls


def test_one_sample_is_exported_as_for_inference(monkeypatch):
    g = Builder((1, 4, 4))
    proto = g.proto(g.dense(g.op("Flatten", g.op("Relu", g.conv("x", 2, 3))), 3))
    calls, module, x = stand_in(monkeypatch, proto), Module(), np.ones((5, 1, 4, 4), np.float32)
    network = networks.from_torch(module, x)
    assert calls == [([False], [(1, 1, 4, 4)], False, {})]
    np.testing.assert_allclose(noisysim.Chip(network, "ideal").predict(x), answers(proto, x), rtol=1e-4, atol=1e-5)
    assert network.path is None


@pytest.mark.parametrize("fails", [(), (False, True)], ids=["exported", "not exported"])
@pytest.mark.parametrize("training", [True, False])
def test_each_part_of_a_module_is_afterwards_as_before(monkeypatch, training, fails):
    """Such as batch normalisation that is not trained in a module that is."""
    g = Builder((4,))
    stand_in(monkeypatch, g.proto(g.dense("x", 3)), fails)
    module = Module(Module(training=not training), Module(training=training), training=training)
    with pytest.raises(RuntimeError, match="no export, dynamo=False") if fails else contextlib.nullcontext():
        networks.from_torch(module, np.ones((1, 4), np.float32))
    assert [part.training for part in module.modules()] == [training, not training, training]


def test_the_other_exporter_writes_what_the_first_cannot(monkeypatch):
    g = Builder((4,))
    proto = g.proto(g.dense("x", 3))
    calls, x = stand_in(monkeypatch, proto, fails=(False,)), np.ones((1, 4), np.float32)
    network = networks.from_torch(Module(), x)
    assert [dynamo for _, _, dynamo, _ in calls] == [False, True]
    np.testing.assert_allclose(noisysim.Chip(network, "ideal").predict(x), answers(proto, x), rtol=1e-4, atol=1e-5)


def test_batch_normalisation_is_left_to_the_reader(monkeypatch):
    """PyTorch folds it by itself, so that none would be there to be kept."""
    g = Builder((2, 5, 5))
    proto = g.proto(g.dense(g.op("Flatten", g.op("Relu", g.norm(g.conv("x", 3, 3)))), 2))
    calls, x = stand_in(monkeypatch, proto), np.ones((1, 2, 5, 5), np.float32)
    network = networks.from_torch(Module(), x, fold_batch_norm=False)
    assert calls[0][-1] == {"training": "as it is", "do_constant_folding": False}
    assert "batch_norm(learned=True)" in map(str, network.layers)


@pytest.mark.filterwarnings("ignore")  # of PyTorch's export
def test_batch_normalisation_is_kept_of_modules():
    torch = pytest.importorskip("torch", reason="modules are PyTorch's")
    module, shape = modules(torch)["convolutions"]
    network = networks.from_torch(module, torch.randn(1, *shape), fold_batch_norm=False)
    assert "batch_norm(learned=True)" in map(str, network.layers)


@pytest.mark.parametrize("module", [abs, {"weight": 1}], ids=["function", "weights"])
def test_what_is_no_module_or_no_tensor_is_refused(monkeypatch, module):
    stand_in(monkeypatch, None)
    with pytest.raises(TypeError, match=r"module must be a torch\.nn\.Module, not"):
        networks.from_torch(module, np.ones((1, 4), np.float32))
    with pytest.raises(TypeError, match=r"example_input must be a torch\.Tensor, samples first, not .*list"):
        networks.from_torch(Module(), [1.0, 2.0])


def test_errors_name_the_module(monkeypatch):
    g = Builder((4,))
    stand_in(monkeypatch, g.proto(g.op("Det", g.op("Reshape", g.dense("x", 4), np.array([-1, 2, 2])))))
    with pytest.raises(ValueError, match=r"Module: node 'det_2' \(Det\) is not supported"):
        networks.from_torch(Module(), np.ones((1, 4), np.float32))


def test_packages_that_are_missing_are_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(ImportError, match="pip install torch"):
        networks.from_torch(Module(), np.ones((1, 4), np.float32))
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(ImportError, match=r"pip install 'noisysim\[onnx\]'"):
        networks.load("model.onnx")
