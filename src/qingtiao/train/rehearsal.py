"""Before a prompt method trains: does the base, with this task on it, do what the method takes for granted?

Prompts are tokens that stand before those of a row, or keys and values before theirs. Not every model reads such, some
count positions or look for padding without them, and nothing upstream says so before the figures are wrong. So two rows
are run, and what cannot work is refused.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from qingtiao.errors import ConfigError
from qingtiao.models.adapter import trainable
from qingtiao.models.base import quiet_transformers
from qingtiao.models.device import forked_random
from qingtiao.models.forward import Collate, Feature, length_of
from qingtiao.task import Task

# Logits of a row by itself and of the same row beside a longer one differ by rounding, no more.
_TOLERANCE = 1e-3
_LOOKED_AT = 64
# What models raise that meet inputs of a shape or kind that they do not know.
_UPSTREAM = (
    ArithmeticError,
    AttributeError,
    IndexError,
    KeyError,
    NotImplementedError,
    RuntimeError,
    TypeError,
    ValueError,
)


def rehearse(model: Any, task: Task, features: Sequence[Feature], collate: Collate, *, device: torch.device) -> None:
    """Run the shortest and the longest of the first features; leaves neither gradients nor other traces.

    Raises:
        ConfigError: `model` has prompts, and its base or the task cannot do with them.
    """
    config = model.peft_config["default"]
    if not config.is_prompt_learning:
        return
    ordered = sorted(features[:_LOOKED_AT], key=length_of)
    was_training = model.training
    model.eval()
    try:
        with forked_random(device), quiet_transformers():
            problem = _problem(model, task, [ordered[0], ordered[-1]], collate, device)
    except _UPSTREAM as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        problem = (f"上游报告 {reason}", f"upstream says {reason}")
    finally:
        model.zero_grad()
        model.train(was_training)
    if problem is not None:
        base = type(model.get_base_model()).__name__
        raise ConfigError(
            f"方法 {config.peft_type.value.lower()} 在这个基座和任务（{base}）上用不了：{problem[0]}",
            f"The method {config.peft_type.value.lower()} cannot be used on this base and task ({base}): {problem[1]}",
            todo_zh="换一种方法，例如 --method lora。",
            todo_en="Use another method, for example --method lora.",
        )


def _problem(
    model: Any, task: Task, pair: list[Feature], collate: Collate, device: torch.device
) -> tuple[str, str] | None:
    def batch(rows: list[Feature]) -> dict[str, torch.Tensor]:
        return {name: tensor.to(device) for name, tensor in collate(rows).items()}

    loss = task.loss(model, batch(pair))
    torch.autograd.backward(loss)
    prompts = [p for name, p in trainable(model).items() if name.startswith("prompt_encoder.")]
    if not any(prompt.grad is not None and bool(prompt.grad.any()) for prompt in prompts):
        return "基座不看加在前面的提示", "the base does not look at the prompts in front"
    with torch.inference_mode():
        together = task.judge(model, batch(pair))
        alone = [task.judge(model, batch([row]))[0] for row in pair]
    for one, other in zip(together, alone, strict=True):
        if one.shape != other.shape or not np.allclose(one, other, atol=_TOLERANCE):
            return (
                "同一行的结果会随同批的其它行变：基座找不到填充的位置",
                "what it says of a row depends on the rows beside it: the base cannot tell where padding begins",
            )
    return None
