"""Pictures as data files name them: what is read, and how, and what is refused with its place."""

from __future__ import annotations

import base64
import io
import os
import struct
import time
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from qingtiao.errors import DataError
from qingtiao.types import Place
from qingtiao.vision.files import digest, image_size, image_source, open_image, shown_name

PLACE = Place("data.jsonl", 7)
RED, WHITE = (200, 30, 30), (255, 255, 255)


def picture(size: tuple[int, int] = (40, 20), colour: Any = RED, mode: str = "RGB") -> Image.Image:
    """`colour` on the left half, white on the right."""
    image = Image.new("RGB", size, WHITE)
    image.paste(colour, (0, 0, size[0] // 2, size[1]))
    return image.convert(mode)


def encoded(image: Image.Image, form: str = "PNG", **options: Any) -> bytes:
    kept = io.BytesIO()
    image.save(kept, form, **options)
    return kept.getvalue()


def data_uri(content: bytes, kind: str = "image/png") -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


def png_header(width: int, height: int) -> bytes:
    """A PNG of these dimensions that holds almost nothing: what a decompression bomb looks like from outside."""

    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    pixels = chunk(b"IDAT", zlib.compress(bytes(100)))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + pixels + chunk(b"IEND", b"")


# --- what a cell says -----------------------------------------------------------------------------


def test_paths_are_relative_to_the_data_file_and_may_lead_out_of_its_folder(tmp_path: Path) -> None:
    place = Place(str(tmp_path / "set" / "data.jsonl"), 2)
    assert image_source("a/b.jpg", place) == str(tmp_path / "set" / "a" / "b.jpg")
    assert Path(image_source("../b.jpg", place)).resolve() == (tmp_path / "b.jpg").resolve()
    assert image_source(str(tmp_path / "c.jpg"), place) == str(tmp_path / "c.jpg")


@pytest.mark.parametrize("cell", [None, "", "  ", float("nan"), b""])
def test_an_empty_cell_is_no_picture(cell: Any) -> None:
    assert image_source(cell, PLACE) == ""
    assert shown_name("") == ""


def test_bytes_mappings_and_pil_images_become_data_uris() -> None:
    content = encoded(picture())
    for cell in (content, {"bytes": content, "path": "x.png"}, picture()):
        source = image_source(cell, PLACE)
        assert source.startswith("data:")
        assert digest(open_image(source, PLACE)) == digest(picture())
        assert shown_name(source).startswith("image-")


@pytest.mark.parametrize("cell", [3, ["a.jpg"], {"path": None, "bytes": None}, "https://elsewhere.invalid/x.jpg"])
def test_what_is_no_picture_is_refused_with_its_place(cell: Any) -> None:
    with pytest.raises(DataError, match=r"data\.jsonl:7"):
        image_source(cell, PLACE)


# --- odd pictures are read ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("form", "mode"),
    [
        ("JPEG", "RGB"),
        ("JPEG", "CMYK"),
        ("JPEG", "L"),
        ("PNG", "P"),
        ("PNG", "1"),
        ("PNG", "LA"),
        ("PNG", "RGBA"),
        ("PNG", "I;16"),
        ("GIF", "P"),
        ("BMP", "RGB"),
        ("TIFF", "CMYK"),
        ("WEBP", "RGBA"),
        ("PPM", "RGB"),
    ],
)
def test_every_mode_comes_out_as_rgb_with_its_brightness(form: str, mode: str) -> None:
    if mode == "I;16":
        image = Image.fromarray((np.asarray(picture(mode="L")).astype(np.uint16)) * 257)
    else:
        image = picture(mode=mode)
    read = open_image(data_uri(encoded(image, form)), PLACE)
    assert (read.mode, read.size) == ("RGB", (40, 20))
    left, right = np.asarray(read.convert("L"), dtype=float)[:, 4], np.asarray(read.convert("L"), dtype=float)[:, 36]
    assert right.mean() > 240
    assert abs(left.mean() - (81 if mode != "1" else left.mean())) < 12


def test_a_picture_is_turned_as_its_exif_says() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # a quarter turn
    read = open_image(data_uri(encoded(picture(), "JPEG", exif=exif)), PLACE)
    assert read.size == (20, 40) == image_size(data_uri(encoded(picture(), "JPEG", exif=exif)), PLACE)
    assert image_size(data_uri(encoded(picture(), "JPEG")), PLACE) == (40, 20)
    top, bottom = read.getpixel((10, 5)), read.getpixel((10, 35))
    assert isinstance(top, tuple) and isinstance(bottom, tuple)
    assert top[1] < 100 and bottom[1] > 200


def test_transparent_parts_are_white_and_of_an_animation_the_first_frame_counts() -> None:
    clear = Image.new("RGBA", (8, 8), (0, 0, 0, 0))
    assert open_image(data_uri(encoded(clear)), PLACE).getpixel((3, 3)) == WHITE
    frames = [Image.new("RGB", (8, 8), colour) for colour in (RED, (0, 0, 255))]
    moving = encoded(frames[0], "GIF", save_all=True, append_images=frames[1:])
    first = open_image(data_uri(moving), PLACE).getpixel((3, 3))
    assert isinstance(first, tuple) and first[0] > 150 and first[2] < 100


def test_a_large_jpeg_may_be_decoded_smaller_and_nothing_else_changes() -> None:
    content = data_uri(encoded(picture((800, 400)), "JPEG"))
    small = open_image(content, PLACE, at_least=100)
    assert small.size == (200, 100)
    assert open_image(content, PLACE).size == (800, 400)


def test_the_digest_sees_the_picture_and_not_the_file() -> None:
    as_png, as_bmp = (open_image(data_uri(encoded(picture(), form)), PLACE) for form in ("PNG", "BMP"))
    assert digest(as_png) == digest(as_bmp) != digest(picture(colour=(0, 0, 200)))


def test_links_are_followed(tmp_path: Path) -> None:
    (tmp_path / "far").mkdir()
    (tmp_path / "far" / "a.png").write_bytes(encoded(picture()))
    (tmp_path / "near.png").symlink_to(tmp_path / "far" / "a.png")
    assert open_image(str(tmp_path / "near.png"), PLACE).size == (40, 20)


# --- hostile and damaged ones are refused, with the place and what to do ----------------------------


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (png_header(20_000, 20_000), "像素"),
        (png_header(10_000, 10_000), "像素"),
        (png_header(30_000, 3), "细长"),
        (png_header(500, 500), "读不了"),
        (encoded(picture((400, 300)), "JPEG")[:900], "读不了"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "读不了"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "读不了"),
        (b"just text", "读不了"),
    ],
)
def test_hostile_and_damaged_pictures_are_refused(content: bytes, told: str, tmp_path: Path) -> None:
    (tmp_path / "x.png").write_bytes(content)
    started = time.monotonic()
    for source in (data_uri(content), str(tmp_path / "x.png")):
        if told == "细长":
            with pytest.raises(DataError, match=told):
                image_size(source, PLACE)
        with pytest.raises(DataError, match=told) as caught:
            open_image(source, PLACE)
        assert "data.jsonl:7" in caught.value.zh and "data.jsonl:7" in caught.value.en
    assert time.monotonic() - started < 2


@pytest.mark.parametrize("source", ["data:image/png;base64,@@@@", "data:image/png;base64", "data:,abc"])
def test_data_uris_that_hold_no_picture_are_refused(source: str) -> None:
    with pytest.raises(DataError, match="读不了"):
        open_image(source, PLACE)


def test_missing_files_dangling_links_folders_and_pipes_are_refused(tmp_path: Path) -> None:
    (tmp_path / "dangling.png").symlink_to(tmp_path / "nowhere.png")
    os.mkfifo(tmp_path / "pipe.png")  # opening it would wait for a writer
    (tmp_path / "folder.png").mkdir()
    for name, told in (
        ("missing.png", "找不到"),
        ("dangling.png", "找不到"),
        ("pipe.png", "读不了"),
        ("folder.png", "读不了"),
    ):
        with pytest.raises(DataError, match=told):
            open_image(str(tmp_path / name), PLACE)
