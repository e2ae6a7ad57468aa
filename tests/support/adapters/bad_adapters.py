"""Every way in which an adapter is bad, and what it is refused with: a list to read, and to submit to a server."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from safetensors.numpy import load_file, save_file

from trivet.testing.adapters import digest

CONFIG, WEIGHTS, MANIFEST = "adapter_config.json", "adapter_model.safetensors", "adapter.yaml"
Q0 = "base_model.model.model.layers.0.self_attn.q_proj"
A0, B0 = f"{Q0}.lora_A.weight", f"{Q0}.lora_B.weight"
Tensors = dict[str, Any]


@dataclass(frozen=True)
class Bad:
    """`spoil` makes a good adapter's folder bad; `message` is the pattern of the refusal."""

    spoil: Callable[[Path], object]
    message: str


def sign(folder: Path) -> None:
    """Give the manifest the digest of the files as they are."""
    manifest = yaml.safe_load((folder / MANIFEST).read_text()) | {"digest": digest(folder)}
    (folder / MANIFEST).write_text(yaml.safe_dump(manifest))


def config(**changes: Any) -> Callable[[Path], None]:
    def spoil(folder: Path) -> None:
        content = json.loads((folder / CONFIG).read_text()) | changes
        (folder / CONFIG).write_text(json.dumps(content))
        sign(folder)

    return spoil


def manifest(**changes: Any) -> Callable[[Path], None]:
    def spoil(folder: Path) -> None:
        content = yaml.safe_load((folder / MANIFEST).read_text()) | changes
        (folder / MANIFEST).write_text(yaml.safe_dump(content))

    return spoil


def tensors(change: Callable[[Tensors], object]) -> Callable[[Path], None]:
    def spoil(folder: Path) -> None:
        content: Tensors = load_file(folder / WEIGHTS)
        change(content)
        save_file(content, folder / WEIGHTS)
        sign(folder)

    return spoil


def text(name: str, content: bytes) -> Callable[[Path], None]:
    def spoil(folder: Path) -> None:
        (folder / name).write_bytes(content)
        if name != MANIFEST:
            sign(folder)

    return spoil


def cut(folder: Path) -> None:
    content = (folder / WEIGHTS).read_bytes()
    (folder / WEIGHTS).write_bytes(content[:-100])
    sign(folder)


def link(name: str) -> Callable[[Path], None]:
    def spoil(folder: Path) -> None:
        outside = folder.parents[2] / "outside"
        outside.mkdir(exist_ok=True)
        (folder / name).rename(outside / name)
        (folder / name).symlink_to(outside / name)

    return spoil


def linked_folder(folder: Path) -> None:
    folder.rename(folder.parents[2] / "elsewhere")
    folder.symlink_to(folder.parents[2] / "elsewhere")


def pipe(folder: Path) -> None:
    (folder / CONFIG).unlink()
    os.mkfifo(folder / CONFIG)


def put(name: str, value: float) -> Callable[[Path], None]:
    return tensors(lambda content: content[name].flat.__setitem__(5, value))


def resized(**shapes: tuple[int, int]) -> Callable[[Path], None]:
    names = {"A": A0, "B": B0}
    return tensors(lambda content: content.update({names[k]: np.ones(s, np.float32) for k, s in shapes.items()}))


def renamed(old: str, new: str) -> Callable[[Path], None]:
    return tensors(lambda content: content.update({new: content.pop(old)}))


def header(length: int, content: bytes) -> Callable[[Path], None]:
    return text(WEIGHTS, length.to_bytes(8, "little") + content)


ENDLESS = b"[" * 100_000
BOMB = b"a: &a [x]\n" + b"".join(b"%c: &%c [*%c, *%c]\n" % (c + 1, c + 1, c, c) for c in range(97, 110))

BAD_ADAPTERS = {
    # pickle files
    "a pickle instead": Bad(
        lambda folder: (folder / WEIGHTS).rename(folder / "adapter_model.bin"),
        r"adapter_model\.safetensors is missing, and there is adapter_model\.bin: it is a pickle, which is never read",
    ),
    "a pickle in the weights' place": Bad(
        text(WEIGHTS, b"\x80\x04\x95" + bytes(99)), r"the header claims \d+ bytes, expected"
    ),
    # path escapes, links out
    "weights linked out": Bad(
        link(WEIGHTS), r"adapter_model\.safetensors is a link out of the adapters' folder, expected a"
    ),
    "manifest linked out": Bad(
        link(MANIFEST), r"adapter\.yaml is a link out of the adapters' folder, expected a file inside"
    ),
    "the folder linked out": Bad(
        linked_folder, r"the folder is a link out of the adapters' folder, expected a file inside"
    ),
    "a pipe": Bad(pipe, r"adapter_config\.json is not a plain file"),
    "a file is missing": Bad(
        lambda f: (f / CONFIG).unlink(), r"adapter_config\.json is missing, expected adapter\.yaml, "
    ),
    # wrong base: configuration, weights and tokenizer are in its fingerprint
    "of another base": Bad(
        manifest(base={"name": "other", "fingerprint": "1" * 64}),
        r"adapter\.yaml: base\.fingerprint is 1{64}, but the base model that is served has [0-9a-f]{64}",
    ),
    "other bytes than the manifest's": Bad(
        manifest(digest="0" * 64), r"adapter\.yaml: digest is 0{64}, but the files have [0-9a-f]{64}"
    ),
    # ranks
    "rank over the limit": Bad(
        config(r=512), r"adapter_config\.json: r is 512, expected 1 to \d+ \(the engine's max_lora"
    ),
    "rank of a module over the limit": Bad(
        config(rank_pattern={"q_proj": 512}),
        r"adapter_config\.json: rank_pattern\['q_proj'\] is 512, expected 1 to \d+",
    ),
    "rank unlike the weights'": Bad(
        resized(A=(4, 64), B=(64, 4)),
        rf"tensor {A0}: has shape \[4, 64\], expected \[8, 64\] \(rank 8 by adapter_config",
    ),
    "rank unlike the manifest's": Bad(
        manifest(rank=4), r"adapter\.yaml: rank is 4, expected 8 as in adapter_config\.json"
    ),
    # modules, shapes, layers
    "unknown target": Bad(
        config(target_modules=["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj", "w9"]),
        r"adapter_config\.json: target_modules names 'w9', expected some of down_proj, gate_proj",
    ),
    "a pattern of targets that fits nothing": Bad(
        config(target_modules="w[0-9]"), r"tensor base_model.*: target_modules does not name model\.layers\.0"
    ),
    "a pattern of targets without an end": Bad(
        config(target_modules="(([a-z._0-9]|[a-z._])*)*Y"),
        r"adapter_config\.json: target_modules is '.*', a pattern that takes more than 1 s or too much memory",
    ),
    "a target that has no tensors": Bad(
        tensors(lambda content: [content.pop(A0), content.pop(B0)]),
        rf"tensor {A0}: is missing, but target_modules names 'q_proj'",
    ),
    "unknown module": Bad(
        renamed(A0, A0.replace("q_proj", "w9")),
        r"the base model has no module model\.layers\.0\.self_attn\.w9 for it \(its",
    ),
    "layers left out by the configuration": Bad(
        config(layers_to_transform=[1]),
        r"tensor .*layers\.0.*: target_modules does not name model\.layers\.0",
    ),
    "the output head": Bad(
        renamed(A0, "base_model.model.lm_head.lora_A.weight"), "target_modules does not name lm_head"
    ),
    "wrong shape": Bad(
        resized(A=(8, 32)), rf"tensor {A0}: has shape \[8, 32\], expected \[8, 64\] \(rank 8 by adapter_c"
    ),
    "wrong shape of B": Bad(resized(B=(8, 64)), rf"tensor {B0}: has shape \[8, 64\], expected \[64, 8\]"),
    "layer beyond the model": Bad(
        renamed(A0, A0.replace("s.0.", "s.2.")), r"tensor .*layers\.2.*: layer 2 is beyond the base model's 2 layers"
    ),
    "no A": Bad(tensors(lambda content: content.pop(A0)), rf"tensor {A0}: is missing, its other half is there"),
    "no B": Bad(tensors(lambda content: content.pop(B0)), rf"tensor {B0}: is missing, its other half is there"),
    # numbers
    "not a number": Bad(put(A0, float("nan")), rf"tensor {A0}: element 5 is NaN or infinite, expected numbers"),
    "infinite": Bad(put(B0, float("-inf")), rf"tensor {B0}: element 5 is NaN or infinite, expected numbers"),
    "too large for half precision": Bad(
        put(A0, 1e9), rf"tensor {A0}: element 5 is 1e\+09 in size, expected at most 65504"
    ),
    "too large times its scale": Bad(
        lambda folder: (put(B0, 100.0)(folder), config(lora_alpha=60000)(folder)),
        rf"tensor {B0}: element 5 is 100 in size, times the scale 7500, expected at most 65504",
    ),
    "an infinite scale": Bad(config(lora_alpha=1e300), r"lora_alpha is 1e\+300, expected a number of at most 65504"),
    "another type of numbers": Bad(
        tensors(lambda content: content.update({A0: np.zeros((8, 64), np.int32)})),
        rf"tensor {A0}: has dtype I32, expected F32, F16, BF16",
    ),
    # what is more than a plain LoRA
    "DoRA": Bad(config(use_dora=True), r"adapter_config\.json: use_dora is True, expected False"),
    "DoRA's magnitudes": Bad(
        renamed(A0, f"{Q0}.lora_magnitude_vector"),
        rf"tensor {Q0}\.lora_magnitude_vector: expected base_model\.model\.<mod",
    ),
    "aLoRA": Bad(
        config(alora_invocation_tokens=[5]), r"invocation is None, but alora_invocation_tokens in .* is \[5\]; expected"
    ),
    "bias": Bad(config(bias="all"), r"adapter_config\.json: bias is 'all', expected 'none'"),
    "bias of null": Bad(config(bias=None), r"adapter_config\.json: bias is None, expected 'none'"),
    "bias of the LoRA": Bad(config(lora_bias=True), r"adapter_config\.json: lora_bias is True, expected False"),
    "modules_to_save": Bad(
        config(modules_to_save=["lm_head"]), r"modules_to_save is \['lm_head'\]: .* `trivet adapter merge`"
    ),
    "a start that changes the base": Bad(
        config(init_lora_weights="pissa"), r"init_lora_weights is 'pissa', which changes"
    ),
    "a field that nobody knows": Bad(
        config(new_trick=3), r"adapter_config\.json: new_trick is 3, expected it to be absent"
    ),
    # files that are no files of their kind
    "weights truncated": Bad(cut, r"adapter_model\.safetensors: the file has \d+ bytes, expected \d+ by its header"),
    "weights empty": Bad(text(WEIGHTS, b""), r"adapter_model\.safetensors has 0 bytes, expected 1 to \d+"),
    "no tensor": Bad(tensors(lambda content: content.clear()), r"adapter_model\.safetensors: has no tensor"),
    "huge header": Bad(header(1 << 62, b"{}"), rf"the header claims {1 << 62} bytes, expected at most 2"),
    "deep header": Bad(header(len(ENDLESS), ENDLESS), r"adapter_model\.safetensors: the header is not sound JSON: "),
    "metadata of numbers": Bad(header(24, b'{"__metadata__":{"a":1}}'), "__metadata__ is not an object of texts"),
    "a pattern that is none": Bad(
        config(target_modules="q_proj("),
        r"adapter_config\.json: target_modules is 'q_proj\(', expected names or a pattern: ",
    ),
    "an expression for a key": Bad(
        config(alpha_pattern={"(a+)+": 1}),
        r"adapter_config\.json: alpha_pattern has the key '\(a\+\)\+', expected names",
    ),
    "too many keys": Bad(
        config(rank_pattern={f"q{number}": 8 for number in range(5000)}),
        r"adapter_config\.json: rank_pattern has 5000 entries, expected at most 2048",
    ),
    "unreadable JSON": Bad(text(CONFIG, b"{'r': 8}"), r"adapter_config\.json: is not sound JSON: "),
    "JSON twice as good": Bad(
        text(CONFIG, b'{"r": 8, "r": 4}'), r"adapter_config\.json: is not sound JSON: a name appears tw"
    ),
    "a number beyond all types": Bad(
        text(
            CONFIG, b'{"peft_type": "LORA", "r": 8, "target_modules": ["q_proj"], "lora_alpha": 1' + b"0" * 400 + b"}"
        ),
        r"adapter_config\.json: lora_alpha is 1\d+\.\.\.\d+, expected a number of at most 65504",
    ),
    "unreadable YAML": Bad(text(MANIFEST, b"rank: ["), r"adapter\.yaml: is not sound YAML: "),
    "a date that is none": Bad(
        text(MANIFEST, b"created: 2026-13-45"),
        r"adapter\.yaml: is not sound YAML: a value is not what .*: month must be",
    ),
    "aliases that multiply": Bad(
        text(MANIFEST, BOMB), r"adapter\.yaml: is not sound YAML: it has an alias, expected plain"
    ),
}
