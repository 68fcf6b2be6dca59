"""Where a new head starts: as the linear model that suits the features which the base gives before any training.

A head drawn at random spends the first epochs on finding out what a convex fit tells at once, and moves the adapter by
gradients of noise meanwhile (Kumar et al. 2022, "Fine-tuning can distort pretrained features").
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from qingtiao.models.forward import Collate, Feature, run_rows

Floats = NDArray[np.float64]

# With more rows than this the head is found by training itself soon enough, and looking at them takes longer.
_MOST_ROWS = 2000
# Against the logistic loss summed over the rows, on features whose root mean square is 1. Of 0.001 ... 10 it is within
# half a point of the best on dev rows of three sets, at 100 and at 1,000 rows (docs/mini-zh.md); 1, the usual default,
# loses 2 to 4 points.
_INVERSE_REGULARISATION = 0.02
_RIDGE = tuple(float(strength) for strength in np.logspace(0, 4, 13))


class Line(NamedTuple):
    """Weights of shape (outputs, features), and biases of shape (outputs,)."""

    weight: Floats
    bias: Floats


def start_head(
    model: Any, task: Any, features: Sequence[Feature], collate: Collate, *, fresh: Collection[str], seed: int
) -> bool:
    """Fit the new output layer of `model` on `features`, in place; tells whether it has one that can be fitted.

    It can when it is linear, reads one vector a row, and is all that is new: whatever stands between it and the base
    then gives features that were trained. A random pooler gives none that are worth fitting to.

    Args:
        task: its `infer` runs the model.
        fresh: the parameters that the files of the base did not hold, by their names before the adapter.
        seed: draws the rows that are looked at, where there are many.
    """
    fit = _FITS.get(str(model.config.problem_type))
    layer = _only_new_layer(model, fresh)
    if fit is None or layer is None or "labels" not in features[0]:
        return False
    chosen = _drawn(features, seed)
    vectors = _inputs_of(layer, model, task, chosen, collate)
    if vectors is None:
        return False
    targets = np.array([feature["labels"] for feature in chosen])
    line = _fitted(fit, vectors, targets, outputs=layer.out_features, biased=layer.bias is not None)
    with torch.no_grad():
        layer.weight.copy_(torch.from_numpy(line.weight))
        if layer.bias is not None:
            layer.bias.copy_(torch.from_numpy(line.bias))
    return True


def linear_classes(vectors: Floats, classes: NDArray[np.int64], *, outputs: int) -> Line:
    """The line that a new layer of `outputs` classes with a bias would start as.

    Args:
        vectors: shape (rows, features).
        classes: shape (rows,), each below `outputs`; one that does not occur gets no weights and the smallest bias.
    """
    return _fitted(_one_of, vectors, classes, outputs=outputs, biased=True)


def _only_new_layer(model: Any, fresh: Collection[str]) -> nn.Linear | None:
    """The trained copy of the linear layer that holds every new parameter; None where there is no such layer."""
    modules: dict[str, nn.Module] = {
        name.replace(".modules_to_save.default", ""): module
        for name, module in model.get_base_model().named_modules()
        if ".original_module" not in name
    }
    # Buffers that are missing from the files are constants.
    parameters = {f"{name}.{key}" for name, module in modules.items() for key, _ in module.named_parameters()}
    owners = {key.rpartition(".")[0] for key in parameters.intersection(fresh)}
    layer = modules.get(owners.pop()) if len(owners) == 1 else None
    return layer if isinstance(layer, nn.Linear) and layer.weight.requires_grad else None


def _drawn(features: Sequence[Feature], seed: int) -> list[Feature]:
    if len(features) <= _MOST_ROWS:
        return list(features)
    places = np.random.default_rng(seed).choice(len(features), _MOST_ROWS, replace=False)
    return [features[place] for place in sorted(places)]


def _inputs_of(layer: nn.Linear, model: Any, task: Any, features: Sequence[Feature], collate: Collate) -> Floats | None:
    """What `layer` reads for each row, shape (rows, features); None where it reads more than one vector a row."""
    seen: list[torch.Tensor] = []

    def forward(model: Any, batch: Mapping[str, torch.Tensor]) -> list[NDArray[np.float32]]:
        seen.clear()
        rows = len(task.infer(model, batch))
        read = seen[-1].float().cpu().numpy()
        return list(read) if read.ndim == 2 and len(read) == rows else [np.empty(0, np.float32)] * rows

    handle = layer.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    device = layer.weight.device
    try:
        vectors = run_rows(model, features, collate, forward, device=device, precision="fp32")
    finally:
        handle.remove()
    found = np.stack(vectors).astype(np.float64)
    return found if found.size and np.isfinite(found).all() else None


def _fitted(fit: Fit, vectors: Floats, targets: Any, *, outputs: int, biased: bool) -> Line:
    """`fit` on features of scale 1, centred if the layer has a bias; the line is that for features as they are."""
    centre = vectors.mean(axis=0) if biased else np.zeros(vectors.shape[1])
    scale = float(np.sqrt(np.square(vectors - centre).mean())) or 1.0
    line = fit((vectors - centre) / scale, targets, outputs, biased)
    weight = line.weight / scale
    return Line(weight, line.bias - weight @ centre)


def _one_of(vectors: Floats, classes: Any, outputs: int, biased: bool) -> Line:
    """Logistic regression on all classes at once."""
    from sklearn.linear_model import LogisticRegression

    weight, bias = np.zeros((outputs, vectors.shape[1])), np.zeros(outputs)
    present = np.unique(classes)
    if len(present) < 2:
        return Line(weight, bias)
    model = LogisticRegression(C=_INVERSE_REGULARISATION, fit_intercept=biased, max_iter=500)
    model.fit(vectors, classes)
    both = len(present) == 2  # then scikit-learn gives the difference of the two
    weight[present] = np.vstack([-model.coef_, model.coef_]) / 2 if both else model.coef_
    if biased:
        bias[present] = np.concatenate([-model.intercept_, model.intercept_]) / 2 if both else model.intercept_
        absent = np.setdiff1d(np.arange(outputs), present)
        bias[absent] = bias[present].min()
    return Line(weight, bias)


def _any_of(vectors: Floats, bits: Any, _outputs: int, biased: bool) -> Line:
    """A logistic regression an output; that of an output which is always or never right has the bias alone."""
    lines = [_one_of(vectors, (column > 0.5).astype(np.int64), 2, biased) for column in bits.T]
    # The two outputs of each differ by twice the half.
    weight = np.stack([line.weight[1] - line.weight[0] for line in lines])
    bias = np.array([line.bias[1] - line.bias[0] for line in lines])
    return Line(weight, bias)


def _numbers(vectors: Floats, numbers: Any, outputs: int, biased: bool) -> Line:
    """Ridge regression; how strong is chosen by leaving one row out at a time."""
    from sklearn.linear_model import RidgeCV

    targets = numbers.reshape(len(vectors), outputs)
    model = RidgeCV(alphas=_RIDGE, fit_intercept=biased).fit(vectors, targets)
    return Line(np.reshape(model.coef_, (outputs, -1)), np.broadcast_to(model.intercept_, (outputs,)).astype(float))


Fit = Callable[[Floats, Any, int, bool], Line]
# By the `problem_type` of the model's config: what its targets are.
_FITS: Mapping[str, Fit] = {
    "single_label_classification": _one_of,
    "multi_label_classification": _any_of,
    "regression": _numbers,
}
