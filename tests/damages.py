"""Random damage to a file: to its bytes, to values and keys of JSON, and to what the header of safetensors says."""

import json
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

NESTED = "nested a hundred thousand times"  # what JSON can say, but no writer of JSON would follow
VALUES: list[Any] = [
    None, True, False, 0, 1, -1, 2, 7, 2**31, -(2**31), 2**63, 10**12, 10**400, 0.5, -0.5, 1e18, 1e308, 1e-308,
    float("nan"), float("inf"), -float("inf"), "", "x", "\x00", "\ud800", "é" * 1000, "float16", "1e9", "two\nlines",
    [], {}, [[]], [None], [-1, 10**12], {"x": {}}, {"": None}, NESTED,
]  # fmt: skip
Damage = Callable[[Random, Path], None]


def flip(random: Random, file: Path) -> None:
    """Other bytes in the place of up to eight."""
    data = bytearray(file.read_bytes())
    for _ in range(random.randint(1, 8)):
        data[_place(random, len(data))] = random.randrange(256)
    file.write_bytes(data)


def delete(random: Random, file: Path) -> None:
    """Some bytes less."""
    data = file.read_bytes()
    start = _place(random, len(data))
    file.write_bytes(data[:start] + data[start + random.choice([1, 2, 8, 100]) :])


def insert(random: Random, file: Path) -> None:
    """Some bytes more."""
    data = file.read_bytes()
    start = _place(random, len(data))
    file.write_bytes(data[:start] + random.randbytes(random.choice([1, 2, 8, 100])) + data[start:])


def truncate(random: Random, file: Path) -> None:
    """No more than the beginning, or nothing at all."""
    data = file.read_bytes()
    file.write_bytes(data[: random.choice([0, 1, 8, _place(random, len(data)), len(data) - 1])])


def number(random: Random, file: Path) -> None:
    """Another number near the beginning, where binary formats have lengths and counts."""
    data = bytearray(file.read_bytes())
    start, size = random.randrange(min(len(data), random.choice([40, 1000, 10_000]))), random.choice([4, 8])
    other = random.choice([0, 1, 2**16, 2**31, 2**32 - 1, 2 ** (8 * size) - 1])
    data[start : start + size] = other.to_bytes(size, "little")
    file.write_bytes(data)


def json_value(random: Random, file: Path) -> None:
    """Another value somewhere in a JSON file."""
    file.write_bytes(written(_other_value(random, json.loads(file.read_bytes()))))


def json_key(random: Random, file: Path) -> None:
    """A key of a JSON file that is gone, there twice, or called otherwise."""
    file.write_bytes(written(_other_key(random, json.loads(file.read_bytes()))))


def header_value(random: Random, file: Path) -> None:
    """Another name, dtype, shape or offset in the header of a safetensors file."""
    _rewrite_header(file, lambda header: _other_value(random, header))


def header_key(random: Random, file: Path) -> None:
    """A tensor, or a part of what is said of one, that is gone, there twice, or called otherwise."""
    _rewrite_header(file, lambda header: _other_key(random, header))


BYTES: tuple[Damage, ...] = (flip, delete, insert, truncate)
JSON: tuple[Damage, ...] = (*BYTES, *[json_value] * 5, *[json_key] * 3)
SAFETENSORS: tuple[Damage, ...] = (*BYTES, number, *[header_value] * 4, *[header_key] * 2)
GGUF: tuple[Damage, ...] = (*BYTES, *[number] * 3)


def written(value: Any) -> bytes:
    """JSON, with NESTED in it nested."""
    return json.dumps(value).replace(f'"{NESTED}"', "[" * 100_000 + "]" * 100_000).encode()


def _place(random: Random, size: int) -> int:
    """A place in a file, in half of the cases near its beginning, where formats say what is to come."""
    return random.randrange(size if random.random() < 0.5 else min(size, 400))


def _other_value(random: Random, whole: Any) -> Any:
    owner, key = _somewhere(random, whole)
    old = owner[key]
    near = [old * 10**6, -old, old + 1, str(old), float(old)] if isinstance(old, int) else [[old], {"x": old}]
    neighbours = list(owner.values()) if isinstance(owner, dict) else list(owner)
    owner[key] = random.choice([random.choice(VALUES), random.choice(near), random.choice(neighbours)])
    return whole


def _other_key(random: Random, whole: Any) -> Any:
    owner, key = _somewhere(random, whole)
    value = owner[key]
    if random.random() < 0.4:
        del owner[key]
    elif isinstance(owner, list):
        owner.append(value)
    else:
        owner[random.choice([f"{key}x", str(key).upper(), "", random.choice(list(owner))])] = value
        if random.random() < 0.5:
            owner.pop(key, None)
    return whole


def _somewhere(random: Random, whole: Any) -> tuple[Any, Any]:
    """A list or object in a JSON object, and one of its keys, found by going down from the root."""
    owner, key = None, None
    while isinstance(whole, dict | list) and whole and (owner is None or random.random() < 0.7):
        owner, key = whole, random.choice(list(whole) if isinstance(whole, dict) else range(len(whole)))
        whole = owner[key]
    return owner, key


def _rewrite_header(file: Path, change: Callable[[Any], Any]) -> None:
    data = file.read_bytes()
    end = 8 + int.from_bytes(data[:8], "little")
    text = written(change(json.loads(data[8:end])))
    text += b" " * (-len(text) % 8)
    file.write_bytes(len(text).to_bytes(8, "little") + text + data[end:])
