"""The README keeps its word: its commands run in order in an empty folder, its Python runs, its links lead somewhere.

Every command is either run here or stands in `NOT_RUN` with the reason; a new one that is neither is run.
"""

from __future__ import annotations

import csv
import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import pytest

from qingtiao import errors
from qingtiao.errors import QingtiaoError

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
ENGLISH = (ROOT / "README.en.md").read_text(encoding="utf-8")
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
QINGTIAO = Path(sys.executable).with_name("qingtiao")
ROWS = 80

NOT_RUN = {
    "make demo": "installs, then is the demo, which has a test of its own",
    "make test": "is what runs this test",
    "source .venv/bin/activate": "this test names the installed command by its path",
    "qingtiao app runs/reviews/bundle --port 7860": "serves until it is stopped; the browser suite drives it",
    "qingtiao serve runs/reviews/bundle --port 8000": "serves until it is stopped; the contract suite calls it",
    "qingtiao train --data reviews.csv --base Qwen/Qwen3-0.6B --quantize 4bit --out runs/qlora": (
        "downloads; a quantised tiny Qwen is trained elsewhere"
    ),
    "qingtiao train --data hf:lansinuote/ChnSentiCorp --base hfl/chinese-roberta-wwm-ext --out runs/chnsenticorp": (
        "downloads; a local stand-in for the Hub is tested elsewhere"
    ),
    "qingtiao demo --out runs/demo": "has a test of its own",
}
# The run it would resume is finished by then, and the command must say so.
EXPECTED_EXIT = {"qingtiao train --resume --out runs/reviews": 2}


def blocks(page: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", page, flags=re.MULTILINE | re.DOTALL)


def commands_of(page: str) -> list[str]:
    lines = "".join(blocks(page, "bash")).replace("\\\n", " ").splitlines()
    return [line.strip() for line in lines if line.strip() and not line.startswith("#")]


COMMANDS = commands_of(README)
RUN = [command for command in COMMANDS if command not in NOT_RUN]
PROGRAMS = blocks(README, "python")


@dataclass(frozen=True)
class Journey:
    """The folder in which everything was run, and what each command or program left behind."""

    folder: Path
    results: dict[str, subprocess.CompletedProcess[str]]


def embedded_rows() -> Iterator[tuple[str, str]]:
    """Balanced rows of the embedded reviews, alternating between the labels."""
    text = (resources.files("qingtiao.data") / "embedded" / "reviews.jsonl").read_text(encoding="utf-8")
    rows = [json.loads(line) for line in text.splitlines()]
    sides = [[row["text"] for row in rows if row["label"] == label] for label in ("正面", "负面")]
    for positive, negative in zip(*sides, strict=False):
        yield positive, "正面"
        yield negative, "负面"


def write_table(path: Path, rows: list[tuple[str, str]], *, header: tuple[str, str], encoding: str) -> None:
    with path.open("w", encoding=encoding, newline="") as file:
        writer = csv.writer(file, delimiter="\t" if path.suffix == ".tsv" else ",")
        writer.writerows([header, *rows])


def run(folder: Path, arguments: list[str]) -> subprocess.CompletedProcess[str]:
    environment = {
        **os.environ,
        "QINGTIAO_LANG": "zh",
        "HF_HUB_OFFLINE": "1",
        "COLUMNS": "250",
        "NO_COLOR": "1",
        "PYTHONUTF8": "1",
    }
    return subprocess.run(
        arguments,
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=300,
        check=False,
    )


def qingtiao(folder: Path, command: str) -> subprocess.CompletedProcess[str]:
    return run(folder, [str(QINGTIAO), *shlex.split(command)[1:]])


@pytest.fixture(scope="module")
def journey(tmp_path_factory: pytest.TempPathFactory) -> Journey:
    folder = tmp_path_factory.mktemp("readme")
    rows = list(embedded_rows())
    # GB18030 and Chinese column names, as a spreadsheet in China writes them.
    write_table(folder / "reviews.csv", rows[:ROWS], header=("评论", "标签"), encoding="gb18030")
    for name, part in (("train", rows[100:140]), ("dev", rows[140:160]), ("test", rows[160:180])):
        write_table(folder / f"{name}.tsv", part, header=("text", "label"), encoding="utf-8")
    results = {command: qingtiao(folder, command) for command in RUN}
    results |= {program: run(folder, [sys.executable, "-c", program]) for program in PROGRAMS}
    return Journey(folder, results)


def test_every_command_is_found_and_accounted_for() -> None:
    assert len(COMMANDS) == 22
    assert len(RUN) == 14
    assert len(PROGRAMS) == 2
    assert set(COMMANDS) >= NOT_RUN.keys() | EXPECTED_EXIT.keys()
    assert [command for command in RUN if not command.startswith("qingtiao ")] == []


def test_both_languages_show_the_same_commands_and_programs() -> None:
    assert commands_of(ENGLISH) == COMMANDS
    assert blocks(ENGLISH, "python") == PROGRAMS


@pytest.mark.parametrize("command", RUN)
def test_a_command_of_the_readme_runs(command: str, journey: Journey) -> None:
    answer = journey.results[command]
    assert answer.returncode == EXPECTED_EXIT.get(command, 0), answer.stdout + answer.stderr
    assert "Traceback" not in answer.stdout + answer.stderr


@pytest.mark.parametrize("program", PROGRAMS, ids=["predict", "train"])
def test_a_program_of_the_readme_runs(program: str, journey: Journey) -> None:
    answer = journey.results[program]
    assert answer.returncode == 0, answer.stdout + answer.stderr
    assert len(answer.stdout.splitlines()) >= 2


@pytest.mark.parametrize("command", [command for command in NOT_RUN if command.startswith("qingtiao ")])
def test_a_command_that_is_not_run_at_least_exists(command: str, tmp_path: Path) -> None:
    verb, *arguments = shlex.split(command)[1:]
    answer = qingtiao(tmp_path, f"qingtiao {verb} --help")
    assert answer.returncode == 0, answer.stderr
    flags = [argument for argument in arguments if argument.startswith("--")]
    assert len(flags) >= 1
    assert [flag for flag in flags if not re.search(rf"{flag}\b", answer.stdout)] == []


@pytest.mark.parametrize("command", [command for command in NOT_RUN if command.startswith("make ")])
def test_a_make_target_exists(command: str) -> None:
    target = command.split()[1]
    assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(encoding="utf-8"), flags=re.MULTILINE)


def test_what_training_leaves_is_what_the_readme_draws(journey: Journey) -> None:
    names = re.findall(r"^[├└]── (\S+)", README, flags=re.MULTILINE)
    assert len(names) == 6
    assert [name for name in names if not (journey.folder / "runs" / "reviews" / name).exists()] == []
    assert re.findall(r"^[├└]── (\S+)", ENGLISH, flags=re.MULTILINE) == names


def test_one_answer_for_each_row_of_the_file(journey: Journey) -> None:
    text = (journey.folder / "answers.csv").read_text(encoding="utf-8-sig")
    answers = list(csv.DictReader(text.splitlines()))
    assert len(answers) == ROWS
    assert {row["label"] for row in answers} <= {"正面", "负面"}


def test_evaluate_prints_the_block_that_programs_read(journey: Journey) -> None:
    block = json.loads(journey.results["qingtiao evaluate runs/reviews/bundle reviews.csv --json"].stdout)
    assert block["n"] == ROWS
    low, high = block["accuracy_ci"]
    assert 0 <= low <= block["accuracy"] <= high <= 1


def test_the_exit_codes_are_the_real_ones() -> None:
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, QingtiaoError)]
    real = {0, *(kind.exit_code for kind in kinds)}
    assert len(real) == 5
    for page in (README, ENGLISH):
        assert {int(code) for code in re.findall(r"^\| (\d+) \|", page, flags=re.MULTILINE)} == real


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_inside_the_project_lead_somewhere(page: Path) -> None:
    targets = re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text(encoding="utf-8"))
    assert [target for target in targets if not (page.parent / target).exists()] == []


def test_there_are_pages_to_check() -> None:
    assert len(PAGES) >= 8
