"""JSON that every reader takes: its standard knows neither NaN nor infinity, which Python would write all the same."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any


def strict_text(value: Any, *, ascii_only: bool = False) -> str:
    """`value` as one line of JSON; numbers that are not finite become null, and what JSON does not know its `str`."""
    try:
        return json.dumps(value, ensure_ascii=ascii_only, default=str, allow_nan=False)
    except ValueError:
        return json.dumps(finite(value), ensure_ascii=ascii_only, default=str, allow_nan=False)


def finite(value: Any) -> Any:
    """`value` with null for every number inside it that is not finite."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {name: finite(item) for name, item in value.items()}
    return [finite(item) for item in value] if isinstance(value, list | tuple) else value
