"""Pictures as rows name them: a path beside the data file, a data: URI, or bytes. Opened only when looked at."""

from __future__ import annotations

import base64
import binascii
import hashlib
import io
import urllib.parse
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np
from PIL import Image, ImageOps

from qingtiao.errors import DataError
from qingtiao.types import Place

# Without the formats that PIL hands to other programs (EPS), and without those nobody keeps photos in.
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "PPM")
MOST_ELONGATED = 100  # longer side by shorter: processors that keep the shape would make such a picture huge
_ORIENTATION, _SIDEWAYS = 0x0112, (5, 6, 7, 8)  # the EXIF tag, and what of it swaps width and height
_THUMBNAIL = 32  # pixels a side
_SHOWN = 60


def image_source(cell: Any, place: Place) -> str:
    """What a cell says of its picture as one string: an absolute path or a data: URI; empty for an empty cell.

    Paths are relative to the folder of the data file; they may lead out of it, and links are followed: whoever writes
    the file can read the picture anyway. What strangers send is checked before (`serve.fields`). Bytes, and the
    mappings and PIL images that parquet files and `datasets` hold pictures in, become data: URIs.

    Raises:
        DataError: the cell is something else, or an address on the web.
    """
    if cell is None or (isinstance(cell, float) and np.isnan(cell)):
        return ""
    if isinstance(cell, dict) and (cell.get("bytes") or cell.get("path")):
        cell = cell.get("bytes") or cell.get("path")
    if isinstance(cell, Image.Image):
        kept = io.BytesIO()
        cell.save(kept, "PNG")
        cell = kept.getvalue()
    if isinstance(cell, bytes):
        return f"data:;base64,{base64.b64encode(cell).decode()}" if cell else ""
    if not isinstance(cell, str):
        raise DataError(
            f"{place} 的图片既不是路径也不是 data: 网址，是 {type(cell).__name__}",
            f"{place}: the image is neither a path nor a data: URI but a {type(cell).__name__}",
            todo_zh="用 --column image=列名 指明图片所在的列。",
            todo_en="Name the column of the images with --column image=COLUMN.",
        )
    name = cell.strip()
    if name.lower().startswith(("http://", "https://")):
        raise DataError(
            f"{place} 的图片是网址：{name[:_SHOWN]}",
            f"{place}: the image is an address on the web: {name[:_SHOWN]}",
            todo_zh="先把图片下载到数据文件旁边，列里写文件名。",
            todo_en="Download the images beside the data file and write their file names.",
        )
    if not name or is_data_uri(name):
        return name
    return str((Path(place.source).parent / Path(name).expanduser()).absolute())


def is_data_uri(source: str) -> bool:
    return source[:5].lower() == "data:"


def shown_name(source: str) -> str:
    """How people know the picture: its file name, or the beginning of its digest."""
    if is_data_uri(source):
        return f"image-{hashlib.sha256(source.encode()).hexdigest()[:12]}"
    return Path(source).name if source else ""


def open_image(source: str, place: Place | str, *, at_least: int | None = None) -> Image.Image:
    """The picture upright and in RGB; transparent parts become white, of an animation the first frame counts.

    Args:
        source: as `image_source` gives it.
        at_least: a JPEG larger than this many pixels a side may be decoded at a half, a quarter or an eighth of its
            size, as long as neither side falls below it: large photos then cost a fraction of the time and memory.

    Raises:
        DataError: there is no such file, or it is damaged, too large, too elongated, or in none of `FORMATS`.
    """
    with _decoder_errors_as_ours(source, place), _stream(source) as stream:
        image = _opened(stream, source, place)
        if at_least is not None:
            image.draft("RGB", (at_least, at_least))
        image.load()
        return _in_rgb(ImageOps.exif_transpose(image))


def image_size(source: str, place: Place | str) -> tuple[int, int]:
    """Width and height of what `open_image` gives, read off the head of the file.

    Raises: see `open_image`; what is damaged further down is not noticed.
    """
    with _decoder_errors_as_ours(source, place), _stream(source) as stream:
        image = _opened(stream, source, place)
        turned = image.getexif().get(_ORIENTATION, 1) in _SIDEWAYS
        return (image.height, image.width) if turned else image.size


def digest(image: Image.Image) -> str:
    """Equal for pictures that look the same pixel by pixel at thumbnail size, whatever their file says beside."""
    small = image.resize((_THUMBNAIL, _THUMBNAIL), Image.Resampling.BOX)
    return hashlib.sha256(small.tobytes()).hexdigest()[:16]


def _opened(stream: IO[bytes], source: str, place: Place | str) -> Image.Image:
    image = Image.open(stream, formats=FORMATS)
    if max(image.size) > MOST_ELONGATED * min(image.size):
        raise _too_elongated(source, place, image.size)
    return image


def _stream(source: str) -> IO[bytes]:
    if not is_data_uri(source):
        if Path(source).exists() and not Path(source).is_file():
            raise OSError("not a file")  # a pipe would be waited for without end
        return Path(source).open("rb")
    head, _, body = source.partition(",")
    if head.lower().endswith(";base64"):
        return io.BytesIO(base64.b64decode(body, validate=True))
    return io.BytesIO(urllib.parse.unquote_to_bytes(body))


def _in_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith(("I", "F")):  # 16 bits a pixel and more, which `convert` would clip to white
        values = np.asarray(image, dtype=np.float64)
        image = Image.fromarray(np.clip(values / 256 if values.max() > 255 else values, 0, 255).astype(np.uint8))
    if image.has_transparency_data:
        image = image.convert("RGBA")
        paper = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(paper, image)
    return image.convert("RGB")


@contextmanager
def _decoder_errors_as_ours(source: str, place: Place | str) -> Iterator[None]:
    name = shown_name(source)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            # Odd EXIF blocks and palettes are told of, and read all the same.
            warnings.filterwarnings("ignore", category=UserWarning)
            yield
    except DataError:
        raise
    except FileNotFoundError:
        raise DataError(
            f"{place}：找不到图片 {source}",
            f"{place}: there is no image {source}",
            todo_zh="图片路径相对于数据文件所在的目录；检查文件名和大小写。",
            todo_en="Image paths are relative to the folder of the data file; check the name and its case.",
        ) from None
    except (Image.DecompressionBombWarning, Image.DecompressionBombError):
        limit = int(Image.MAX_IMAGE_PIXELS or 0)
        raise DataError(
            f"{place}：图片 {name} 超过 {limit} 像素，没有打开",
            f"{place}: the image {name} has more than {limit} pixels and was not opened",
            todo_zh="先缩小这张图片。",
            todo_en="Scale the image down first.",
        ) from None
    except binascii.Error:
        raise _unreadable(name, place, "base64") from None
    except Exception as error:  # decoders raise OSError, SyntaxError, ValueError, struct.error, EOFError …
        raise _unreadable(name, place, str(error) if source not in str(error) else type(error).__name__) from error


def _too_elongated(source: str, place: Place | str, size: tuple[int, int]) -> DataError:
    shape = f"{size[0]} x {size[1]}"
    return DataError(
        f"{place}：图片 {shown_name(source)} 太细长（{shape}），长边最多是短边的 {MOST_ELONGATED} 倍",
        f"{place}: the image {shown_name(source)} is too elongated ({shape}); at most {MOST_ELONGATED} to 1 is read",
        todo_zh="裁剪这张图片。",
        todo_en="Crop the image.",
    )


def _unreadable(name: str, place: Place | str, reason: str) -> DataError:
    return DataError(
        f"{place}：读不了图片 {name}（{reason.splitlines()[0] if reason else ''}）",
        f"{place}: the image {name} cannot be read ({reason.splitlines()[0] if reason else ''})",
        todo_zh=f"检查文件是否完整；能读的格式：{'、'.join(FORMATS)}。",
        todo_en=f"Check that the file is whole; formats read: {', '.join(FORMATS)}.",
    )
