"""What can be chosen about training a BlockDrop; defaults are the published recipe for ResNet-110 on CIFAR-10."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

from modicum.classify.backbone_options import REFUSED, settle_backbone, without_pretrained
from modicum.classify.recipe import ImageOptions
from modicum.nn.weight_names import describe_start
from modicum.storage.errors import RecipeError
from modicum.training.recipe import Schedule, SgdOptions, TrainerOptions, require, require_unused_allowed


@dataclass(frozen=True)
class BlockDropRecipe:
    """A residual network is trained or given, a policy learns which of its blocks to drop, both are tuned together.

    Attributes:
        data: A folder with one sub-folder of images per class, an index file (CSV with path, label), CIFAR's original
            files, a tar of images, or "caltech-20", the embedded photographs; None is the embedded default, handwritten
            digits in procedural scenes.
        backbone: A residual classifier by its name here ("cifar_resnet32", "digit_resnet32_pool"), in torchvision or in
            timm; see `modicum.classify.blockdrop.droppable` for the kinds known.
        weights: Start the backbone from a .safetensors, .pth or .pt file of its state (CIFAR ResNets in the usual
            layout); from "lite0", "lite1" or "lite2", which the extra "pretrained" brings, for the backbones
            tf_efficientnet_lite0 to 2; or from "published", fetched from the internet on first use. Its last layer, the
            head, is kept if it has as many classes as the data, and replaced otherwise. None is random weights.
        trunk: With weights, "tuned" also trains what precedes the head, "frozen" does not.
        trunk_rate: Learning rate of a tuned trunk as a share of the head's, in the training of the backbone; a tenth
            keeps pretrained weights useful. Stage 2 has a rate of its own for both.
        image_px: Side of the images that the network gets.
        policy: "resnet8" looks at the full image, "resnet10" at half of a large one, "small" is for tiny backbones.
            With weights "published", "resnet10" starts from torchvision's published ResNet-18, and with a file for the
            backbone resnet18 from that file.
        budget: Mean multiply-adds that the knob is calibrated to, as a share of the plain network's, policy included;
            with method "gates" also the target of the training.
        method: How the policy learns: "reinforce" from rewards, as published, each stage ending with the weights of the
            highest reward on the calibration part; "gates" by gradients through sampled gates, towards the budget,
            each stage ending with its last weights.
        base_epochs: Length of the training of the backbone; may be 0 where weights are given, from which it goes on.
        base_drop: In that training, each image does without up to this share of the blocks; 0 is the paper. A backbone
            of few blocks cannot do without any unless it has learnt to.
        policy_epochs: Length of stage 1, in which the backbone stays as it is.
        joint_epochs: Length of stage 2, in which policy and backbone are tuned together.
        epochs_per_block: In stage 1, epochs after which one more block is free to be dropped, from the last to the
            first; the others are kept.
        gamma: Reward of a wrong prediction in stage 1, negative: the further, the more blocks are kept.
        joint_gamma: The same in stage 2.
        reward_usage: What lowers the reward of a right prediction: the share of "blocks" kept, or of their "cost".
        alpha: In stage 1, decisions are drawn with probabilities from 1 - alpha to alpha, so that each block goes on
            being tried.
        joint_alpha: The same in stage 2: the nearer to 1, the more the backbone is tuned to the paths that it will
            take, and the less is tried.
        entropy: The bonus for undecided policies in stage 1: "full" is the entropy; "one_sided" is half of it, as in
            the authors' code, and pushes towards dropping.
        entropy_weight: beta, the weight of that bonus.
        distillation: Weight of a loss by which the backbone, and the tuned baselines alike, also learn from the answers
            of the full network: as it was given, or else as base_epochs without base_drop left it; 0 for off. Not in
            the paper.
        gate_temperature: Of the gates' gradient, with method "gates".
        gate_penalty: Weight of the cost beyond the budget, with method "gates".
        norm: Batch normalisation of the backbone in stage 2: "frozen" keeps the statistics of the base network,
            "active" measures them on the images that keep the block.
        optimizer: Stochastic gradient descent, of the base network.
        schedule: Learning rate over the training of the base network.
        policy_rate: Adam's learning rate in stage 1.
        policy_schedule: Learning rate over stage 1.
        joint_rate: Adam's learning rate in stage 2, and of the baselines.
        joint_schedule: Learning rate over stage 2.
        policy_batch_size: Images per step of stage 1; None means images.batch_size.
        joint_batch_size: The same for stage 2 and the baselines.
        images_per_epoch: Train on that many images in each epoch, drawn anew; None means all.
        ema_decay: Average the weights exponentially with this decay; None for off.
        baselines: Also tune what the report compares with, as long as in stage 2: the network with all its blocks, with
            those of the most frequent policy for everybody, with the first and with random ones. With base_drop, and
            without weights to start from, also train an ordinary network for base_epochs + joint_epochs.
        images: How images become batches.
        trainer: Devices and precision. Several devices need trainer.strategy "ddp_find_unused_parameters_true", because
            a block that no image of a batch keeps gets no gradient.
        seed: Of everything random.
    """

    data: str | None = None
    backbone: str = "cifar_resnet110_pool"
    weights: str | None = None
    trunk: Literal["tuned", "frozen"] = "tuned"
    trunk_rate: float = 0.1
    image_px: int = 32
    policy: Literal["resnet8", "resnet10", "small"] = "resnet8"
    budget: float = 0.36
    method: Literal["reinforce", "gates"] = "reinforce"
    base_epochs: int = 164
    base_drop: float = 0.0
    policy_epochs: int = 5000
    joint_epochs: int = 2000
    epochs_per_block: float = 1
    gamma: float = -2.0
    joint_gamma: float = -10.0
    reward_usage: Literal["blocks", "cost"] = "blocks"
    alpha: float = 0.8
    joint_alpha: float = 0.8
    entropy: Literal["full", "one_sided"] = "full"
    entropy_weight: float = 0.1
    distillation: float = 0.0
    gate_temperature: float = 1.0
    gate_penalty: float = 2.0
    norm: Literal["frozen", "active"] = "active"
    optimizer: SgdOptions = field(default_factory=SgdOptions)
    schedule: Schedule = field(default_factory=lambda: Schedule("milestones"))
    policy_rate: float = 1e-3
    policy_schedule: Schedule = field(default_factory=lambda: Schedule("steps", 0, 10_000))
    joint_rate: float = 1e-4
    joint_schedule: Schedule = field(default_factory=lambda: Schedule("steps", 0, 1600))
    policy_batch_size: int | None = 2048
    joint_batch_size: int | None = 256
    images_per_epoch: int | None = None
    ema_decay: float | None = None
    baselines: bool = True
    images: ImageOptions = field(default_factory=ImageOptions)
    trainer: TrainerOptions = field(default_factory=TrainerOptions)
    seed: int = 0

    REFUSED: ClassVar[Mapping[str, str]] = {
        **REFUSED,
        "policy_weights": 'policy_weights was replaced by weights: "published" also starts the policy "resnet10" from '
        "torchvision's ResNet-18, a file that was put in place included",
    }

    def __post_init__(self) -> None:
        require(self.image_px >= 1, "image_px", "a side in pixels", self.image_px)
        require(self.base_epochs >= 0, "base_epochs", "at least 0", self.base_epochs)
        require(0 <= self.base_drop < 1, "base_drop", "a share of the blocks, in [0, 1)", self.base_drop)
        for name in ("policy_epochs", "joint_epochs"):
            require(getattr(self, name) >= 1, name, "at least 1", getattr(self, name))
        for name in ("epochs_per_block", "gate_temperature", "policy_rate", "joint_rate"):
            require(getattr(self, name) > 0, name, "above 0", getattr(self, name))
        for name in ("entropy_weight", "gate_penalty", "distillation"):
            require(getattr(self, name) >= 0, name, "at least 0", getattr(self, name))
        for name in ("gamma", "joint_gamma"):
            require(getattr(self, name) <= 0, name, "at most 0, the reward of a right answer", getattr(self, name))
        for name in ("alpha", "joint_alpha"):
            require(0.5 < getattr(self, name) < 1, name, "in (0.5, 1)", getattr(self, name))
        for name in ("policy_batch_size", "joint_batch_size", "images_per_epoch"):
            value = getattr(self, name)
            require(value is None or value >= 2, name, "at least 2 or none", value)
        holds = self.method == "reinforce" or self.norm == "frozen"
        require(holds, "norm", f'"frozen" with method "{self.method}"', self.norm)
        require_unused_allowed(self.trainer, "a block that no image of a batch keeps gets no gradient")
        settle_backbone(self)

    @staticmethod
    def without_retired(options: Mapping[str, Any], *, of_run: bool) -> dict[str, Any]:
        """Drops the options of the former method "doubt", and what ``weights`` replaced where it was off or in a run.

        Raises:
            RecipeError: If that method is asked for.
        """
        if options.get("method") == "doubt":
            raise RecipeError(
                'method "doubt" was removed, because one fixed path of the same cost was as accurate: train anew with '
                'method "gates", or use the version of modicum that made the run'
            )
        found = without_pretrained(options, of_run=of_run)
        gone = {"doubt"} | ({"policy_weights"} if of_run or found.get("policy_weights") is None else set())
        return {name: value for name, value in found.items() if name not in gone}

    def facts(self) -> dict[str, str]:
        """Returns the facts about the training that a report shows, by name."""
        base = f"{self.base_epochs} epochs of the backbone, " if self.base_epochs else ""
        counted = "blocks" if self.reward_usage == "blocks" else "multiply-adds"
        learnt = {
            "reinforce": f"by reward, {self.gamma:g} and then {self.joint_gamma:g} where wrong; {counted} counted",
            "gates": "by gradients through gates, towards the budget",
        }[self.method]
        return {
            "Backbone": f"{self.backbone}, {describe_start(self.weights, self.trunk)}",
            "Policy": f"{self.policy}, learnt {learnt}",
            "Training": f"{base}{self.policy_epochs} epochs of the policy, {self.joint_epochs} epochs jointly",
            "Budget": f"{self.budget:.0%} of the plain network's multiply-adds",
            "Batch normalisation": f"{self.norm} in joint training",
            "Seed": str(self.seed),
        }
