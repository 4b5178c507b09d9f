"""The denoiser, its DDPM sampler and its training step in plain PyTorch: what ours is timed beside.

Written as one writes PyTorch: channels before frames, one module for each layer, `nn.Conv1d` for
every convolution, and the condition projected in each residual layer at each step, as the published
implementations do. `once=True` projects it once for all steps, as ours does, so that a table can
show what comes of that alone. It is a library for `benchmarks/sampling.py` and
`benchmarks/training.py`, and the one place beside the checkpoint reader that imports PyTorch.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional


class ResidualLayer(nn.Module):
    """A dilated convolution with a gate, a way on and a way out."""

    def __init__(self, channels: int, condition: int, dilation: int):
        """Channels of the stream and of the condition."""
        super().__init__()
        self.dilated = nn.Conv1d(channels, 2 * channels, 3, padding=dilation, dilation=dilation)
        self.step = nn.Linear(channels, channels)
        self.condition = nn.Conv1d(condition, 2 * channels, 1)
        self.output = nn.Conv1d(channels, 2 * channels, 1)

    def forward(
        self, x: torch.Tensor, step: torch.Tensor, projected: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """x [B, C, T], step [B, C], projected [B, 2C, T] -> x, skip, [B, C, T] each."""
        y = self.dilated(x + self.step(step)[..., None]) + projected
        gate, value = y.chunk(2, dim=1)
        residual, skip = self.output(torch.sigmoid(gate) * torch.tanh(value)).chunk(2, dim=1)
        return (x + residual) / math.sqrt(2.0), skip


class Denoiser(nn.Module):
    """The WaveNet of `diffsinger_jax.modules.trunks.wavenet`, for rows without padding."""

    def __init__(self, data: int, condition: int, channels: int, layers: int, cycle: int):
        """D, H, C, layers and the dilations' cycle."""
        super().__init__()
        self.input = nn.Conv1d(data, channels, 1)
        self.step = nn.Sequential(
            nn.Linear(channels, 4 * channels), nn.Mish(), nn.Linear(4 * channels, channels)
        )
        self.layers = nn.ModuleList(
            [ResidualLayer(channels, condition, 2 ** (i % cycle)) for i in range(layers)]
        )
        self.skip = nn.Conv1d(channels, channels, 1)
        self.head = nn.Conv1d(channels, data, 1)

    def project(self, cond: torch.Tensor) -> list[torch.Tensor]:
        """cond [B, H, T] -> [B, 2C, T] for each layer."""
        return [layer.condition(cond) for layer in self.layers]

    def forward(
        self, x: torch.Tensor, t: torch.Tensor, projected: list[torch.Tensor]
    ) -> torch.Tensor:
        """x [B, D, T], t i64[B] -> [B, D, T]."""
        step = self.step(sinusoid(t, self.input.out_channels))
        x = functional.relu(self.input(x))
        skips = torch.zeros_like(x)
        for layer, of_layer in zip(self.layers, projected, strict=True):
            x, skip = layer(x, step, of_layer)
            skips = skips + skip
        x = functional.relu(self.skip(skips / math.sqrt(len(self.layers))))
        return self.head(x)


def sinusoid(t: torch.Tensor, channels: int) -> torch.Tensor:
    """t [B] -> [B, channels], half sines, half cosines."""
    half = channels // 2
    rates = torch.exp(torch.arange(half, device=t.device) * -(math.log(10_000.0) / (half - 1)))
    angles = t[:, None].float() * rates[None, :]
    return torch.cat([angles.sin(), angles.cos()], dim=-1)


def denoiser_from_flax(params: Mapping[str, Any], *, cycle: int) -> Denoiser:
    """The same weights in PyTorch: kernels have taps and inputs first there, outputs first here.

    Args:
      params: of our `WaveNet`.
      cycle: its `dilation_cycle`.
    """
    params = {name: _numpy(value) for name, value in params.items()}
    layers = sum(name.startswith("dilated_") for name in params)
    data, channels = params["input"]["dense"]["kernel"].shape
    condition = params["condition"]["dense"]["kernel"]
    peer = Denoiser(data, len(condition), channels, layers, cycle)

    def copy(module: nn.Module, kernel: np.ndarray, bias: np.ndarray) -> None:
        weight = np.ascontiguousarray(kernel.T)  # [in, out] -> [out, in], [taps, in, out] -> ...
        module.weight.data = torch.from_numpy(weight.reshape(module.weight.shape))
        module.bias.data = torch.from_numpy(bias.copy())

    def copy_dense(module: nn.Module, dense: Mapping[str, Any]) -> None:
        copy(module, dense["dense"]["kernel"], dense["dense"]["bias"])

    for name, module in (
        ("input", peer.input),
        ("step_in", peer.step[0]),
        ("step_out", peer.step[2]),
        ("skip", peer.skip),
        ("head", peer.head),
    ):
        copy_dense(module, params[name])
    kernels = np.split(condition, layers, axis=1)
    biases = np.split(params["condition"]["dense"]["bias"], layers)
    for i, layer in enumerate(peer.layers):
        copy(layer.condition, kernels[i], biases[i])
        copy(layer.dilated, params[f"dilated_{i}"]["kernel"], params[f"dilated_{i}"]["bias"])
        copy_dense(layer.step, params[f"step_projection_{i}"])
        copy_dense(layer.output, params[f"output_{i}"])
    return peer


def _numpy(tree: Any) -> Any:
    if isinstance(tree, Mapping):
        return {name: _numpy(value) for name, value in tree.items()}
    return np.asarray(tree, np.float32)


class DdpmSampler:
    """The ancestral sampler of an eps-predicting denoiser, x_0 clipped to [-1, 1].

    Attributes:
      alpha_bar: f64[S] of the schedule.
      once: whether the condition is projected once for all steps.
    """

    def __init__(self, denoiser: nn.Module, alpha_bar: np.ndarray, *, once: bool = False):
        """Takes the denoiser; `torch.compile` it before or not."""
        self.denoiser, self.alpha_bar, self.once = denoiser, alpha_bar, once

    @torch.inference_mode()
    def __call__(
        self, start: torch.Tensor, cond: torch.Tensor, noise: torch.Tensor
    ) -> torch.Tensor:
        """start [B, D, T], cond [B, H, T], noise [k + 1, B, D, T], that of the start last -> z."""
        k_step = len(noise) - 1
        abar = self.alpha_bar
        x = math.sqrt(abar[k_step - 1]) * start + math.sqrt(1 - abar[k_step - 1]) * noise[k_step]
        projected = self.denoiser.project(cond) if self.once else None
        for t in reversed(range(k_step)):
            here, after = abar[t], abar[t - 1] if t else 1.0
            rows = torch.full((len(x),), t, device=x.device)
            eps = self.denoiser(x, rows, projected or self.denoiser.project(cond)).float()
            x0 = ((x - math.sqrt(1 - here) * eps) / math.sqrt(here)).clamp(-1.0, 1.0)
            beta = 1 - here / after
            mean = math.sqrt(after) * beta / (1 - here) * x0
            mean = mean + math.sqrt(here / after) * (1 - after) / (1 - here) * x
            x = mean + math.sqrt(beta * (1 - after) / (1 - here)) * noise[t]
        return x


def training_step(
    denoiser: nn.Module, *, learning_rate: float, betas: tuple[float, float], clip_norm: float
) -> Callable[..., torch.Tensor]:
    """(x_t, t, cond, eps) -> loss: forward, backward, AdamW behind a bound on the gradient."""
    optimizer = torch.optim.AdamW(
        denoiser.parameters(), lr=learning_rate, betas=betas, weight_decay=0.0
    )

    def step(
        x_t: torch.Tensor, t: torch.Tensor, cond: torch.Tensor, eps: torch.Tensor
    ) -> torch.Tensor:
        optimizer.zero_grad(set_to_none=True)
        loss = (denoiser(x_t, t, denoiser.project(cond)).float() - eps).abs().mean()
        loss.backward()
        nn.utils.clip_grad_norm_(denoiser.parameters(), clip_norm)
        optimizer.step()
        return loss.detach()

    return step
