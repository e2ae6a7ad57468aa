"""Adapters that are slightly, or wildly, unlike what PEFT writes: seeded, made in memory, some of them sound."""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from safetensors.numpy import save

from tests.support.engine.tiny_model import adapter_files

CONFIG, WEIGHTS, MANIFEST = "adapter_config.json", "adapter_model.safetensors", "adapter.yaml"
MODULES = ("q_proj", "v_proj", "up_proj", "down_proj")
RANK = 4
NASTY: tuple[Any, ...] = (
    None, True, False, 0, 1, -1, 8, 9, 2**31, 2**63, 10**400, -0.0, 0.5, 1e300, float("inf"), float("nan"), "", "x",
    "8", "none", "\ud800", "\x00\x1b[31m", "q_proj", "a" * 5000, [], [0], [[]], ["q_proj"], [None], {}, {"": 1},
    {"q_proj": 4}, {"q_proj": None}, {"(a+)+$": 1}, {"^": 2}, {".": 4}, {"_" * 3000: 4},
)  # fmt: skip
PLAUSIBLE: Mapping[str, tuple[Any, ...]] = {
    "r": (1, 2, 3, 4, 5, 8, 9, 16),
    "lora_alpha": (0, 1, 4, 16, 32.5, -3, 65504, 65505),
    "use_rslora": (True, False, None),
    "fan_in_fan_out": (True, False),
    "rank_pattern": (
        {"q_proj": 4}, {"layers.1.mlp.up_proj": 4}, {"q_proj": 2}, {"nothing": 8}, {"^model": 4}, {"...proj": 4},
    ),
    "alpha_pattern": ({"q_proj": 1}, {"up_proj": 20, "mlp.up_proj": 1}, {"^model": 3}, {"._proj": 0}, {"proj": 9}),
    "target_modules": (
        [*MODULES], [*MODULES, "k_proj"], [*MODULES[1:]], ["self_attn.q_proj", *MODULES[1:]], [*MODULES, "lm_head"],
        "all-linear", "ALL-LINEAR", [*MODULES, *MODULES], ["proj"], [*MODULES, "_proj"],
    ),
    "exclude_modules": (["q_proj"], ["k_proj"], [], ["layers.0.mlp.up_proj"], "q_proj"),
    "layers_to_transform": (0, 1, [0, 1], [0], [1, 0, 0], [5], [], -1),
    "layers_pattern": ("layers", ["layers"], [], "blocks", ["h", "layers"], "lay.rs"),
    "bias": ("none", "all", None),
    "task_type": ("CAUSAL_LM", None, "SEQ_CLS"),
    "peft_type": ("LORA", "lora", "ADALORA", None),
    "init_lora_weights": (True, False, "gaussian", "pissa", "EVA", "olora", None),
    "use_dora": (False, True, 0),
    "modules_to_save": (None, [], ["lm_head"]),
    "lora_dropout": (0, 0.1, 1, "x", 2),
    "target_parameters": (None, [], ["x"]),
    "inference_mode": (True, False),
    "unheard_of": (None, False, 1),
}  # fmt: skip
MANIFEST_LINES = (
    b"", b"name: tone\n", b"created: 2026-01-01\n", b"cost: {a: !!timestamp x}\n", b"a: &a [*a]\n", b"!!int '': 1\n",
    b"recipe: {? [1] : 2}\n", b"base: {name: 1}\n", b"cost: !!bool x\n", b"metrics: !!binary _\n", b"[" * 3000,
)  # fmt: skip


@dataclass(frozen=True)
class Mutant:
    """`kind` says what was done; `files` are all three, by name."""

    kind: str
    files: dict[str, bytes]


class Mutations:
    """The same seed gives the same mutants, in the same order."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        shapes = {
            f"model.layers.{layer}.{part}": shape
            for layer in range(2)
            for part, shape in {
                "self_attn.q_proj": (64, 64),
                "self_attn.v_proj": (64, 64),
                "mlp.up_proj": (128, 64),
                "mlp.down_proj": (64, 128),
            }.items()
        }
        files = adapter_files(11, RANK, shapes)
        self._config = files.config | {"target_modules": list(MODULES)}
        weights = save(files.tensors, {"format": "pt"})
        length = int.from_bytes(weights[:8], "little")
        self._header: dict[str, Any] = json.loads(weights[8 : 8 + length])
        self._data = weights[8 + length :]
        self._kinds: tuple[tuple[int, Callable[[], Mutant]], ...] = (
            (30, self._fields),
            (12, self._config_bytes),
            (14, self._entries),
            (10, self._header_bytes),
            (6, self._length),
            (12, self._numbers),
            (8, self._manifest_bytes),
            (8, self._coherent),
        )

    def next(self) -> Mutant:
        weights, kinds = zip(*self._kinds, strict=True)
        made: Mutant = self._random.choices(kinds, weights)[0]()
        return made

    def _made(self, kind: str, config: bytes | None = None, weights: bytes | None = None, rank: Any = RANK) -> Mutant:
        config = json.dumps(self._config).encode() if config is None else config
        weights = self._file(self._header) if weights is None else weights
        digest = hashlib.sha256(config + weights).hexdigest()
        return Mutant(kind, {CONFIG: config, WEIGHTS: weights, MANIFEST: f"rank: {rank}\ndigest: {digest}\n".encode()})

    def _file(self, header: Any, data: bytes | None = None) -> bytes:
        text = json.dumps(header).encode()
        return len(text).to_bytes(8, "little") + text + (self._data if data is None else data)

    def _fields(self) -> Mutant:
        changed = {}
        for name in self._random.sample(list(PLAUSIBLE), self._random.choice((1, 1, 2, 3))):
            values = PLAUSIBLE[name] if self._random.random() < 0.7 else NASTY
            changed[name] = self._random.choice(values)
        kind = f"fields {', '.join(changed)}"
        return self._made(kind, json.dumps(self._config | changed).encode(), rank=json.dumps(changed.get("r", RANK)))

    def _config_bytes(self) -> Mutant:
        return self._made("bytes of the configuration", self._bent(json.dumps(self._config).encode()))

    def _entries(self) -> Mutant:
        header = json.loads(json.dumps(self._header))
        names = [name for name in header if name != "__metadata__"]
        name = self._random.choice(names)
        entry = header[name]
        change = self._random.randrange(6)
        if change == 0:
            parts = (
                ("lora_A", "lora_B"),
                ("layers.0", "layers.2"),
                ("q_proj", "k_proj"),
                ("weight", "bias"),
                ("model.", ""),
            )
            header[name.replace(*self._random.choice(parts))] = header.pop(name)
        elif change == 1:
            entry["dtype"] = self._random.choice(("F16", "BF16", "I32", "F64", "f32", "U32", None, [], "BOOL"))
        elif change == 2:
            shapes: tuple[Any, ...] = (
                entry["shape"][::-1],
                [],
                [0],
                entry["shape"] + [1],
                [1] * 5000,
                [2**40, 2**40],
                [-1],
                [1.0],
                None,
            )
            entry["shape"] = self._random.choice(shapes)
        elif change == 3:
            entry["data_offsets"][self._random.randrange(2)] += self._random.choice((-1, 1, 4, 2**40, -(2**40)))
        elif change == 4:
            del header[name]
        else:
            header["__metadata__"] = self._random.choice(
                (None, {}, {"a": 1}, {"a": None}, [], "x", {"\ud800": "x"}, {"a": "b"})
            )
        return self._made("entries of the header", weights=self._file(header))

    def _header_bytes(self) -> Mutant:
        text = self._bent(json.dumps(self._header).encode())
        return self._made("bytes of the header", weights=len(text).to_bytes(8, "little") + text + self._data)

    def _length(self) -> Mutant:
        weights = self._file(self._header)
        real = int.from_bytes(weights[:8], "little")
        claimed = self._random.choice(
            (0, 1, real - 1, real + 1, real * 2, 1 << 24, 1 << 40, (1 << 64) - 1, len(weights))
        )
        ends = (weights[8:], weights[8:-1], weights[8:] + b"\0", weights[8 : 8 + real], b"")
        return self._made(
            "length of the header", weights=claimed.to_bytes(8, "little") + self._random.choice((ends[0], *ends))
        )

    def _numbers(self) -> Mutant:
        data = bytearray(self._data)
        for _ in range(self._random.choice((1, 1, 3, 50))):
            at = self._random.randrange(0, len(data), 4)
            if self._random.random() < 0.5:
                data[at + self._random.randrange(4)] ^= 1 << self._random.randrange(8)
            else:
                data[at : at + 4] = self._random.choice(
                    (
                        b"\0\0\xc0\x7f",
                        b"\0\0\x80\x7f",
                        b"\xff" * 4,
                        bytes(4),
                        b"\1\0\0\0",
                        b"\0\xe0\x7f\x47",
                        b"\0\0\0\x80",
                    )
                )
        return self._made("numbers", weights=self._file(self._header, bytes(data)))

    def _manifest_bytes(self) -> Mutant:
        made = self._made("bytes of the manifest")
        text = made.files[MANIFEST]
        text += self._random.choice(MANIFEST_LINES)
        return Mutant(made.kind, made.files | {MANIFEST: text if self._random.random() < 0.5 else self._bent(text)})

    def _coherent(self) -> Mutant:
        """Another adapter that is sound: other ranks, fewer modules, other scales, each said where it must be."""
        header, data, config = {}, b"", dict(self._config)
        rank, narrow = self._random.choice((1, 2, 4)), self._random.choice(MODULES)
        dropped = self._random.choice((None, *(module for module in MODULES if module != narrow)))
        layer = self._random.choice((None, 0, 1))
        for name, entry in self._header.items():
            if (
                name == "__metadata__"
                or (dropped and dropped in name)
                or (layer is not None and f".{layer}." not in name)
            ):
                continue
            values, (rows, columns) = self._data[slice(*entry["data_offsets"])], entry["shape"]
            if narrow in name and "lora_A" in name:
                rows, values = rank, values[: rank * columns * 4]
            elif narrow in name:
                values = b"".join(values[row * 16 : row * 16 + 4 * rank] for row in range(rows))
                columns = rank
            header[name] = {
                "dtype": "F32",
                "shape": [rows, columns],
                "data_offsets": [len(data), len(data) + len(values)],
            }
            data += values
        config |= {"rank_pattern": {narrow: rank}, "alpha_pattern": {narrow: self._random.choice((1, 3.5, -2))}}
        config |= {"use_rslora": self._random.random() < 0.5, "layers_to_transform": layer}
        config["target_modules"] = [module for module in MODULES if module != dropped]
        return self._made("coherent", json.dumps(config).encode(), self._file(header, data))

    def _bent(self, text: bytes) -> bytes:
        """Some bytes changed, left out, doubled, moved or put in."""
        bent = bytearray(text)
        for _ in range(self._random.choice((1, 1, 1, 2, 8))):
            at = self._random.randrange(len(bent) + 1)
            end = min(len(bent), at + self._random.choice((1, 1, 2, 30)))
            change = self._random.randrange(4)
            if change == 0:
                bent[at:end] = bytes(self._random.randrange(256) for _ in range(end - at))
            elif change == 1:
                del bent[at:end]
            elif change == 2:
                bent[at:at] = bent[at:end]
            else:
                tokens = (
                    b'"',
                    b"{",
                    b"}",
                    b"[",
                    b",",
                    b":",
                    b"0",
                    b"-",
                    b"null",
                    b"1e999",
                    b"\\ud800",
                    b"\xff",
                    b"[" * 2000,
                )
                bent[at:at] = self._random.choice(tokens)
        return bytes(bent)
