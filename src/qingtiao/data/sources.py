"""Where rows come from: a file, the embedded set, or the Hub and its mirrors."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from importlib import resources
from pathlib import Path
from typing import Any, NamedTuple

from qingtiao.config import suggestion
from qingtiao.data.read import FileFacts, file_facts, read_records
from qingtiao.errors import DataError, EnvironmentLack
from qingtiao.hub import asked_once
from qingtiao.types import Place, Record

_ALIASES = {"validation": "dev", "valid": "dev", "val": "dev", "eval": "dev", "development": "dev"}
_PREFIX = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):(.*)", re.DOTALL)  # two letters or more: C:\ is a drive

_SHEET = re.compile(r"(.+\.xlsx(?:\.gz)?)#(.+)", re.DOTALL | re.IGNORECASE)


class Source(NamedTuple):
    """`kind` is `file`, `embedded`, `samples` or `hf`; `name` is what stands behind the prefix."""

    kind: str
    name: str


def parse_source(source: str) -> Source:
    """A path (behind that of a workbook perhaps `#<sheet>`), `embedded:<name>`, `samples:<task>`, or
    `hf:<owner/name or folder>[@revision]`.

    Raises:
        DataError: the prefix is none of these.
    """
    match = _PREFIX.fullmatch(source)
    if match is None or Path(source).exists():
        return Source("file", source)
    prefix = match[1].lower()
    if prefix not in ("embedded", "samples", "hf"):
        raise DataError(
            f"不认识数据来源 {source!r} 的前缀 {match[1]}:",
            f"The prefix {match[1]}: of the source {source!r} is not known",
            todo_zh="写文件路径、embedded:reviews、samples:任务名，或 hf:作者/名字。",
            todo_en="Give a file path, embedded:reviews, samples:TASK, or hf:owner/name.",
        )
    return Source(prefix, match[2])


def available_splits(source: str) -> tuple[str, ...]:
    """The splits that the source itself distinguishes, under our names; a plain file holds just `train`.

    Raises:
        DataError: the source is not known or not there.
        EnvironmentLack: the Hub cannot be reached, or its package is not installed.
    """
    kind, name = parse_source(source)
    if kind == "embedded":
        _embedded_path(name)
        return ("train", "dev", "test")
    if kind == "hf":
        return tuple(dict.fromkeys(_ours(split) for split in _load_hub(name)))
    return ("train",)


def load_split(source: str, *, split: str, encoding: str | None = None) -> Iterator[Record]:
    """The records of one split, by our name or an alias (`validation` is `dev`). A plain file is its own only split.

    The built-in samples of a task are the task's, which stands above this layer: `workflows.material` reads them.

    Raises:
        DataError: the source or the split is not there, or cannot be read.
        EnvironmentLack: the Hub cannot be reached, or its package is not installed.
    """
    kind, name = parse_source(source)
    if kind == "file":
        path, sheet = path_and_sheet(name)
        yield from read_records(path, encoding=encoding, sheet=sheet)
    elif kind == "embedded":
        yield from _embedded(name, _ours(split))
    else:
        yield from _hub(name, _ours(split))


def path_and_sheet(name: str) -> tuple[str, str | None]:
    """The path of a file, and the sheet that is asked for: `a.xlsx#二月` names both."""
    match = None if Path(name).exists() else _SHEET.fullmatch(name)
    return (match[1], match[2]) if match else (name, None)


def facts_of(source: str, *, encoding: str | None = None) -> FileFacts:
    """How a source is read, as far as it is a file.

    Raises:
        DataError: it is a file that cannot be read.
    """
    kind, name = parse_source(source)
    if kind != "file":
        return FileFacts()
    path, sheet = path_and_sheet(name)
    return file_facts(path, encoding=encoding, sheet=sheet)


def _ours(split: str) -> str:
    return _ALIASES.get(split.lower(), split.lower())


def _no_split(source: str, split: str, have: list[str]) -> DataError:
    return DataError(
        f"{source} 里没有 {split} 这一份",
        f"{source} has no split {split}",
        todo_zh="现有的是：" + "、".join(have),
        todo_en="It has: " + ", ".join(have),
    )


def _embedded_path(name: str) -> Path:
    folder = Path(str(resources.files("qingtiao.data") / "embedded"))
    files = {path.name.split(".")[0]: path for path in sorted(folder.glob("*.jsonl*"))}
    if name not in files:
        zh, en = suggestion(name, list(files))
        raise DataError(
            f"没有内置数据 {name!r}{zh}",
            f"There is no embedded data set {name!r}{en}",
            todo_zh="内置的有：" + "、".join(files),
            todo_en="Embedded: " + ", ".join(files),
        )
    return files[name]


def _embedded(name: str, split: str) -> Iterator[Record]:
    path = _embedded_path(name)
    if split not in ("train", "dev", "test"):
        raise _no_split(f"embedded:{name}", split, ["train", "dev", "test"])
    for record in read_records(path):
        if record.fields["split"] == split:
            fields = {key: value for key, value in record.fields.items() if key != "split"}
            yield Record(fields, Place(f"embedded:{name}", record.place.row))


def _hub(name: str, split: str) -> Iterator[Record]:
    parts = _load_hub(name)
    wanted = next((part for part in parts if _ours(part) == split), None)
    if wanted is None:
        raise _no_split(f"hf:{name}", split, [_ours(part) for part in parts])
    data = parts[wanted]
    names = {column: feature.names for column, feature in data.features.items() if hasattr(feature, "names")}
    for number, fields in enumerate(data, 1):
        shown = {column: _named(names.get(column), value) for column, value in fields.items()}
        yield Record(shown, Place(f"hf:{name}/{wanted}", number))


def _named(names: list[str] | None, value: Any) -> Any:
    # Test sets whose labels are withheld carry -1.
    if names is None or not isinstance(value, int):
        return value
    return names[value] if 0 <= value < len(names) else None


def _load_hub(name: str) -> Any:
    """All splits of a data set on the Hub, or of a folder of data files, as `datasets` loads them."""
    try:
        import datasets
    except ImportError as error:
        raise EnvironmentLack(
            f"读 Hub 上的数据需要 datasets，现在没有装（{error}）",
            f"Reading data from the Hub needs datasets, which is not installed ({error})",
            todo_zh='运行 pip install "qingtiao[hub]"，或者先下载成文件。',
            todo_en='Run pip install "qingtiao[hub]", or download the data as files.',
        ) from None
    repo, at, revision = name.rpartition("@")
    if not at or Path(name).exists():
        repo, revision = name, ""
    with _hub_errors_as_ours(name), nullcontext() if Path(repo).exists() else asked_once():
        if Path(repo).is_file():
            raise FileNotFoundError(f"{repo} is a file")
        return datasets.load_dataset(repo, revision=revision or None)


@contextmanager
def _hub_errors_as_ours(name: str) -> Iterator[None]:
    import datasets
    import httpx2
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, OfflineModeIsEnabled

    try:
        yield
    except (OfflineModeIsEnabled, ConnectionError, TimeoutError, httpx2.TransportError) as error:
        raise _no_network(name, error) from None
    except RuntimeError as error:
        raise _scripted(name, error) if "script" in str(error).lower() else _not_loaded(name, error) from None
    except (FileNotFoundError, HFValidationError, HfHubHTTPError, ValueError, OSError) as error:
        raise _not_loaded(name, error) from None
    except datasets.exceptions.DatasetsError as error:
        raise _not_loaded(name, error) from None


def _no_network(name: str, error: Exception) -> EnvironmentLack:
    return EnvironmentLack(
        f"连不上 Hub，取不到 {name}：{error}",
        f"The Hub cannot be reached for {name}: {error}",
        todo_zh="检查网络；在国内可以设 HF_ENDPOINT=https://hf-mirror.com，或者先下载成文件。",
        todo_en="Check the network; set HF_ENDPOINT to a mirror, or download the data as files.",
    )


def _scripted(name: str, error: Exception) -> DataError:
    return DataError(
        f"{name} 是用脚本加载的数据集，新版 datasets 不再运行这种脚本：{error}",
        f"{name} is loaded by a script, which datasets no longer runs: {error}",
        todo_zh="换一个 parquet 版本，例如 hf:lansinuote/ChnSentiCorp；或者下载成 csv 再用。",
        todo_en="Use a parquet copy such as hf:lansinuote/ChnSentiCorp, or download it as csv.",
    )


def _not_loaded(name: str, error: Exception) -> DataError:
    return DataError(
        f"取不到数据集 hf:{name}：{error}",
        f"The data set hf:{name} could not be loaded: {error}",
        todo_zh="检查名字（hf:作者/名字@版本）和权限；需要登录的数据集先运行 hf auth login。",
        todo_en="Check its name (hf:owner/name@revision) and your access; run hf auth login for a gated one.",
    )
