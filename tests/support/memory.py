"""What objects lead to, and which arrays share memory."""

import gc
import types
import weakref

import numpy as np


def is_gone(value):
    """Whether it is a weak proxy of something that was freed."""
    try:
        return type(value) in weakref.ProxyTypes and value.__class__ is None
    except ReferenceError:
        return True


def reachable(*roots):
    """Everything that objects lead to: attributes, items, closures, bases of views. Not classes, modules, globals."""
    seen, stack = {}, list(roots)
    while stack:
        value = stack.pop()
        if id(value) in seen or is_gone(value) or isinstance(value, (type, types.ModuleType, types.CodeType)):
            continue
        seen[id(value)] = value
        if isinstance(value, np.ndarray):
            stack.append(value.base)
        elif isinstance(value, types.FunctionType):
            stack += [*(value.__closure__ or ()), *(value.__defaults__ or ()), *(value.__kwdefaults__ or {}).values()]
        else:
            stack += gc.get_referents(value)
    return list(seen.values())


def arrays(values):
    return [v for v in values if isinstance(v, np.ndarray) and v.size]


def sharing(some, others):
    return [(a.shape, b.shape) for a in some for b in others if np.may_share_memory(a, b)]
