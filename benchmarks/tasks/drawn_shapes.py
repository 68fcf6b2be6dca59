"""Drawn pictures with a sentence and a label each, to see that an image task learns where photos would be too few.

    python benchmarks/tasks/drawn_shapes.py FOLDER [--count 900] [--seed 1]

writes FOLDER/data.jsonl (columns image, text and label) and pictures of 48 x 48 pixels: one of six shapes in one of six
colours on the left or the right, whose place, size and shade vary. 72 sentences, 6 labels.
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Callable, Mapping
from pathlib import Path

from PIL import Image, ImageDraw

from qingtiao.data.write import write_records

SIDE = 48
COLOURS = {
    "红": (214, 40, 40),
    "绿": (40, 150, 70),
    "蓝": (40, 80, 200),
    "黄": (240, 200, 40),
    "紫": (130, 50, 160),
    "黑": (20, 20, 20),
}
CENTRES = {"左": 12, "右": 36}
Pen = ImageDraw.ImageDraw
Ink = tuple[int, ...]
SHAPES: Mapping[str, Callable[[Pen, int, int, int, Ink], None]] = {
    "圆": lambda pen, x, y, r, ink: pen.ellipse((x - r, y - r, x + r, y + r), fill=ink),
    "方块": lambda pen, x, y, r, ink: pen.rectangle((x - r, y - r, x + r, y + r), fill=ink),
    "三角": lambda pen, x, y, r, ink: pen.polygon([(x, y - r), (x - r, y + r), (x + r, y + r)], fill=ink),
    "圆环": lambda pen, x, y, r, ink: pen.ellipse((x - r, y - r, x + r, y + r), outline=ink, width=3),
    "横条": lambda pen, x, y, r, ink: pen.rectangle((x - r, y - 2, x + r, y + 2), fill=ink),
    "竖条": lambda pen, x, y, r, ink: pen.rectangle((x - 2, y - r, x + 2, y + r), fill=ink),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--count", type=int, default=900)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    given.folder.mkdir(parents=True, exist_ok=True)
    rng = random.Random(given.seed)
    rows = [_drawn(given.folder, f"{number:04}.png", rng) for number in range(given.count)]
    print(write_records(given.folder / "data.jsonl", rows, neutralise=False))


def _drawn(folder: Path, name: str, rng: random.Random) -> dict[str, str]:
    colour, shape, side = (rng.choice(list(kinds)) for kinds in (COLOURS, SHAPES, CENTRES))
    image = Image.new("RGB", (SIDE, SIDE), tuple(rng.randrange(215, 256) for _ in range(3)))
    ink = tuple(min(255, max(0, value + rng.randint(-20, 20))) for value in COLOURS[colour])
    x, y, radius = CENTRES[side] + rng.randint(-2, 2), rng.randint(12, 36), rng.randint(6, 10)
    SHAPES[shape](ImageDraw.Draw(image), x, y, radius, ink)
    image.save(folder / name)
    return {"image": name, "text": f"{side}边有{colour}色的{shape}", "label": shape}


if __name__ == "__main__":
    main()
