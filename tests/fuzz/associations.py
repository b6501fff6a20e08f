"""Associations whose JSON was changed at random."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import numpy as np

SOUND = {
    "asn_type": "image2",
    "asn_rule": "Asn_Lv2Image",
    "program": "01000",
    "asn_pool": "none",
    "products": [
        {
            "name": "t",
            "members": [
                {"expname": "t_rate.fits", "exptype": "science"},
                {"expname": "b_rate.fits", "exptype": "background"},
                {"expname": "c_rate.fits", "exptype": "background"},
            ],
        }
    ],
}

ODD: tuple[Any, ...] = (
    None, True, -1, 1e308, 10**400, "", " ", "a\nb", "\0", "../../etc/passwd", "/dev/zero",
    "é" * 300, [], {}, [[]], {"": {}}, "science", "t_rate.fits", ["t_rate.fits"], "http://127.0.0.1:9/x.fits",
    "s3://no-such/x", "~root/x.fits", "\ud800",
)  # fmt: skip


def cases(count: int, seed: int) -> Iterator[tuple[str, bytes]]:
    """Yield so many associations, each with its name."""
    random = np.random.default_rng(seed)
    for i in range(count):
        if random.integers(3):
            changed = json.loads(json.dumps(SOUND))
            for _ in range(random.integers(1, 4)):
                changed = mutated(changed, random)
            raw = json.dumps(changed).encode()
        else:
            raw = bytearray(json.dumps(SOUND).encode())
            for place in random.integers(0, len(raw), random.integers(1, 6)):
                raw[place] = int(random.integers(256))
            raw = bytes(raw[: int(random.integers(1, 2 * len(raw)))])
        yield f"{i:04}_asn.json", raw
    deep = b'{"products": ' + b"[" * 100_000 + b"]" * 100_000 + b"}"
    yield "deep_asn.json", deep
    yield "long_asn.json", json.dumps({**SOUND, "more": list(range(10**6))}).encode()
    yield "digits_asn.json", b'{"products": ' + b"9" * 10**6 + b"}"


def mutated(tree: Any, random: np.random.Generator) -> Any:
    """Change one thing somewhere in a tree."""
    places = list(_places(tree))
    holder, key = places[int(random.integers(len(places)))]
    odd = ODD[int(random.integers(len(ODD)))]
    match random.choice(["set", "remove", "repeat", "rename"]):
        case "remove":
            del holder[key]
        case "repeat" if isinstance(holder, list):
            holder.append(holder[key])
        case "rename" if isinstance(holder, dict):
            holder[str(odd)] = holder.pop(key)
        case _:
            holder[key] = odd
    return tree


def _places(tree: Any) -> Iterator[tuple[Any, Any]]:
    items = tree.items() if isinstance(tree, dict) else enumerate(tree)
    for key, value in list(items):
        yield tree, key
        if isinstance(value, dict | list):
            yield from _places(value)
