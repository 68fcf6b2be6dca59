"""Reading: every format and encoding, and a clear error for everything that can be wrong with a file."""

from __future__ import annotations

import gzip
import json
import os
import tracemalloc
from pathlib import Path

import pytest

from qingtiao.data.lines import MOST_CHARACTERS
from qingtiao.data.read import count_records, read_records
from qingtiao.data.write import write_records
from qingtiao.errors import DataError

CSV = "text,label\n这家店的味道很好，下次还来,正面\n等了一个小时，菜是凉的,负面\n"
TEXTS = ["这家店的味道很好，下次还来", "等了一个小时，菜是凉的"]


def save(path: Path, content: str | bytes) -> Path:
    path.write_bytes(content.encode("utf-8") if isinstance(content, str) else content)
    return path


def texts(path: Path, encoding: str | None = None) -> list[str]:
    return [record.fields["text"] for record in read_records(path, encoding=encoding)]


def refused(path: Path, *expected: str, encoding: str | None = None) -> DataError:
    with pytest.raises(DataError) as caught:
        list(read_records(path, encoding=encoding))
    for part in (str(path), *expected):
        assert part in caught.value.zh or part in caught.value.en
    assert caught.value.todo_zh
    assert caught.value.todo_en
    return caught.value


@pytest.mark.parametrize("suffix", ["csv", "tsv", "jsonl", "json", "parquet", "xlsx"])
@pytest.mark.parametrize("packed", ["", ".gz"])
def test_every_format_gives_back_what_was_written(tmp_path: Path, suffix: str, packed: str) -> None:
    path = tmp_path / f"数据.{suffix}{packed}"
    rows = [
        {"text": '他说"好",\n真的', "label": "1"},
        {"text": "一般 \ud83d\ude00".encode("utf-16", "surrogatepass").decode("utf-16"), "label": "0"},
    ]
    assert write_records(path, rows, neutralise=False) == 2
    assert [dict(record.fields) for record in read_records(path)] == rows
    first = 2 if suffix in ("csv", "tsv", "xlsx") else 1
    assert [record.place.row for record in read_records(path)] == [first, first + 1]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "gbk", "gb18030", "utf-16", "utf-16-le", "utf-16-be"])
def test_encodings_are_detected(tmp_path: Path, encoding: str) -> None:
    assert texts(save(tmp_path / "a.csv", CSV.encode(encoding))) == TEXTS


def test_big5_is_detected(tmp_path: Path) -> None:
    path = save(tmp_path / "a.csv", "text,label\n這間酒店的服務態度很好,正面\n".encode("big5"))
    assert texts(path) == ["這間酒店的服務態度很好"]


SIMPLIFIED = [
    *(
        "很好吃",
        "太难吃了",
        "房间干净",
        "服务态度差",
        "物流很快",
        "质量不错",
        "屏幕清晰",
        "电影无聊",
        "下次还来",
        "不推荐购买",
    ),
    *(
        "书的内容很好",
        "老板人不错",
        "性价比高",
        "早餐一般",
        "味道可以",
        "等了好久",
        "客服不理人",
        "值得一看",
        "垃圾",
        "满意",
    ),
]
TRADITIONAL = [
    *(
        "很好吃",
        "太難吃了",
        "房間乾淨",
        "服務態度差",
        "物流很快",
        "品質不錯",
        "螢幕清晰",
        "電影無聊",
        "下次還來",
        "不推薦購買",
    ),
    *(
        "書的內容很好",
        "老闆人不錯",
        "價錢便宜",
        "早餐一般",
        "味道可以",
        "等了好久",
        "客服不理人",
        "值得一看",
        "垃圾",
        "滿意",
    ),
]


@pytest.mark.parametrize(("encoding", "samples"), [("gb18030", SIMPLIFIED), ("big5", TRADITIONAL)])
def test_a_single_short_row_is_enough_to_tell_the_tables_apart(
    tmp_path: Path, encoding: str, samples: list[str]
) -> None:
    wrong = [text for text in samples if texts(save(tmp_path / "a.csv", f"text\n{text}\n".encode(encoding))) != [text]]
    assert len(samples) == 20
    assert wrong == []


def test_a_foreign_byte_far_down_a_big_file_is_still_detected(tmp_path: Path) -> None:
    content = b"text,label\n" + b"plain ascii,0\n" * 100_000 + "味道很好，下次还来,1\n".encode("gbk")
    last = list(read_records(save(tmp_path / "a.csv", content)))[-1]
    assert last.fields["text"] == "味道很好，下次还来"
    assert last.place.row == 100_002


def test_a_foreign_byte_far_along_one_long_line_is_still_detected(tmp_path: Path) -> None:
    content = b"text,label\n" + b"x" * 400_000 + "味道很好，下次还来,1\n".encode("gbk")
    assert texts(save(tmp_path / "a.csv", content))[0].endswith("味道很好，下次还来")


def test_damaged_utf8_is_refused_with_offset_and_line_and_never_read_as_gbk(tmp_path: Path) -> None:
    good = CSV.encode()
    error = refused(save(tmp_path / "a.csv", good + b"\xff\xfe,x\n"), str(len(good)), "utf-8")
    assert "第 4 行" in error.zh
    assert "line 4" in error.en


def test_a_named_encoding_is_strict_too(tmp_path: Path) -> None:
    refused(save(tmp_path / "a.csv", CSV.encode("gbk")), "utf-8", encoding="utf-8")
    refused(save(tmp_path / "b.csv", CSV), "gkb", encoding="gkb")
    assert texts(save(tmp_path / "c.csv", CSV.encode("gbk")), encoding="gbk") == TEXTS


def test_latin_text_is_not_taken_for_chinese(tmp_path: Path) -> None:
    refused(save(tmp_path / "a.csv", "text,label\nCafé très agréable à côté,1\n".encode("latin-1")), "gb18030")


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("empty.csv", "", "空文件"),
        ("header.csv", "text,label\n", "只有表头"),
        ("header.tsv", "text\tlabel\n\n", "只有表头"),
        ("blank.jsonl", "\n\n", "没有数据行"),
        ("blank_header.csv", "\n真好,1\n", "没有表头"),
        ("twice.csv", "text,text\n1,2\n", "重名"),
        ("many.csv", "text,label\na,1\nb,c,1\n", "many.csv:3 有 3 格"),
        ("few.csv", "text,label\na,1\nb\n", "few.csv:3 有 1 格"),
        ("few.tsv", "text\tlabel\na\t1\nb\n", "few.tsv:3 有 1 格"),
        ("nul.csv", "text,label\na\0b,1\n", "NUL"),
        ("open.csv", 'text,label\n好,1\n"没有闭合,1\n' + "好,1\n" * 10, "open.csv:3 引号没有闭合"),
        ("inside.csv", 'text,label\n"好"吃,1\n', "inside.csv:2 引号后面还有字"),
        ("bad.jsonl", '{"text": "好"}\n{"text": \n', "bad.jsonl:2 不是 JSON"),
        ("list.jsonl", "[1, 2]\n", "list.jsonl:1 应当是一个对象"),
        ("object.json", '{"text": "好"}', "一个列表"),
        ("numbers.json", "[1, 2]", "一个对象"),
        ("none.json", "[]", "没有数据行"),
        ("deep.json", "[" * 100_000, "不是 JSON"),
        ("fake.xlsx", "text,label\n", "已损坏"),
        ("fake.parquet", "text,label\n", "已损坏"),
        ("torn.parquet", b"PAR1" + b"\0" * 100, "已损坏"),
        ("torn.xlsx", b"PK\x03\x04" + b"\0" * 100, "已损坏"),
        ("excel.csv", b"PK\x03\x04" + b"\0" * 100, "Excel"),
        ("cut.csv.gz", gzip.compress(CSV.encode() * 100)[:-12], "压缩不完整"),
        ("not.csv.gz", CSV, "压缩不完整"),
        ("notes.docx", "x", "不认识"),
        ("nosuffix", "x", "不认识"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_with_its_place(tmp_path: Path, name: str, content: str | bytes, expected: str) -> None:
    with pytest.raises(DataError) as caught:
        list(read_records(save(tmp_path / name, content)))
    assert expected in caught.value.zh
    assert name in caught.value.en
    assert caught.value.todo_en


def test_a_truncated_parquet_or_workbook_is_damaged(tmp_path: Path) -> None:
    for suffix in ("parquet", "xlsx"):
        path = tmp_path / f"a.{suffix}"
        write_records(path, [{"text": f"第{n}条", "label": 1} for n in range(500)], neutralise=False)
        refused(save(path, path.read_bytes()[: path.stat().st_size // 2]), "damaged")


def test_a_missing_file_names_the_nearest_one(tmp_path: Path) -> None:
    save(tmp_path / "reviews.csv", CSV)
    refused(tmp_path / "review.csv", "reviews.csv")
    refused(tmp_path / "gone" / "review.csv")


def test_a_folder_is_not_a_file(tmp_path: Path) -> None:
    save(tmp_path / "reviews.csv", CSV)
    assert "reviews.csv" in refused(tmp_path, "目录").todo_zh


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="the superuser may read everything")
def test_a_file_without_permission(tmp_path: Path) -> None:
    path = save(tmp_path / "a.csv", CSV)
    path.chmod(0)
    refused(path, "权限")


def test_an_open_quote_does_not_swallow_a_big_file(tmp_path: Path) -> None:
    path = save(tmp_path / "a.csv", 'text,label\n"开头,1\n' + "后面的行,0\n" * 300_000)
    refused(path, "a.csv:2", "引号没有闭合")


def test_a_line_of_fifty_megabytes_is_one_error_and_little_memory(tmp_path: Path) -> None:
    path = save(tmp_path / "a.csv", b"text,label\n" + b"x" * 50_000_000 + b",1\n")
    tracemalloc.start()
    refused(path, "a.csv:2", "50,000,003")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 25_000_000


def test_a_cell_just_under_the_limit_is_read(tmp_path: Path) -> None:
    long = "长" * (MOST_CHARACTERS - 10)
    assert texts(save(tmp_path / "a.csv", f'text,label\n"{long}",1\n')) == [long]


def test_streaming_takes_constant_memory(tmp_path: Path) -> None:
    path = save(tmp_path / "a.csv", "text,label\n" + f"{'味道很好' * 250},1\n" * 10_000)
    tracemalloc.start()
    assert sum(1 for _ in read_records(path)) == 10_000
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert path.stat().st_size > 30_000_000
    assert peak < 6_000_000


def test_a_tsv_with_bare_quotes_keeps_them(tmp_path: Path) -> None:
    path = save(tmp_path / "a.tsv", 'label\ttext\n1\t"开头有引号\n0\t中间"有\n1\t"整格都有"\n')
    assert texts(path) == ['"开头有引号', '中间"有', '"整格都有"']


def test_a_quoted_tsv_is_unquoted(tmp_path: Path) -> None:
    path = save(tmp_path / "a.tsv", 'label\ttext\n1\t"他说""好"""\n0\t"有\t制表符""和引号"""\n')
    assert texts(path) == ['他说"好"', '有\t制表符"和引号"']


@pytest.mark.parametrize("delimiter", [";", "\t"])
def test_a_csv_may_be_delimited_otherwise(tmp_path: Path, delimiter: str) -> None:
    path = save(tmp_path / "a.csv", CSV.replace("，", "").replace(",", delimiter))
    assert texts(path) == [text.replace("，", "") for text in TEXTS]


def test_blank_rows_are_counted_but_not_read(tmp_path: Path) -> None:
    path = save(tmp_path / "a.csv", "text,label\r\n\r\n好,1\r\n,\r\n差,0\r\n")
    assert [(record.fields["text"], record.place.row) for record in read_records(path)] == [("好", 3), ("差", 5)]


def test_a_row_is_counted_as_a_spreadsheet_counts_it(tmp_path: Path) -> None:
    path = save(tmp_path / "a.csv", 'text,label\n"两\n行",1\n好,1\n')
    assert [record.place.row for record in read_records(path)] == [2, 3]


def test_numbers_in_a_workbook_come_as_text(tmp_path: Path) -> None:
    path = tmp_path / "a.xlsx"
    write_records(path, [{"text": "好", "label": 1.0}, {"text": 5, "label": None}], neutralise=False)
    assert [dict(r.fields) for r in read_records(path)] == [{"text": "好", "label": "1"}, {"text": "5", "label": ""}]


@pytest.mark.parametrize("suffix", ["csv", "tsv", "jsonl", "parquet", "csv.gz"])
def test_records_are_counted_cheaply(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a.{suffix}"
    write_records(path, [{"text": "好", "label": n} for n in range(50)], neutralise=False)
    assert count_records(path) == 50
    assert count_records(tmp_path / "missing.csv") is None


def test_a_lone_surrogate_in_json_survives_the_round_trip(tmp_path: Path) -> None:
    path = save(tmp_path / "a.jsonl", json.dumps({"text": "坏\ud83d的"}) + "\n")
    rows = [record.fields for record in read_records(path)]
    write_records(tmp_path / "b.jsonl", rows, neutralise=False)
    assert texts(tmp_path / "b.jsonl") == ["坏\ud83d的"]


def test_the_public_files_have_their_known_number_of_rows(benchmark_data: Path) -> None:
    folder = benchmark_data / "chnsenticorp"
    sizes = [sum(1 for _ in read_records(folder / f"{name}.tsv")) for name in ("train", "dev", "test")]
    assert sizes == [9600, 1200, 1200]
    assert sum(1 for _ in read_records(benchmark_data / "waimai_10k.csv")) == 11_987
