"""Run by a test in a process of its own: adapters loaded as anybody would, by transformers and PEFT alone."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import torch
import transformers
from architectures import example_inputs, load_options, logits_of
from peft import PeftModel
from safetensors.torch import save_file


def main(folder: Path) -> None:
    """Read `cases.json`, a list of (case, architecture, auto class, base, adapter); leave `logits.safetensors`."""
    logits = {}
    for case, name, auto_class, base, adapter in json.loads((folder / "cases.json").read_text(encoding="utf-8")):
        torch.manual_seed(77)  # other random heads than the ones that were trained
        model = getattr(transformers, auto_class).from_pretrained(base, dtype=torch.float32, **load_options(auto_class))
        text = model.config.get_text_config()
        if text.pad_token_id is None:
            text.pad_token_id = 3  # a decoder's user says what pads; the bundle's tokenizer knows
        model = PeftModel.from_pretrained(model, adapter)
        logits[case] = logits_of(model, example_inputs(name, auto_class)).contiguous()
    save_file(logits, folder / "logits.safetensors")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
