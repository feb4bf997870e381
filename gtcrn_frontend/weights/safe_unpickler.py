"""Reads the pickle in a file written by `torch.save` as plain data, without executing it.

Python's unpickler calls whatever a pickle names. Even with an allow-list of names, a malicious file can crash the
process: dictionary keys are hashed in C, and hashing a tuple nested a million times overflows the stack. This
interpreter supports only the opcodes that torch's files use; it imports and calls nothing, and returns tensors as
descriptions.
"""

from __future__ import annotations

import pickletools
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from gtcrn_frontend.errors import ModelError


@dataclass(frozen=True, eq=False)
class Storage:
    """`count` values in the archive's member `data/<key>`; kind is torch's name for them, such as `FloatStorage`."""

    kind: str
    key: str
    count: int


@dataclass(frozen=True, eq=False)
class Tensor:
    """A view of a storage; offset and strides in values, none of them negative."""

    storage: Storage
    offset: int
    size: tuple[int, ...]
    stride: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Opaque:
    """An object that people save beside their weights, such as a NumPy scalar; its content is not read."""

    kind: str


@dataclass(frozen=True, eq=False)
class _Name:
    """A name that the pickle would import, as a placeholder."""

    name: str


_STORAGES = tuple(
    f"torch.{kind}Storage"
    for kind in ("Float", "Double", "Half", "BFloat16", "Long", "Int", "Short", "Char", "Byte", "Bool")
)
# Of NumPy 1 and 2; `_codecs.encode` makes the bytes of a scalar.
_OPAQUE = (
    *("torch.Size", "torch.device", "numpy.dtype", "numpy.ndarray", "_codecs.encode"),
    *(f"numpy.{core}.multiarray.{name}" for core in ("core", "_core") for name in ("scalar", "_reconstruct")),
)
_ALLOWED = (
    *_OPAQUE,
    "collections.OrderedDict",
    "torch._utils._rebuild_tensor_v2",
    "torch._utils._rebuild_parameter",
    *_STORAGES,
)

_MARK = object()
_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False, "EMPTY_TUPLE": (), "MARK": _MARK}
_LITERALS = {
    *("BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT"),
    *("BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8", "BINBYTES", "SHORT_BINBYTES"),
}
_TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}
_MAX_DIMENSIONS = 64  # numpy's own limit
_MAX_INT = 1 << 62
_MAX_OPCODES = 1 << 19  # a parameter takes about 30, with an optimizer's state 100


def read_pickle(data: bytes) -> object:
    """Returns the pickled object: scalars, tuples, lists and dictionaries, with `Tensor` in place of tensors.

    Raises:
        ModelError: the pickle is damaged, or contains anything else.
    """
    stack: list[Any] = []
    memo: dict[int, Any] = {}
    try:
        for count, (opcode, argument, _) in enumerate(pickletools.genops(data)):
            if opcode.name == "STOP":
                break
            if count >= _MAX_OPCODES:
                raise ModelError(f"refused: expected at most {_MAX_OPCODES} pickle opcodes in a checkpoint, got more")
            _step(opcode.name, argument, stack, memo)
        return stack[-1]
    except (ValueError, LookupError) as error:  # from genops; from a stack or memo that lacks an operand
        raise ModelError(f"damaged checkpoint: its pickle is truncated ({error})") from error


def _step(opcode: str, argument: Any, stack: list[Any], memo: dict[int, Any]) -> None:
    match opcode:
        case "PROTO" | "FRAME":
            pass
        case "EMPTY_LIST":
            stack.append([])
        case "EMPTY_DICT":
            stack.append({})
        case "TUPLE":
            stack.append(tuple(_pop_to_mark(stack)))
        case "TUPLE1" | "TUPLE2" | "TUPLE3":
            stack.append(tuple(reversed([stack.pop() for _ in range(_TUPLES[opcode])])))
        case "APPEND":
            item = stack.pop()
            _top(stack, list).append(item)
        case "APPENDS":
            items = _pop_to_mark(stack)
            _top(stack, list).extend(items)
        case "SETITEM":
            value, key = stack.pop(), stack.pop()
            _set_items(_top(stack, dict), [key], [value])
        case "SETITEMS":
            items = _pop_to_mark(stack)
            _set_items(_top(stack, dict), items[::2], items[1::2])
        case "BINPUT" | "LONG_BINPUT":
            memo[argument] = stack[-1]
        case "MEMOIZE":
            memo[len(memo)] = stack[-1]
        case "BINGET" | "LONG_BINGET":
            stack.append(memo[argument])
        case "GLOBAL":
            stack.append(_name(*argument.split(" ", 1)))
        case "STACK_GLOBAL":
            name, module = stack.pop(), stack.pop()
            stack.append(_name(module, name))
        case "BINPERSID":
            stack.append(_storage(stack.pop()))
        case "REDUCE":
            arguments, function = stack.pop(), stack.pop()
            stack.append(_call(function, arguments))
        case "BUILD":  # attributes of an ordered dictionary, where torch stores module versions
            stack.pop()
            if not isinstance(stack[-1], Opaque):
                _top(stack, dict)
        case _ if opcode in _CONSTANTS:
            stack.append(_CONSTANTS[opcode])
        case _ if opcode in _LITERALS:
            stack.append(argument)
        case _:
            raise ModelError(
                f"refused: the checkpoint contains the pickle opcode {opcode}, not part of a plain state dict"
            )


def _pop_to_mark(stack: list[Any]) -> list[Any]:
    items = []
    while (item := stack.pop()) is not _MARK:
        items.append(item)
    items.reverse()
    return items


def _top(stack: list[Any], kind: type) -> Any:
    if not isinstance(stack[-1], kind):
        raise _malformed(f"a {kind.__name__}", stack[-1])
    return stack[-1]


def _set_items(target: dict[Any, Any], keys: list[Any], values: list[Any]) -> None:
    for key in keys:
        if not isinstance(key, str | int | float | None):
            raise _malformed("a name or number as key", key)
    target.update(zip(keys, values, strict=True))


def _name(module: Any, name: Any) -> _Name:
    whole = f"{module}.{name}" if isinstance(module, str) and isinstance(name, str) else ""
    if whole not in _ALLOWED:
        raise ModelError(f"refused: the checkpoint imports {whole!r}, not part of a plain state dict")
    return _Name(whole)


def _storage(pid: Any) -> Storage:
    match pid:
        case ("storage", _Name(name=kind), str(key), str(), int(count)) if kind in _STORAGES:
            return Storage(kind.removeprefix("torch."), key, count)
    raise _malformed("a tensor storage", pid)


def _call(function: Any, arguments: Any) -> object:
    match function, arguments:
        case _Name(name="collections.OrderedDict"), ():
            return {}
        case _Name(name="torch._utils._rebuild_parameter"), (Tensor() as tensor, *_):
            return tensor
        case (
            _Name(name="torch._utils._rebuild_tensor_v2"),
            (Storage() as storage, int(offset), tuple(size), tuple(stride), *_),
        ) if len(size) == len(stride) <= _MAX_DIMENSIONS and _are_sizes((offset, *size, *stride)):
            return Tensor(storage, offset, size, stride)
        case _Name(name=name), tuple() if name in _OPAQUE:
            return Opaque(name)
    raise _malformed("a tensor as torch saves it", arguments)


def _are_sizes(values: Iterable[Any]) -> bool:
    return all(isinstance(value, int) and 0 <= value <= _MAX_INT for value in values)


def _malformed(expected: str, got: object) -> ModelError:
    # Never show the content, which may be huge or recursive.
    return ModelError(f"damaged checkpoint: expected {expected}, got a malformed {type(got).__name__}")
