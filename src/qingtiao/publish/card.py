"""The model card that travels with a bundle."""

from __future__ import annotations

from qingtiao.bundle import Manifest
from qingtiao.evaluate.report import Block, Report


def model_card(manifest: Manifest, report: Report) -> str:
    """README.md of a bundle: front matter that the Hub reads, then what a person wants to know first."""
    return "\n".join(
        [
            "---",
            f"base_model: {manifest.base.name}",
            "library_name: peft",
            "language: zh",
            "pipeline_tag: text-classification",
            f"tags: [qingtiao, {report.about.adapter['method']}]",
            "---",
            "",
            f"# 轻调适配器：{manifest.task}",
            "",
            f"{report.verdict.zh}",
            "",
            f"{report.verdict.en}",
            "",
            "| 测试集 test rows | n | 准确率 accuracy | 95 % | macro-F1 |",
            "|---|---|---|---|---|",
            *_rows(report),
            "",
            f"- 标签 labels: {'、'.join(manifest.task_state.get('labels', []))}",
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


def _rows(report: Report) -> list[str]:
    lines = [_row("适配器 adapter, 全部 all", report.test)]
    if report.clean_test:
        lines.append(_row("适配器 adapter, 干净 clean", report.clean_test))
    for name, scores in report.baselines.items():
        lines.append(_row(f"{name}, 全部 all", scores.test))
        if scores.clean_test:
            lines.append(_row(f"{name}, 干净 clean", scores.clean_test))
    return lines


def _row(name: str, block: Block) -> str:
    low, high = block.accuracy_ci
    return f"| {name} | {block.n} | {block.accuracy:.3f} | {low:.3f}–{high:.3f} | {block.macro_f1:.3f} |"
