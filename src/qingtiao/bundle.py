"""The bundle: one folder that holds all a prediction needs but the base.

A standard PEFT adapter folder, the tokenizer, and `qingtiao.json`. Whatever is loaded is checked first: a
bundle that is damaged, was changed, or meets another base than it was trained on is refused with one error.
Nothing in it is ever unpickled.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
from pydantic import Field, ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file

from qingtiao.config import NormaliseConfig, Quantize, Settings
from qingtiao.data.normalise import Normaliser
from qingtiao.errors import BundleError, ConfigError
from qingtiao.files import atomic_write_text, disk_errors_as_ours, file_sha256
from qingtiao.hub import offline
from qingtiao.models.adapter import merged
from qingtiao.models.base import LoadedBase, load_base, quiet_transformers
from qingtiao.models.device import pick_device, pick_precision
from qingtiao.models.processor import ImagesAndText, stored_processor, tokenizer_of
from qingtiao.models.quantise import dequantise, quantise
from qingtiao.models.starts import as_saved
from qingtiao.predict import Predictor
from qingtiao.task import Task, find_task

MANIFEST = "qingtiao.json"
_ADAPTER = "adapter_model.safetensors"
_ADAPTER_CONFIG = "adapter_config.json"
_PICKLES = (".bin", ".pt", ".pth", ".pkl", ".pickle", ".ckpt", ".joblib", ".npy", ".npz")


class BaseRecord(Settings):
    """The base, and how to know it again."""

    name: str
    revision: str | None
    fingerprint: str  # of the weights in the files, whether they were quantised afterwards or not
    quantize: Quantize = "none"


class Manifest(Settings):
    """`qingtiao.json`. `proof` is filled in after the bundle was reloaded by another process."""

    format: Literal[1] = 1
    task: str
    task_state: dict[str, Any]
    normalise: NormaliseConfig
    max_length: int = Field(ge=1)
    base: BaseRecord
    files: dict[Annotated[str, Field(pattern=r"^[^/\\]+$")], str]  # the SHA-256 of each that answers depend on
    data: dict[str, Any]
    metrics: dict[str, Any]
    versions: dict[str, str]
    proof: dict[str, float] | None = None


def save_bundle(folder: Path, *, model: Any, tokenizer: Any, manifest: Mapping[str, Any]) -> None:
    """Write adapter, tokenizer and manifest into the new `folder`. Reaches for no network.

    Args:
        model: the trained `PeftModel`.
        manifest: fields of `Manifest`, without `files`.

    Raises:
        EnvironmentLack: the disk is full.
        RunError: the folder cannot be written.
    """
    with disk_errors_as_ours(folder), offline(), quiet_transformers():
        folder.mkdir(parents=True)
        # "auto" would look the base up on the Hub to see whether its vocabulary grew; ours never does.
        with as_saved(model) as state:
            model.save_pretrained(folder, save_embedding_layers=False, state_dict=state)
        tokenizer.save_pretrained(folder)
        (folder / "README.md").unlink(missing_ok=True)  # PEFT's empty card; ours is written by `publish.card`
    written = sorted(path for path in folder.iterdir() if path.is_file())
    write_manifest(folder, Manifest(**manifest, files={path.name: file_sha256(path) for path in written}))


def write_manifest(folder: Path, manifest: Manifest) -> None:
    atomic_write_text(folder / MANIFEST, json.dumps(manifest.model_dump(mode="json"), ensure_ascii=False, indent=2))


def read_manifest(folder: Path) -> Manifest:
    """The manifest of a bundle.

    Raises:
        BundleError: there is none, or it is damaged or of a newer format.
    """
    path = folder / MANIFEST
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        return Manifest.model_validate(values)
    except FileNotFoundError:
        near = folder / "bundle" / MANIFEST
        raise BundleError(
            f"{folder} 不是一个轻调 bundle：里面没有 {MANIFEST}",
            f"{folder} is not a Qingtiao bundle: it holds no {MANIFEST}",
            todo_zh=f"用 {folder / 'bundle'}。" if near.exists() else "给出 qingtiao train 存下的 bundle 目录。",
            todo_en=f"Use {folder / 'bundle'}."
            if near.exists()
            else "Name the bundle folder that qingtiao train left.",
        ) from None
    except OSError as error:
        raise _damaged(path, str(error.strerror)) from None
    except ValidationError as error:
        first = error.errors()[0]
        raise _damaged(path, f"{'.'.join(str(part) for part in first['loc'])}: {first['msg']}") from None
    except (ValueError, RecursionError) as error:
        raise _damaged(path, str(error)) from None


def load_bundle(folder: Path, *, base: str | None = None, merge: bool | None = None) -> Predictor:
    """The predictor of a bundle.

    Args:
        base: another place to take the base from; it must hold the same weights.
        merge: fold the adapter into the base, which makes prediction faster. Logits move by rounding only, but for a
            quantised base: its layers become full float32 ones first, for nothing that was trained shall be quantised
            again. So of a quantised base the adapter is left apart unless this is asked for.

    Raises:
        BundleError: the folder is not a bundle, is damaged, or does not fit its base.
        BaseModelError, EnvironmentLack: the base cannot be had.
    """
    manifest = read_manifest(folder)
    _refuse_pickles(folder)
    _refuse_missing_files(folder, manifest)
    task = _task(folder, manifest)
    tensors = _tensors(folder)
    loaded = load_base(
        base or manifest.base.name,
        revision=None if base else manifest.base.revision,
        auto_class=task.auto_class,
        processor_class=task.processor_class,
        model_options=task.model_options(),
    )
    _refuse_another_base(folder, manifest, loaded)
    quantised = quantise(loaded, manifest.base.quantize)
    if quantised and merge:
        dequantise(loaded.model)
    model = _with_adapter(folder, loaded, tensors)
    processor = _processor(folder, loaded, task.processor_class)
    _refuse_changed_files(folder, manifest)
    if merge or (merge is None and not quantised):
        model = merged(model)
    device = pick_device()
    return Predictor(
        task=task,
        model=model.eval().to(device),
        tokenizer=processor,
        normaliser=Normaliser(manifest.normalise),
        max_length=manifest.max_length,
        device=device,
        precision=pick_precision("fp32", device),
    )


def _task(folder: Path, manifest: Manifest) -> Task:
    try:
        return find_task(manifest.task).from_state(manifest.task_state)
    except ConfigError as error:
        raise _damaged(folder / MANIFEST, error.what) from None
    except (KeyError, TypeError, ValueError) as error:
        raise _damaged(folder / MANIFEST, f"task_state: {error}") from None


def _refuse_pickles(folder: Path) -> None:
    found = next((path for path in sorted(folder.rglob("*")) if path.suffix.lower() in _PICKLES), None)
    if found is not None:
        raise BundleError(
            f"{found} 是能执行代码的 pickle 一类文件，bundle 里不该有它，已拒绝加载",
            f"{found} is a pickle or alike, which can run code; a bundle never holds one, so it was refused",
            todo_zh="向给你这个 bundle 的人要一份原样的；确认安全的话删掉这个文件再试。",
            todo_en="Ask for an untouched copy; if you know the file is harmless, delete it and try again.",
        )


def _refuse_missing_files(folder: Path, manifest: Manifest) -> None:
    """Before any of them is read: upstream would look on the Hub for what it misses here."""
    for name in (_ADAPTER, _ADAPTER_CONFIG):
        if name not in manifest.files:
            raise _damaged(folder / MANIFEST, f"files: 没有 {name}", f"files: {name} is not among them")
    for name in manifest.files:
        if not (folder / name).is_file():
            raise _damaged(folder / name, "没有这个文件", "there is no such file")


def _refuse_changed_files(folder: Path, manifest: Manifest) -> None:
    """Last, for what was seen before says more clearly what is wrong."""
    for name, checksum in manifest.files.items():
        if file_sha256(folder / name) != checksum:
            raise _damaged(folder / name, "校验和与保存时不同", "its checksum is not the one it was saved with")


def _tensors(folder: Path) -> dict[str, torch.Tensor]:
    path = folder / _ADAPTER
    try:
        tensors: dict[str, torch.Tensor] = load_file(path)
    except (SafetensorError, OSError, ValueError) as error:
        raise _damaged(path, str(error)) from None
    for name, tensor in tensors.items():
        if not bool(torch.isfinite(tensor).all()):
            raise _damaged(path, f"{name}: NaN / Inf")
    return tensors


def _refuse_another_base(folder: Path, manifest: Manifest, loaded: LoadedBase) -> None:
    if loaded.fingerprint != manifest.base.fingerprint:
        raise BundleError(
            f"{folder} 是在另一份基座上训练的：现在的 {loaded.name} 权重指纹是 {loaded.fingerprint[:12]}，"
            f"训练时是 {manifest.base.fingerprint[:12]}",
            f"{folder} was trained on another base: the weights of {loaded.name} have the fingerprint "
            f"{loaded.fingerprint[:12]}, those it was trained on {manifest.base.fingerprint[:12]}",
            todo_zh=f"用训练时的基座（{manifest.base.name}，版本 {manifest.base.revision or '未记录'}），或重新训练。",
            todo_en=f"Use that base ({manifest.base.name}, revision {manifest.base.revision}), or train again.",
        )


def _with_adapter(folder: Path, loaded: LoadedBase, tensors: Mapping[str, torch.Tensor]) -> Any:
    import peft
    from peft.utils.save_and_load import get_peft_model_state_dict, set_peft_model_state_dict

    try:
        with quiet_transformers():
            config = peft.PeftConfig.from_pretrained(str(folder))
            config.inference_mode = True
            model = peft.get_peft_model(loaded.model, config)
            expected = get_peft_model_state_dict(model, save_embedding_layers=False)
    except Exception as error:  # whatever a foreign adapter_config.json makes PEFT raise
        raise _damaged(folder / _ADAPTER_CONFIG, f"{type(error).__name__}: {error}") from error
    _refuse_misfits(folder, expected, tensors)
    set_peft_model_state_dict(model, dict(tensors))
    return model


def _refuse_misfits(folder: Path, expected: Mapping[str, torch.Tensor], tensors: Mapping[str, torch.Tensor]) -> None:
    path = folder / _ADAPTER
    for zh, en, names in (
        ("缺少张量", "missing tensors", expected.keys() - tensors.keys()),
        ("多出张量", "unexpected tensors", tensors.keys() - expected.keys()),
    ):
        if names:
            some = f"({len(names)}): {', '.join(sorted(names)[:3])}"
            raise _damaged(path, f"{zh} {some}", f"{en} {some}")
    for name, tensor in tensors.items():
        if tensor.shape != expected[name].shape:
            found, right = tuple(tensor.shape), tuple(expected[name].shape)
            raise _damaged(path, f"{name}: {found}，应为 {right}", f"{name}: {found}, expected {right}")


def _processor(folder: Path, loaded: LoadedBase, processor_class: str) -> Any:
    try:
        with quiet_transformers():
            processor = stored_processor(str(folder), processor_class=processor_class, local_files_only=True)
    except Exception as error:  # whatever damaged tokenizer files make upstream raise
        raise _damaged(folder / "tokenizer.json", f"{type(error).__name__}: {error}") from error
    theirs, ours = len(tokenizer_of(processor)), len(tokenizer_of(loaded.tokenizer))
    if theirs != ours:
        tokenizer = folder / "tokenizer.json"
        raise _damaged(tokenizer, f"{theirs} 个词元，基座有 {ours} 个", f"{theirs} tokens, its base has {ours}")
    if isinstance(processor, ImagesAndText):
        processor.image_token_id = loaded.tokenizer.image_token_id
    return processor


def _damaged(path: Path, reason: str, in_english: str | None = None) -> BundleError:
    return BundleError(
        f"bundle 已损坏：{path}：{reason}",
        f"The bundle is damaged: {path}: {in_english or reason}",
        todo_zh="重新复制一份完整的 bundle，或者重新训练。",
        todo_en="Copy the whole bundle again, or train again.",
    )
