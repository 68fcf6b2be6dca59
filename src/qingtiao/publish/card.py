"""The model card that travels with a bundle."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from qingtiao.bundle import Manifest
from qingtiao.evaluate.judging import AnyReport
from qingtiao.task import Task


def model_card(manifest: Manifest, report: AnyReport, task: Task) -> str:
    """README.md of a bundle: front matter that the Hub reads, then what a person wants to know first."""
    written = report.as_json()
    labels = [f"- 标签 labels: {'、'.join(task.labels)}"] if task.labels else []
    return "\n".join(
        [
            "---",
            f"base_model: {manifest.base.name}",
            "library_name: peft",
            "language: zh",
            *([f"pipeline_tag: {_PIPELINES[task.peft_task_type]}"] if task.peft_task_type in _PIPELINES else []),
            f"tags: [qingtiao, {report.about.adapter['method']}]",
            "---",
            "",
            f"# 轻调适配器：{task.title.zh} {task.title.en}",
            "",
            f"{report.verdict.zh}",
            "",
            f"{report.verdict.en}",
            "",
            *_table(written),
            "",
            *labels,
            f"- 基座 base: {manifest.base.name}，指纹 fingerprint {manifest.base.fingerprint[:16]}",
            f"- 训练数据 training rows: {manifest.data.get('train', {}).get('rows')}，"
            f"SHA-256 {str(manifest.data.get('train', {}).get('sha256'))[:16]}",
            f"- 重新加载后 logits 的最大差 largest logit difference after reloading: "
            f"{(manifest.proof or {}).get('max_abs_logit_difference', float('nan')):.1e}",
            "",
            "```python",
            "import qingtiao",
            'qingtiao.load("这个目录 this folder").predict(["……"])',
            "```",
            "",
        ]
    )


# By PEFT's task type, in the Hub's own names.
_PIPELINES = {
    "SEQ_CLS": "text-classification",
    "TOKEN_CLS": "token-classification",
    "SEQ_2_SEQ_LM": "text2text-generation",
    "CAUSAL_LM": "text-generation",
}


def _table(written: Mapping[str, Any]) -> list[str]:
    """A row for each system on all and on clean test rows; a column for each score that has an interval."""
    names = [name.removesuffix("_ci") for name in written["test"] if name.endswith("_ci")]
    rows = _rows("适配器 adapter", written, names)
    for name, scores in written["baselines"].items():
        rows += _rows(name, scores, names)
    return [f"| 测试集 test rows | n | {' | '.join(names)} |", "|---|---|" + "---|" * len(names), *rows]


def _rows(system: str, scores: Mapping[str, Any], names: list[str]) -> list[str]:
    lines = []
    for part, title in (("test", "全部 all"), ("clean_test", "干净 clean")):
        block = scores[part]
        if block:
            cells = [
                f"{block[name]:.3f} [{block[f'{name}_ci'][0]:.3f}, {block[f'{name}_ci'][1]:.3f}]"
                if name in block
                else "—"
                for name in names
            ]
            lines.append(f"| {system}, {title} | {block['n']} | {' | '.join(cells)} |")
    return lines
