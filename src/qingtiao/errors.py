"""Every error Qingtiao raises on purpose. Each says what happened, where, and what to do next.

QingtiaoError                 1  our own fault unless a subclass says otherwise
├── UserError                 2  the input or the call is wrong
│   ├── ConfigError              an unknown option, a value out of range
│   ├── DataError                a file that cannot be read, rows that cannot be used
│   ├── BaseModelError           a base that is not there or does not fit the task
│   ├── BundleError              a bundle that is damaged, foreign or does not fit its base
│   └── RunError                 a run folder in use, or nothing to resume
└── EnvironmentLack           3  the machine lacks something: a package, disk, memory, network
Interrupted                 130  Ctrl-C, after everything worth keeping was saved

The numbers are the exit codes of the command line.
"""

from __future__ import annotations

from typing import ClassVar, Self

from qingtiao.language import say


class QingtiaoError(Exception):
    """`zh`/`en` say what happened with the offending value and place; `todo_zh`/`todo_en` what to do next."""

    exit_code: ClassVar[int] = 1

    def __init__(self, zh: str, en: str, *, todo_zh: str, todo_en: str) -> None:
        super().__init__(zh, en, todo_zh, todo_en)
        self.zh, self.en, self.todo_zh, self.todo_en = zh, en, todo_zh, todo_en

    def __reduce__(self) -> tuple[object, ...]:
        # Exceptions are rebuilt from `args` when they cross a process; keyword-only arguments need help.
        return (_rebuild, (type(self), self.zh, self.en, self.todo_zh, self.todo_en))

    def advising(self, *, todo_zh: str, todo_en: str) -> Self:
        """The same error with other advice."""
        return type(self)(self.zh, self.en, todo_zh=todo_zh, todo_en=todo_en)

    @property
    def what(self) -> str:
        return say(self.zh, self.en)

    @property
    def todo(self) -> str:
        return say(self.todo_zh, self.todo_en)

    def __str__(self) -> str:
        return f"{self.what}\n→ {self.todo}"


def _rebuild(kind: type[QingtiaoError], zh: str, en: str, todo_zh: str, todo_en: str) -> QingtiaoError:
    return kind(zh, en, todo_zh=todo_zh, todo_en=todo_en)


class UserError(QingtiaoError):
    exit_code = 2


class ConfigError(UserError):
    """An unknown option, or a value that cannot be used."""


class DataError(UserError):
    """A file that cannot be read, or rows that cannot be used."""


class BaseModelError(UserError):
    """A base model that is not there, or does not fit the task."""


class BundleError(UserError):
    """A bundle that is damaged, foreign, or does not fit its base."""


class RunError(UserError):
    """A run folder that another process uses, or that holds nothing to resume."""


class EnvironmentLack(QingtiaoError):
    """The machine lacks something: a package, disk space, memory, the network."""

    exit_code = 3


class Interrupted(QingtiaoError):
    """Ctrl-C, raised only after everything worth keeping was saved."""

    exit_code = 130
