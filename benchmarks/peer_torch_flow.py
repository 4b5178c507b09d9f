"""LYNXNet2 and an Euler sampler of its flow in plain PyTorch: what ours is timed beside.

Written as one writes PyTorch: linear layers on frames, `nn.Conv1d` for the depthwise convolution
with a transpose before and after it, the condition projected at each step. A library for
`benchmarks/flow_speed.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from peer_torch import sinusoid
from torch import nn


class ArctanGLU(nn.Module):
    """The first half times the arc tangent of the second."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[..., 2C] -> [..., C]."""
        value, gate = x.chunk(2, dim=-1)
        return value * torch.atan(gate)


class Layer(nn.Module):
    """A depthwise convolution and three linear layers, two of them gated."""

    def __init__(self, channels: int, kernel_size: int):
        """C, and frames that the convolution sees."""
        super().__init__()
        self.norm = nn.LayerNorm(channels)
        self.depthwise = nn.Conv1d(
            channels, channels, kernel_size, padding=kernel_size // 2, groups=channels
        )
        self.linears = nn.ModuleList(
            [
                nn.Linear(channels, 2 * channels),
                nn.Linear(channels, 2 * channels),
                nn.Linear(channels, channels),
            ]
        )
        self.glu = ArctanGLU()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[B, T, C] -> [B, T, C]."""
        h = self.depthwise(self.norm(x).transpose(1, 2)).transpose(1, 2)
        first, second, last = self.linears
        return x + last(self.glu(second(self.glu(first(h)))))


class LYNXNet2(nn.Module):
    """That of `diffsinger_jax.modules.trunks.lynxnet2`, expansion 1, rows without padding."""

    def __init__(self, data: int, condition: int, channels: int, layers: int, kernel_size: int):
        """D, H, C, layers and the convolutions' width."""
        super().__init__()
        self.input = nn.Linear(data, channels)
        self.condition = nn.Linear(condition, channels)
        self.step = nn.Sequential(
            nn.Linear(channels, 4 * channels), nn.GELU(), nn.Linear(4 * channels, channels)
        )
        self.layers = nn.ModuleList([Layer(channels, kernel_size) for _ in range(layers)])
        self.norm = nn.LayerNorm(channels)
        self.head = nn.Linear(channels, data)

    def project(self, cond: torch.Tensor) -> torch.Tensor:
        """cond [B, T, H] -> [B, T, C]."""
        return self.condition(cond)

    def forward(self, x: torch.Tensor, t: torch.Tensor, projected: torch.Tensor) -> torch.Tensor:
        """x [B, T, D], t f32[B] -> [B, T, D]."""
        step = self.step(sinusoid(t, self.norm.normalized_shape[0]))
        h = self.input(x) + projected + step[:, None]
        for layer in self.layers:
            h = layer(h)
        return self.head(self.norm(h))


def lynxnet2_from_flax(params: Mapping[str, Any]) -> LYNXNet2:
    """The same weights in PyTorch.

    Args:
      params: of our `LYNXNet2`.
    """
    layers = sum(name.startswith("blocks_") for name in params)
    data, channels = params["input"]["dense"]["kernel"].shape
    condition = len(params["condition"]["dense"]["kernel"])
    kernel_size = len(params["blocks_0"]["depthwise"]["kernel"])
    peer = LYNXNet2(data, condition, channels, layers, kernel_size)

    def tensor(value: Any) -> torch.Tensor:
        return torch.from_numpy(np.array(value, np.float32))

    def linear(module: nn.Module, ours: Mapping[str, Any]) -> None:
        module.weight.data = tensor(ours["dense"]["kernel"]).T.contiguous()
        module.bias.data = tensor(ours["dense"]["bias"])

    def norm(module: nn.Module, ours: Mapping[str, Any]) -> None:
        module.weight.data, module.bias.data = tensor(ours["scale"]), tensor(ours["bias"])

    named = {"input": peer.input, "condition": peer.condition, "head": peer.head}
    named |= {"step_in": peer.step[0], "step_out": peer.step[2]}
    for name, module in named.items():
        linear(module, params[name])
    norm(peer.norm, params["norm"])
    for i, layer in enumerate(peer.layers):
        ours = params[f"blocks_{i}"]
        norm(layer.norm, ours["norm"])
        layer.depthwise.weight.data = tensor(ours["depthwise"]["kernel"]).T[:, None].contiguous()
        layer.depthwise.bias.data = tensor(ours["depthwise"]["bias"])
        for name, module in zip(("in", "middle", "out"), layer.linears, strict=True):
            linear(module, ours[name])
    return peer


class EulerSampler:
    """x += v(x, t) dt from t_start to 1; the network is told 1000 t."""

    def __init__(self, denoiser: nn.Module, t_start: float, steps: int):
        """Takes the network, where to start, and in how many steps."""
        self.denoiser, self.t_start, self.steps = denoiser, t_start, steps

    @torch.inference_mode()
    def __call__(
        self, start: torch.Tensor, cond: torch.Tensor, noise: torch.Tensor
    ) -> torch.Tensor:
        """start, noise [B, T, D], cond [B, T, H] -> z [B, T, D]."""
        x = self.t_start * start + (1.0 - self.t_start) * noise
        length = (1.0 - self.t_start) / self.steps
        for number in range(self.steps):
            told = torch.full((len(x),), 1000.0 * (self.t_start + number * length))
            velocity = self.denoiser(x, told.to(x.device), self.denoiser.project(cond))
            x = x + length * velocity.float()
        return x
