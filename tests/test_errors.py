"""The error tree: exit codes, two languages, the way through a pickle, and the drawing in the docstring."""

from __future__ import annotations

import pickle
import re
from collections.abc import Iterator

import pytest

from qingtiao import errors
from qingtiao.errors import (
    BaseModelError,
    BundleError,
    ConfigError,
    DataError,
    EnvironmentLack,
    Interrupted,
    QingtiaoError,
    RunError,
    UserError,
)
from qingtiao.language import language, say

CODES = {
    QingtiaoError: 1,
    UserError: 2,
    ConfigError: 2,
    DataError: 2,
    BaseModelError: 2,
    BundleError: 2,
    RunError: 2,
    EnvironmentLack: 3,
    Interrupted: 130,
}


def descendants(kind: type[QingtiaoError]) -> Iterator[type[QingtiaoError]]:
    yield kind
    for child in kind.__subclasses__():
        yield from descendants(child)


def example(kind: type[QingtiaoError]) -> QingtiaoError:
    return kind("第 3 行坏了", "row 3 is damaged", todo_zh="改好它", todo_en="mend it")


def test_every_error_has_the_documented_exit_code() -> None:
    ours = [kind for kind in descendants(QingtiaoError) if kind.__module__ == errors.__name__]
    assert len(ours) == 9
    assert {kind: kind.exit_code for kind in ours} == CODES


def test_the_tree_in_the_docstring_is_the_tree_of_the_classes() -> None:
    assert errors.__doc__ is not None
    drawn: dict[str, str | None] = {}
    above: list[tuple[int, str]] = []
    for line in errors.__doc__.splitlines():
        found = re.match(r"([│├└─ ]*)([A-Z]\w+)  ", line)
        if not found:
            continue
        depth, name = len(found[1]), found[2]
        while above and above[-1][0] >= depth:
            above.pop()
        drawn[name] = above[-1][1] if above else None
        above.append((depth, name))
    # Interrupted stands apart in the drawing, because it is nobody's fault; in code it is one of ours.
    drawn["Interrupted"] = "QingtiaoError"
    real = {kind.__name__: kind.__bases__[0].__name__ for kind in CODES}
    real_or_root = {name: None if name == "QingtiaoError" else parent for name, parent in real.items()}
    assert drawn == real_or_root


def test_the_exit_codes_in_the_docstring_are_those_of_the_classes() -> None:
    assert errors.__doc__ is not None
    written = {name: int(code) for name, code in re.findall(r"(\w+) +(\d+)  ", errors.__doc__)}
    assert len(written) == 4
    assert written == {kind.__name__: code for kind, code in CODES.items() if kind.__name__ in written}


@pytest.mark.parametrize("kind", CODES, ids=lambda kind: kind.__name__)
@pytest.mark.parametrize(("chosen", "text"), [("zh", "第 3 行坏了\n→ 改好它"), ("en", "row 3 is damaged\n→ mend it")])
def test_an_error_speaks_the_chosen_language(
    kind: type[QingtiaoError], chosen: str, text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("QINGTIAO_LANG", chosen)
    assert str(example(kind)) == text


def test_the_language_is_chosen_when_the_error_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    error = example(DataError)
    monkeypatch.setenv("QINGTIAO_LANG", "en")
    assert (error.what, error.todo) == ("row 3 is damaged", "mend it")
    monkeypatch.setenv("QINGTIAO_LANG", "zh")
    assert (error.what, error.todo) == ("第 3 行坏了", "改好它")


@pytest.mark.parametrize("kind", CODES, ids=lambda kind: kind.__name__)
def test_an_error_crosses_a_process_whole(kind: type[QingtiaoError]) -> None:
    before = example(kind)
    after = pickle.loads(pickle.dumps(before))
    assert type(after) is kind
    assert (after.zh, after.en, after.todo_zh, after.todo_en) == (before.zh, before.en, before.todo_zh, before.todo_en)
    assert after.exit_code == before.exit_code


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({"QINGTIAO_LANG": "en"}, "en"),
        ({"QINGTIAO_LANG": "EN-gb"}, "en"),
        ({"QINGTIAO_LANG": "zh", "LANG": "en_US.UTF-8"}, "zh"),
        ({"LANG": "en_US.UTF-8"}, "en"),
        ({"LANG": "zh_CN.UTF-8"}, "zh"),
        ({"LC_ALL": "zh_TW.UTF-8", "LANG": "en_US.UTF-8"}, "zh"),
        ({"QINGTIAO_LANG": "", "LANG": "en_US.UTF-8"}, "en"),
        ({"LANG": "C.UTF-8"}, "zh"),
        ({"QINGTIAO_LANG": "zh-en"}, "zh"),
    ],
)
def test_which_language(environment: dict[str, str], expected: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("QINGTIAO_LANG", "LC_ALL", "LC_MESSAGES", "LANG"):
        monkeypatch.delenv(variable, raising=False)
    for variable, value in environment.items():
        monkeypatch.setenv(variable, value)
    assert language() == expected
    assert say("好", "good") == {"zh": "好", "en": "good"}[expected]
