"""Activation functions of hidden layers, and their derivatives, each of one pre-activation."""

import numpy as np

_ONE, _ZERO, _SLOPE = np.float32(1.0), np.float32(0.0), np.float32(0.01)


def leaky_relu(a):
    """a where positive, else 0.01 a."""
    return a if a > _ZERO else _SLOPE * a


def leaky_relu_slope(a):
    """Derivative of `leaky_relu`."""
    return _ONE if a > _ZERO else _SLOPE


def relu(a):
    """a where positive, else 0."""
    return a if a > _ZERO else _ZERO


def relu_slope(a):
    """Derivative of `relu`."""
    return _ONE if a > _ZERO else _ZERO


def tanh(a):
    """Hyperbolic tangent."""
    return np.tanh(a)


def tanh_slope(a):
    """Derivative of `tanh`."""
    t = np.tanh(a)
    return _ONE - t * t


def sigmoid(a):
    """Logistic function 1 / (1 + exp(-a))."""
    return _ONE / (_ONE + np.exp(-a))


def sigmoid_slope(a):
    """Derivative of `sigmoid`."""
    s = _ONE / (_ONE + np.exp(-a))
    return s * (_ONE - s)


def linear(a):
    """a itself."""
    return a


def linear_slope(a):
    """Derivative of `linear`: 1."""
    return _ONE


ACTIVATIONS = {
    "leaky_relu": (leaky_relu, leaky_relu_slope),
    "relu": (relu, relu_slope),
    "tanh": (tanh, tanh_slope),
    "sigmoid": (sigmoid, sigmoid_slope),
    "linear": (linear, linear_slope),
}
