"""The Hugging Face Hub: whether it answers, and keeping upstream from asking it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def offline() -> Iterator[None]:
    """Nothing inside asks the Hub. Upstream reads the variable through a constant as well."""
    import huggingface_hub.constants as hub

    before, variable = hub.HF_HUB_OFFLINE, os.environ.get("HF_HUB_OFFLINE")
    hub.HF_HUB_OFFLINE = True
    os.environ["HF_HUB_OFFLINE"] = "1"
    try:
        yield
    finally:
        hub.HF_HUB_OFFLINE = before
        if variable is None:
            os.environ.pop("HF_HUB_OFFLINE")
        else:
            os.environ["HF_HUB_OFFLINE"] = variable


@contextmanager
def asked_once() -> Iterator[None]:
    """A Hub that does not answer is left alone inside; what its cache holds is still found.

    Upstream would try six times for each file, a minute in all, and behind a firewall that drops packets many.
    """
    if _answers():
        yield
    else:
        with offline():
            yield


def _answers() -> bool:
    """Whatever it answers; it has as long as for any first question (`HF_HUB_ETAG_TIMEOUT`, seconds)."""
    from huggingface_hub import constants, get_session

    if constants.HF_HUB_OFFLINE:
        return False
    try:
        get_session().head(constants.ENDPOINT, timeout=constants.HF_HUB_ETAG_TIMEOUT)
    except Exception:  # noqa: BLE001 - of the library beneath, which is another one in each major version
        return False
    return True
