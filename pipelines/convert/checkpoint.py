"""Tensors of a checkpoint that is not trusted: no code of it runs, and only what is asked is read.

A checkpoint of PyTorch is a zip archive: ``data.pkl`` says what there is, and every storage lies
in a file of its own, not compressed. The pickle is read with a table of the few calls that put a
tensor together, each answered by a description of the tensor; any other name in it - callbacks,
paths, an optimiser's state - becomes a placeholder that does nothing, so that a file of Lightning
can be read without Lightning, and a hostile one does no harm.
"""

from __future__ import annotations

import math
import pickle
import struct
import sys
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, NamedTuple, Protocol, TypeGuard

import numpy as np
import torch
from torch import Tensor

from rsaug.errors import InputError

_STORAGES = {
    "FloatStorage": torch.float32,
    "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16,
    "DoubleStorage": torch.float64,
    "LongStorage": torch.int64,
    "IntStorage": torch.int32,
    "ShortStorage": torch.int16,
    "CharStorage": torch.int8,
    "ByteStorage": torch.uint8,
    "BoolStorage": torch.bool,
}
# The published file's is under one megabyte. A byte can ask for 200 bytes of memory.
_MOST_PICKLE = 1 << 23
_BLOCK = 1 << 24

_DAMAGE = (
    OSError,
    EOFError,
    ValueError,
    KeyError,
    OverflowError,
    RuntimeError,  # says that an entry is encrypted
    NotImplementedError,
    struct.error,
    zlib.error,
    zipfile.BadZipFile,
)
"""What `zipfile` raises for an archive that is not as it was written."""


class Checkpoint(Protocol):
    """Tensors by name, none of them read yet."""

    @property
    def shapes(self) -> Mapping[str, tuple[int, ...]]:
        """Shape of each tensor, in the order of the file."""

    def read(self, name: str) -> Tensor:
        """A tensor of the file, in memory of its own.

        Raises:
            InputError: if its bytes are not there or not those that were written.
        """


@contextmanager
def open_checkpoint(path: Path) -> Iterator[Checkpoint]:
    """The tensors of a model's state in a ``.ckpt``, ``.pt``, ``.pth`` or ``.safetensors`` file.

    Of a file of Lightning it is what lies under ``state_dict``.

    Raises:
        InputError: if the file is none of these, or is damaged.
    """
    if not path.is_file():
        raise InputError(f"There is no checkpoint {path}.")
    if path.suffix.lower() == ".safetensors":
        with _open_safetensors(path) as checkpoint:
            yield checkpoint
        return
    try:
        archive = zipfile.ZipFile(path)
    except _DAMAGE as error:
        raise InputError(
            f"{path} is no checkpoint of PyTorch 1.6 or later, or it is not complete: it cannot be "
            "opened as an archive; download it anew and compare its size."
        ) from error
    with archive:
        yield _TorchCheckpoint(path, archive)


class _Spec(NamedTuple):
    """Where the numbers of a tensor are."""

    key: str
    dtype: torch.dtype
    length: int
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


class _Storage(NamedTuple):
    # Not a dataclass, whose attributes a pickle could set after they have been checked.
    key: str
    dtype: torch.dtype
    length: int


class _TorchCheckpoint:
    """A zip archive as `torch.save` writes it."""

    def __init__(self, path: Path, archive: zipfile.ZipFile) -> None:
        self._path, self._archive = path, archive
        indices = [name for name in archive.namelist() if name.endswith("/data.pkl")]
        if len(indices) != 1:
            raise self._damaged("it holds no single data.pkl")
        self._root = indices[0].removesuffix("data.pkl")
        entry = archive.getinfo(indices[0])
        if max(entry.file_size, entry.compress_size) > _MOST_PICKLE:
            raise self._damaged("its index is larger than that of any model")
        self._check_byteorder()
        try:
            with archive.open(entry) as file:
                content = _Reader(file).load()
        # A pickle can fail in any way; whatever it is, there is nothing to be had from it.
        except Exception as error:
            raise self._damaged("its index cannot be read") from error
        self._specs = self._tensors_of(content)

    @property
    def shapes(self) -> Mapping[str, tuple[int, ...]]:
        """Shape of each tensor."""
        return {name: spec.shape for name, spec in self._specs.items()}

    def read(self, name: str) -> Tensor:
        """A tensor, in memory of its own."""
        spec = self._specs[name]
        size = spec.length * spec.dtype.itemsize
        try:
            entry = self._archive.getinfo(f"{self._root}data/{spec.key}")
        except KeyError as error:
            raise self._damaged(f"the numbers of {name} are not in it") from error
        # Not what the archive says alone: memory is set aside for it.
        real = entry.compress_size if entry.compress_type == zipfile.ZIP_STORED else -1
        if not size == entry.file_size == real <= self._path.stat().st_size:
            raise self._damaged(f"{name} has {entry.file_size} bytes where {size} are due")
        count = math.prod(spec.shape)
        reach = sum((n - 1) * step for n, step in zip(spec.shape, spec.strides, strict=True))
        if count > spec.length or (count and spec.offset + reach >= spec.length):
            raise self._damaged(f"{name} reaches beyond its numbers")
        storage = torch.empty(size, dtype=torch.uint8)
        view: Any = storage.numpy()
        done = 0
        try:
            with self._archive.open(entry) as file:
                # To the end, where the archive's check sum is compared.
                while block := file.read(_BLOCK):
                    view[done : done + len(block)] = np.frombuffer(block, np.uint8)
                    done += len(block)
        except _DAMAGE as error:
            raise self._damaged(f"the numbers of {name} cannot be read") from error
        if done != size:
            raise self._damaged(f"{name} has {done} bytes where {size} are due")
        return storage.view(spec.dtype).as_strided(spec.shape, spec.strides, spec.offset)

    def _check_byteorder(self) -> None:
        name = f"{self._root}byteorder"
        if name not in self._archive.namelist():
            return
        try:
            with self._archive.open(name) as file:
                order = file.read(16).decode("ascii", "replace")
        except _DAMAGE as error:
            raise self._damaged("its byte order cannot be read") from error
        if order != sys.byteorder:
            raise InputError(
                f"The numbers of {self._path} are {order}-endian, which is not this machine's "
                "order; save it anew on a machine of the usual kind."
            )

    def _tensors_of(self, content: object) -> dict[str, _Spec]:
        if isinstance(content, dict) and isinstance(content.get("state_dict"), dict):
            content = content["state_dict"]
        if not isinstance(content, dict) or not content:
            raise InputError(f"{self._path} holds no state of a model.")
        strange = [k for k, v in content.items() if not (isinstance(k, str) and _is_spec(v))]
        if strange:
            raise InputError(
                f"{self._path} holds no state of a model: {len(strange)} of its {len(content)} "
                f"entries are no tensors, such as {str(strange[0])[:80]!r}."
            )
        return dict(content)

    def _damaged(self, why: str) -> InputError:
        return InputError(f"The checkpoint {self._path} is damaged: {why}; download it anew.")


def _is_spec(value: object) -> bool:
    return isinstance(value, _Spec)


def _check_keys(keys: Iterable[object]) -> None:
    """Raise UnpicklingError for a key that is a tuple of tuples.

    Python takes its hash by recursion that nothing bounds: one that is nested a million times ends
    the process, and one that holds itself many times takes for ever.
    """
    for key in keys:
        if isinstance(key, tuple) and any(isinstance(part, tuple) for part in key):
            raise pickle.UnpicklingError("a key is a tuple of tuples")


def _checking(operation: bytes, keys: slice) -> Callable[[Any], None]:
    """An operation of the reader, after a look at the keys that lie on its stack."""
    load: Any = pickle._Unpickler.dispatch[operation[0]]

    def checked(reader: Any) -> None:
        _check_keys(reader.stack[keys])
        load(reader)

    return checked


class _Reader(pickle._Unpickler):
    """Reads a pickle of `torch.save` without importing or calling anything that it names.

    The reader in C would set aside as much memory as a pickle's numbers of memo entries ask for;
    this one keeps them in a dict.
    """

    def __init__(self, file: IO[bytes]) -> None:
        super().__init__(file)

        # Made anew for every file: a pickle may set attributes of what it is handed.
        class Placeholder:
            def __new__(cls, *args: object, **kwargs: object) -> Placeholder:
                return object.__new__(cls)

            def __call__(self, *args: object, **kwargs: object) -> Placeholder:
                return self

            def __setstate__(self, state: object) -> None:
                pass

            def __setitem__(self, key: object, value: object) -> None:
                pass

            def append(self, value: object) -> None:
                pass

            def extend(self, values: object) -> None:
                pass

            add = append

        class Ordered(dict[Any, Any]):
            def __init__(self, pairs: Iterable[Any] = ()) -> None:
                pairs = [(key, value) for key, value in pairs]
                _check_keys(key for key, _ in pairs)
                super().__init__(pairs)

            def __setstate__(self, state: object) -> None:
                pass

        self._placeholder = Placeholder
        self._known: dict[tuple[str, str], Any] = {
            ("collections", "OrderedDict"): Ordered,
            ("torch._utils", "_rebuild_tensor_v2"): lambda *args: _describe(*args[:4]),
            ("torch._utils", "_rebuild_parameter"): lambda data, *_: data,
            **{("torch", name): dtype for name, dtype in _STORAGES.items()},
        }

    dispatch = {  # noqa: RUF012 - as its parent has it
        **pickle._Unpickler.dispatch,
        pickle.SETITEM[0]: _checking(pickle.SETITEM, slice(-2, -1)),
        pickle.SETITEMS[0]: _checking(pickle.SETITEMS, slice(0, None, 2)),
        pickle.DICT[0]: _checking(pickle.DICT, slice(0, None, 2)),
        pickle.ADDITEMS[0]: _checking(pickle.ADDITEMS, slice(None)),
        pickle.FROZENSET[0]: _checking(pickle.FROZENSET, slice(None)),
    }

    def find_class(self, module: str, name: str) -> Any:
        """What stands for a name in the pickle; nothing is imported."""
        return self._known.get((module, name), self._placeholder)

    def persistent_load(self, pid: Any) -> Any:
        """A description of a storage."""
        kind, dtype, key, _, length = pid
        if kind != "storage":
            raise pickle.UnpicklingError(f"{kind!r} is no storage")
        known = isinstance(dtype, torch.dtype) and isinstance(key, str) and _is_count(length)
        return _Storage(key, dtype, length) if known else self._placeholder()


def _describe(storage: object, offset: object, shape: object, strides: object) -> _Spec | tuple[()]:
    """What a tensor is made of; an empty tuple, which is no tensor, where that makes no sense."""
    if not isinstance(storage, _Storage) or not _is_count(offset):
        return ()
    if not (isinstance(shape, tuple) and isinstance(strides, tuple) and len(shape) == len(strides)):
        return ()
    if not all(map(_is_count, (*shape, *strides))):
        return ()
    return _Spec(storage.key, storage.dtype, storage.length, offset, shape, strides)


def _is_count(value: object) -> TypeGuard[int]:
    return type(value) is int and 0 <= value < 1 << 48


class _SafetensorsCheckpoint:
    """A file of safetensors, which holds tensors and nothing else."""

    def __init__(self, path: Path, file: Any) -> None:
        self._path, self._file = path, file
        self._shapes = {n: tuple(file.get_slice(n).get_shape()) for n in file.keys()}  # noqa: SIM118

    @property
    def shapes(self) -> Mapping[str, tuple[int, ...]]:
        """Shape of each tensor."""
        return self._shapes

    def read(self, name: str) -> Tensor:
        """A tensor, in memory of its own."""
        tensor: Tensor = self._file.get_tensor(name)
        return tensor.clone()


@contextmanager
def _open_safetensors(path: Path) -> Iterator[Checkpoint]:
    from safetensors import SafetensorError, safe_open

    try:
        file = safe_open(path, framework="pt")
    except (OSError, SafetensorError) as error:
        raise InputError(f"{path} is no safetensors file, or it is not complete.") from error
    with file as opened:
        yield _SafetensorsCheckpoint(path, opened)
