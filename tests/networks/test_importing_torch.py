"""PyTorch modules as networks, by PyTorch's own export."""

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
    """What is asked of a module."""

    training = True

    def eval(self):
        self.training = False
        return self

    def train(self, mode):
        self.training = mode


def stand_in(monkeypatch, proto, fails=False):
    """A package torch whose export writes this model, and what it was called with."""
    calls = []

    def export(module, inputs, file, *, opset_version, dynamo=True):
        calls.append((module.training, [one.shape for one in inputs], dynamo))
        if fails:
            raise RuntimeError("no export")
        file.write(proto.SerializeToString())

    torch = types.SimpleNamespace(onnx=types.SimpleNamespace(export=export))
    monkeypatch.setitem(sys.modules, "torch", torch)
    return calls


def test_one_sample_is_exported_as_for_inference(monkeypatch):
    g = Builder((1, 4, 4))
    proto = g.proto(g.dense(g.op("Flatten", g.op("Relu", g.conv("x", 2, 3))), 3))
    calls, module, x = stand_in(monkeypatch, proto), Module(), np.ones((5, 1, 4, 4), np.float32)
    network = networks.from_torch(module, x)
    assert calls == [(False, [(1, 1, 4, 4)], False)]
    assert module.training
    np.testing.assert_allclose(noisysim.Chip(network, "ideal").predict(x), answers(proto, x), rtol=1e-4, atol=1e-5)
    assert network.path is None


def test_a_module_is_as_before_when_its_export_fails(monkeypatch):
    stand_in(monkeypatch, None, fails=True)
    module = Module()
    with pytest.raises(RuntimeError, match="no export"):
        networks.from_torch(module, np.ones((1, 4), np.float32))
    assert module.training


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
