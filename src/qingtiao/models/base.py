"""Where a base model comes from, and what of it is new: any Hub id, any local folder, or the embedded `mini-zh`."""

from __future__ import annotations

import hashlib
import importlib.util
import logging
import os
import re
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import torch
from torch import nn

from qingtiao.config import suggestion
from qingtiao.errors import BaseModelError, ConfigError, EnvironmentLack
from qingtiao.hub import asked_once
from qingtiao.models.processor import close_gaps, load_processor, tokenizer_of
from qingtiao.models.warm_start import only_reads, with_decoder

EMBEDDED = ("mini-zh",)
# Some tokenizers and image processors are read with these.
_OPTIONAL_PACKAGES = ("sentencepiece", "tiktoken", "torchvision")
_SHORTEST = 8  # tokens, marks included: below it there is no text to speak of
_HUB_ID = re.compile(r"[\w][\w.-]*(/[\w][\w.-]*)?")


@dataclass(frozen=True, slots=True)
class LoadedBase:
    """A base with its head. `fresh` names the parameters that the base's files did not hold.

    `fingerprint` is a SHA-256 over every parameter and buffer the files did hold, as float32. `tokenizer` is a
    processor of images and text where the task asked for one; `tokenizer_of` gives the text part of either.
    """

    name: str
    revision: str | None
    model: Any
    tokenizer: Any
    fresh: tuple[str, ...]
    fingerprint: str

    @property
    def hidden_size(self) -> int:
        return int(self.model.config.get_text_config().hidden_size)


def load_base(
    name: str,
    *,
    revision: str | None,
    auto_class: str,
    processor_class: str = "AutoTokenizer",
    model_options: Mapping[str, Any],
) -> LoadedBase:
    """The base in float32 with the head that the task wants.

    The head, and whatever else is missing from the files, is drawn from torch's global generator: seed it first.

    Args:
        auto_class: the transformers class that loads the model, `AutoModelFor…`.
        processor_class: the one that loads what encodes its input: `AutoTokenizer`, or `AutoProcessor` for images.
        model_options: keywords for `from_pretrained`; and `new_decoder_layers`, with which a base that can only read
            gets a new decoder of so many layers. Bases that write by themselves never see it.

    Raises:
        BaseModelError: no such base, damaged files, or an architecture that has no `auto_class`.
        EnvironmentLack: the Hub cannot be reached, or a package that the base needs is not installed.
    """
    location = locate(name)
    options = dict(model_options)
    layers = options.pop("new_decoder_layers", None)
    near = asked_once() if location == name and not Path(name).is_dir() else nullcontext()
    with _upstream_errors_as_ours(name), quiet_transformers(), near:
        processor = load_processor(location, revision=revision, processor_class=processor_class)
        lacks_decoder = layers is not None and only_reads(location, revision=revision)
        model, info = _auto("AutoModelForMaskedLM" if lacks_decoder else auto_class).from_pretrained(
            location,
            revision=revision,
            dtype=torch.float32,
            trust_remote_code=False,
            output_loading_info=True,
            # A base that someone already fine-tuned brings a head of another size: ours is new then.
            ignore_mismatched_sizes=True,
            **options,
        )
    fresh = {*info["missing_keys"], *(item[0] for item in info.get("mismatched_keys", ()))}
    _refuse_an_empty_base(name, model, fresh)
    close_gaps(processor, model)
    commit = getattr(model.config, "_commit_hash", None)
    if lacks_decoder:
        model, fresh = with_decoder(model, fresh, tokenizer_of(processor), layers=layers, name=name)
    return LoadedBase(
        name=name,
        revision=commit or revision,
        model=model,
        tokenizer=processor,
        fresh=tuple(sorted(fresh)),
        fingerprint=fingerprint(model, skip=fresh),
    )


def locate(name: str) -> str:
    """What `from_pretrained` is to be given for `name`.

    Raises:
        BaseModelError: `name` is neither embedded, nor a folder with a config.json, nor a possible Hub id.
    """
    if name in EMBEDDED:
        return str(resources.files("qingtiao.models") / "embedded" / name)
    folder = Path(name).expanduser()
    if folder.is_dir():
        if not (folder / "config.json").is_file():
            raise BaseModelError(
                f"目录 {name} 里没有 config.json，不是一个模型",
                f"The folder {name} holds no config.json, so it is not a model",
                todo_zh="给出 save_pretrained 存下的目录，或者 Hub 上的名字。",
                todo_en="Name a folder written by save_pretrained, or a Hub id.",
            )
        return str(folder)
    if not _HUB_ID.fullmatch(name) or folder.exists():
        zh, en = suggestion(name, EMBEDDED)
        raise BaseModelError(
            f"找不到基座 {name}{zh}",
            f"There is no base {name}{en}",
            todo_zh="用 mini-zh、一个本地目录，或 Hub 上的名字（例如 bert-base-chinese）。",
            todo_en="Use mini-zh, a local folder, or a Hub id (for example bert-base-chinese).",
        )
    return name


def fingerprint(model: nn.Module, *, skip: set[str]) -> str:
    """SHA-256 over the names and float32 bytes of the parameters, in the order of their names."""
    digest = hashlib.sha256()
    for key, tensor in sorted(model.state_dict().items()):
        if key not in skip:
            digest.update(key.encode())
            digest.update(tensor.detach().to("cpu", torch.float32).contiguous().numpy().tobytes())
    return digest.hexdigest()


def longest_input(base: LoadedBase, wanted: int, *, prompts: int = 0) -> int:
    """`wanted`, cut to what the tokenizer and the positions of the base allow beside `prompts` before it; in tokens.

    Bases with relative positions alone (T5) set no limit.

    Raises:
        ConfigError: the prompts leave no room for a text.
    """
    limits = [int(tokenizer_of(base.tokenizer).model_max_length)]
    positions = getattr(base.model.config.get_text_config(), "max_position_embeddings", None)
    if isinstance(positions, int) and positions > 0:
        limits.append(positions)
    for name, module in base.model.named_modules():
        if name.endswith("position_embeddings") and isinstance(module, nn.Embedding):
            # RoBERTa-like tables spend their first rows on padding.
            reserved = 0 if module.padding_idx is None else module.padding_idx + 1
            limits.append(module.num_embeddings - reserved)
    room = min(limits) - prompts
    if prompts and room < _SHORTEST:
        raise ConfigError(
            f"{prompts} 个虚拟词元放在前面，基座 {base.name} 最多 {min(limits)} 个词元，留给文本的不够",
            f"{prompts} virtual tokens in front leave no room for text: {base.name} reads at most {min(limits)} tokens",
            todo_zh="调小 --set method.num_virtual_tokens=…。",
            todo_en="Lower --set method.num_virtual_tokens=….",
        )
    return min(wanted, room)


def _auto(auto_class: str) -> Any:
    import transformers

    return getattr(transformers, auto_class)


def _refuse_an_empty_base(name: str, model: nn.Module, fresh: set[str]) -> None:
    """Files of another architecture load without an error and leave every layer random."""
    total = sum(1 for _ in model.parameters())
    if total - len(fresh) < total / 2:
        raise BaseModelError(
            f"基座 {name} 的权重与它的 config.json 不符：{total} 个参数里有 {len(fresh)} 个在权重文件里找不到",
            f"The weights of {name} do not fit its config.json: {len(fresh)} of {total} parameters are missing",
            todo_zh="检查 config.json 的 architectures / model_type 是否与权重是同一个模型。",
            todo_en="Check that config.json and the weights belong to the same model.",
        )


@contextmanager
def quiet_transformers() -> Iterator[None]:
    """Upstream announces new heads and unused weights at every load; we say what matters in our own words."""
    from transformers.utils import logging as upstream

    level, bars = upstream.get_verbosity(), upstream.is_progress_bar_enabled()
    upstream.set_verbosity(logging.CRITICAL)
    upstream.disable_progress_bar()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        upstream.set_verbosity(level)
        if bars:
            upstream.enable_progress_bar()


@contextmanager
def _upstream_errors_as_ours(name: str) -> Iterator[None]:
    try:
        yield
    except BaseModelError:
        raise
    except Exception as error:  # upstream raises OSError, ValueError, KeyError, RuntimeError and its own
        local = name in EMBEDDED or Path(name).expanduser().is_dir()
        if isinstance(error, MemoryError) or "out of memory" in str(error):
            raise EnvironmentLack(
                f"内存装不下基座 {name}",
                f"There is not enough memory for the base {name}",
                todo_zh="换小一些的基座，例如 mini-zh 或 hfl/rbt3。",
                todo_en="Use a smaller base, for example mini-zh or hfl/rbt3.",
            ) from error
        package = _package_lacking(error)
        if package is not None:
            raise EnvironmentLack(
                f"基座 {name} 需要 Python 包 {package}，这里没有装",
                f"The base {name} needs the Python package {package}, which is not installed",
                todo_zh=f"pip install {package}",
                todo_en=f"pip install {package}",
            ) from error
        if not local and not _says_absent(error):
            hub = os.environ.get("HF_ENDPOINT", "https://huggingface.co")
            raise EnvironmentLack(
                f"下载不到基座 {name}：连不上 {hub}",
                f"Cannot download the base {name}: {hub} is out of reach",
                todo_zh="设置镜像 export HF_ENDPOINT=https://hf-mirror.com，或给出本地目录，或用 --base mini-zh。",
                todo_en="Set a mirror in HF_ENDPOINT, name a local folder, or use the embedded --base mini-zh.",
            ) from error
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise BaseModelError(
            f"用不了基座 {name}：{reason}",
            f"The base {name} cannot be used: {reason}",
            todo_zh="检查名字和目录里的文件是否完整；先用 --base mini-zh 可以马上开始。",
            todo_en="Check the name and that the folder is whole; --base mini-zh works right away.",
        ) from error


def _package_lacking(error: Exception) -> str | None:
    """The package whose absence upstream complains of.

    Where sentencepiece is absent it tries tiktoken next, and complains of that.
    """
    text = str(error).lower()
    lacking = [name for name in _OPTIONAL_PACKAGES if importlib.util.find_spec(name) is None]
    if "tiktoken" in text and "sentencepiece" in lacking:
        return "sentencepiece"
    return next((name for name in lacking if name in text), None)


def _says_absent(error: BaseException) -> bool:
    from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError, RevisionNotFoundError

    chain: BaseException | None = error
    while chain is not None:
        if isinstance(chain, (RepositoryNotFoundError, RevisionNotFoundError, GatedRepoError)):
            return True
        chain = chain.__cause__ or chain.__context__
    return False
