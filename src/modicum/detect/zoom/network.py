"""Everything that zooming learns, as one network to be stored: both detectors, R-net, Q-net and calibrated scores.

Gao, Yu, Li, Morariu, Davis: *Dynamic Zoom-in Network for Fast Object Detection in Large Images*, CVPR 2018.
`modicum.detect.zoom.assembly.assemble` makes a detector of it.
"""
# P knots of a map of scores

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from torch import Tensor, nn

from modicum.detect.detectors.network import LightFCOS, TrunkName
from modicum.detect.zoom.qnet import ConvQnet, FcQnet, ResidualQnet
from modicum.detect.zoom.rnet import DenseRNet, RNet
from modicum.detect.zoom.score_map import ScoreMap

Role = Literal["coarse", "fine"]


class ZoomNetwork(nn.Module):
    """Holds the parts; what runs them is a `modicum.detect.zoom.inference.ZoomDetector`.

    Args:
        classes: Names of the classes; a label is an index into them.
        trunk: Of both detectors; None where the detectors are a user's own, which are not in here.
        shares_weights: One detector has both roles.
        scale: Of the coarse pass.
        window_sizes: Width and height of windows, see `modicum.detect.zoom.windows.Size`.
        gains: What R-net sees.
        num_features: Features of each detection, or channels of the picture's; 0 where R-net sees none.
        hidden: Units, or channels, of R-net.
        dropout: Of R-net, in training.
        policy: What chooses windows.
        prices: Prices that a Q-net plans for, rising; the rungs of its policy.
        used: For each rung, the one whose plan is taken; see `modicum.detect.zoom.policies.RungPolicy`.
        knots: Knots of the maps of coarse and fine scores.

    Raises:
        ValueError: If a form is unknown.
    """

    storage_name: ClassVar[str] = "zoom"

    def __init__(
        self,
        *,
        classes: Sequence[str],
        trunk: TrunkName | None,
        scale: float,
        window_sizes: Sequence[Sequence[float]],
        gains: str = "features",
        num_features: int = 0,
        hidden: int = 64,
        dropout: float = 0.0,
        policy: str = "greedy",
        shares_weights: bool = False,
        prices: Sequence[float] = (),
        used: Sequence[int] = (),
        knots: Sequence[int] = (2, 2),
    ) -> None:
        super().__init__()
        self.classes, self.scale = tuple(classes), scale
        self.window_sizes = tuple((float(width), float(height)) for width, height in window_sizes)
        self.prices, self.used = tuple(prices), tuple(used)
        self._config = {"gains": gains, "num_features": num_features, "hidden": hidden, "dropout": dropout}
        self._config |= {"policy": policy, "shares_weights": shares_weights, "trunk": trunk}
        self.coarse = None if trunk is None else LightFCOS(classes, trunk=trunk)
        self.fine = None if trunk is None or shares_weights else LightFCOS(classes, trunk=trunk)
        self.rnet = _build_rnet(gains, len(self.classes), num_features, hidden, dropout)
        self.qnet = _build_qnet(policy, len(self.window_sizes))
        for role, count in zip(("coarse", "fine"), knots, strict=True):
            for side in ("before", "after"):
                line = torch.linspace(0, 1, count, dtype=torch.float64)
                self.register_buffer(f"{role}_{side}", line)

    def storage_config(self) -> Mapping[str, Any]:
        """Returns the arguments that build this network again."""
        return {
            **self._config,
            "classes": list(self.classes),
            "scale": self.scale,
            "window_sizes": [list(size) for size in self.window_sizes],
            "prices": list(self.prices),
            "used": list(self.used),
            "knots": [len(self._knots(role, "before")) for role in ("coarse", "fine")],
        }

    def detector_of(self, role: Role) -> LightFCOS | None:
        """Returns the trained detector of a role; None where the detectors are a user's own."""
        return self.coarse if role == "coarse" or self.fine is None else self.fine

    def score_map(self, role: Role) -> ScoreMap:
        """Returns what calibrates the scores of a detector."""
        before, after = (self._knots(role, side).double().cpu().numpy() for side in ("before", "after"))
        return ScoreMap(before, np.maximum.accumulate(after))

    def set_score_map(self, role: Role, scores: ScoreMap) -> None:
        """Keeps what calibrates the scores of a detector."""
        setattr(self, f"{role}_before", torch.from_numpy(scores.before.copy()))
        setattr(self, f"{role}_after", torch.from_numpy(scores.after.copy()))

    def _knots(self, role: Role, side: str) -> Tensor:
        return self.get_buffer(f"{role}_{side}")


def _build_rnet(gains: str, num_classes: int, num_features: int, hidden: int, dropout: float) -> RNet | DenseRNet:
    if gains == "dense":
        return DenseRNet(num_features, (hidden, max(1, hidden // 2)))
    if gains not in ("features", "scores"):
        raise ValueError(f'gains must be "features", "scores" or "dense", got {gains!r}')
    return RNet(num_classes, num_features, hidden=hidden, dropout=dropout)


def _build_qnet(policy: str, num_sizes: int) -> ResidualQnet | ConvQnet | FcQnet | None:
    if policy == "greedy":
        return None
    if policy not in ("residual", "conv", "fc"):
        raise ValueError(f'policy must be "greedy", "residual", "conv" or "fc", got {policy!r}')
    if policy == "fc":
        return FcQnet()
    return ResidualQnet(ConvQnet(num_sizes)) if policy == "residual" else ConvQnet(num_sizes)
