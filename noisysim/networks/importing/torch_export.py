"""PyTorch's own export of a module to ONNX."""

from __future__ import annotations

import importlib
import inspect
import io
from typing import Any

from noisysim.common.fields import shown


def exported(module: Any, example_input: Any, fold_batch_norm: bool) -> bytes:
    """An ONNX model of a module as it is used, not trained.

    Parameters
    ----------
    module : torch.nn.Module
        What is trained of it, and what is not, is afterwards as it was before, in each of its parts.
    example_input : torch.Tensor
        Samples first.
    fold_batch_norm : bool
        Whether PyTorch may fold batch normalisation into the weights before it, as its export does by itself.

    Raises
    ------
    ImportError
        Without PyTorch.
    TypeError
        For anything else than a module and a tensor.
    Exception
        Of PyTorch's, if it cannot export the module.
    """
    try:
        torch = importlib.import_module("torch")
    except ImportError:
        raise ImportError("a PyTorch module needs PyTorch: pip install torch, or export it and load the file") from None
    for what, value, kind, words in (
        ("module", module, torch.nn.Module, "torch.nn.Module"),
        ("example_input", example_input, torch.Tensor, "torch.Tensor, samples first"),
    ):
        if not isinstance(value, kind):
            raise TypeError(f"{what} must be a {words}, not {shown(value)} ({type(value).__name__})")
    modes = [(part, part.training) for part in module.modules()]  # `train` would give all parts one mode
    try:
        return _written(torch.onnx, module.eval(), example_input[:1], fold_batch_norm)
    finally:
        for part, mode in modes:
            part.training = mode


def _written(onnx: Any, module: Any, sample: Any, fold_batch_norm: bool) -> bytes:
    """By the exporter that traces, which writes fewer operators, and by the other where that one fails."""
    known = inspect.signature(onnx.export).parameters
    kept = {} if fold_batch_norm else {"training": onnx.TrainingMode.PRESERVE, "do_constant_folding": False}
    buffer = io.BytesIO()
    try:
        onnx.export(module, (sample,), buffer, opset_version=17, **_of(known, dynamo=False), **kept)
    except Exception as error:
        if "dynamo" not in known:
            raise
        try:
            settings = _of(known, dynamo=True, verbose=False, optimize=fold_batch_norm)
            program = onnx.export(module, (sample,), opset_version=18, **settings)
            return bytes(program.model_proto.SerializeToString())
        except Exception:  # such as without the packages that it needs
            raise error from None
    return buffer.getvalue()


def _of(known: Any, **settings: Any) -> dict[str, Any]:
    """The settings that this version of PyTorch knows."""
    return {name: value for name, value in settings.items() if name in known}
