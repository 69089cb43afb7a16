"""SlimLLM's score of channels: down's part by the directions in which the FFN's output varies (rivals.md, 6)."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Literal

from lorap.methods.prune_channels import Prune
from lorap.methods.seen import Want
from lorap.model.layer_plan import LayerPlan, LayerShape
from lorap.model.sizes import Sizes, eigenvector_operations

if TYPE_CHECKING:
    from torch import Tensor, nn

    from lorap.methods.seen import Seen


class SlimLlm(Prune):
    """As LoRAP, but a direction v of the output with eigenvalue e of its covariance counts sigmoid(e / mean e)."""

    name: Literal["slimllm"] = "slimllm"  # type: ignore[assignment]

    def wanted(self, shape: LayerShape, plan: LayerPlan | None) -> Sequence[Want]:
        """Also the whole second moment of the channels, and their mean."""
        usual = super().wanted(shape, plan)
        return [*usual, *(Want("ffn_hidden", kind) for kind in ("gram", "mean") if usual)]

    def scores(self, layer: "nn.Module", seen: "Seen") -> Mapping[str, "Tensor"]:
        """The importance of every channel."""
        from lorap.core.channels import channel_scores
        from lorap.core.factorise import eigenvectors
        from lorap.model.family import linear
        from lorap.model.layer_plan import FFN

        gate, up, down = (linear(layer, name).weight for name in FFN)
        hidden, weight = seen.of("ffn_hidden"), down.float()
        covariance = hidden.products_of() - hidden.mean().outer(hidden.mean())
        values, vectors = eigenvectors(weight @ covariance @ weight.T)
        turned = (values / values.mean()).sigmoid()[:, None] * (vectors.T @ weight)
        return {"channels": channel_scores(gate, up, turned, seen.of("ffn_in").scale(), hidden.scale())}

    def eigenvector_operations(self, sizes: Sizes) -> int:
        """The eigenvectors of the output's covariance."""
        return eigenvector_operations(sizes.hidden, 1)

    def statistics_bytes(self, sizes: Sizes) -> int:
        """The second moment, in float32."""
        return 4 * sizes.channels**2

    def workspace_bytes(self, sizes: Sizes) -> int:
        """The moment, the means' part of it and the covariance, and the weights that are multiplied by it."""
        return max(super().workspace_bytes(sizes), 12 * sizes.channels**2 + 8 * sizes.hidden * sizes.channels)

    def solutions(self, shape: LayerShape, plan: LayerPlan) -> float:
        """The covariance of down's output, and down as its directions see it."""
        out, inp = shape.sizes["down_proj"]
        return out * inp * (inp + 2 * out)
