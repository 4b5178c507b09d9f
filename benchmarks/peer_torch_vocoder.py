"""The PyTorch form of NSF-HiFiGAN, with the names of openvpi/DiffSinger: what ours is held beside.

Written from the papers and the files' layout; weights are plain, weight norm is folded in.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
from torch import nn
from torch.nn import functional

SLOPE = 0.1


class Block(nn.Module):
    """A residual block; the second kind has no convolution after the dilated one."""

    def __init__(self, channels: int, kernel: int, dilations: Sequence[int], kind: str):
        """Takes the dilations that are used, three of the first kind or two of the second."""
        super().__init__()

        def convolution(dilation: int) -> nn.Conv1d:
            reach = (kernel - 1) * dilation // 2
            return nn.Conv1d(channels, channels, kernel, padding=reach, dilation=dilation)

        dilated = nn.ModuleList([convolution(d) for d in dilations])
        if kind == "1":
            self.convs1 = dilated
            self.convs2 = nn.ModuleList([convolution(1) for _ in dilations])
        else:
            self.convs = dilated
        self.kind = kind

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[B, C, L] -> [B, C, L]."""
        if self.kind == "2":
            for convolution in self.convs:
                x = x + convolution(functional.leaky_relu(x, SLOPE))
            return x
        for first, second in zip(self.convs1, self.convs2, strict=True):
            y = first(functional.leaky_relu(x, SLOPE))
            x = x + second(functional.leaky_relu(y, SLOPE))
        return x


class Source(nn.Module):
    """Nine sines merged into one signal."""

    def __init__(self):
        """One linear layer."""
        super().__init__()
        self.l_linear = nn.Linear(9, 1)


def phases(f0: torch.Tensor, rate: float, n: int, glide: bool) -> torch.Tensor:
    """[B, T] Hz -> [B, T * n] cycles, in the reference's order of roundings."""
    place = torch.arange(1, n + 1)
    step = f0[..., None] / rate
    inside = step * place
    if glide:
        change = functional.pad(step[:, 1:] - step[:, :-1], (0, 0, 0, 1))
        inside = inside + 0.5 * change * place * (place - 1) / n
    ends = torch.fmod(inside[..., -1:] + 0.5, 1.0) - 0.5
    start = ends.cumsum(dim=1).fmod(1.0)
    return (inside + functional.pad(start[:, :-1], (0, 0, 1, 0))).reshape(len(f0), -1)


class Generator(nn.Module):
    """The network of a config.json; noise and initial phases are zero."""

    def __init__(self, config: Mapping):
        """Takes openvpi's settings."""
        super().__init__()
        self.rates = config["upsample_rates"]
        self.sine = config.get("mini_nsf", False)
        self.rate = config["sampling_rate"]
        channels = config["upsample_initial_channel"]
        self.conv_pre = nn.Conv1d(config["num_mels"], channels, 7, padding=3)
        self.ups, self.resblocks = nn.ModuleList(), nn.ModuleList()
        self.noise_convs = nn.ModuleList()
        count = 3 if config["resblock"] == "1" else 2
        for i, (rate, kernel) in enumerate(
            zip(self.rates, config["upsample_kernel_sizes"], strict=True)
        ):
            width = channels // 2 ** (i + 1)
            cut = (kernel - rate) // 2
            self.ups.append(nn.ConvTranspose1d(2 * width, width, kernel, rate, padding=cut))
            rest = math.prod(self.rates[i + 1 :])
            if self.sine:
                if i == 1:
                    self.source_conv = nn.Conv1d(1, width, 1)
            elif rest > 1:
                self.noise_convs.append(nn.Conv1d(1, width, 2 * rest, rest, padding=rest // 2))
            else:
                self.noise_convs.append(nn.Conv1d(1, width, 1))
            for size, dilations in zip(
                config["resblock_kernel_sizes"], config["resblock_dilation_sizes"], strict=True
            ):
                self.resblocks.append(Block(width, size, dilations[:count], config["resblock"]))
        self.parallel_blocks = len(config["resblock_kernel_sizes"])
        self.conv_post = nn.Conv1d(width, 1, 7, padding=3)
        if not self.sine:
            self.m_source = Source()

    def excite(self, f0: torch.Tensor) -> torch.Tensor:
        """[B, T] Hz -> [B, 1, N]."""
        if self.sine:
            before = self.rates[0] * self.rates[1]
            inner_rate = self.rate / math.prod(self.rates[2:])
            return torch.sin(2 * math.pi * phases(f0, inner_rate, before, True))[:, None]
        hop = math.prod(self.rates)
        turns = phases(f0, self.rate, hop, False)[..., None] * torch.arange(1, 10)
        voiced = (f0 > 0).float().repeat_interleave(hop, dim=1)[..., None]
        sines = 0.1 * torch.sin(2 * math.pi * turns) * voiced
        return torch.tanh(self.m_source.l_linear(sines)).transpose(1, 2)

    def forward(self, mel: torch.Tensor, f0: torch.Tensor) -> torch.Tensor:
        """[B, M, T], [B, T] Hz -> [B, 1, L]."""
        source = self.excite(f0)
        x = self.conv_pre(mel)
        for i, up in enumerate(self.ups):
            x = up(functional.leaky_relu(x, SLOPE))
            if not self.sine:
                x = x + self.noise_convs[i](source)
            elif i == 1:
                x = x + self.source_conv(source)
            blocks = self.resblocks[i * self.parallel_blocks : (i + 1) * self.parallel_blocks]
            x = sum(block(x) for block in blocks) / self.parallel_blocks
        return torch.tanh(self.conv_post(functional.leaky_relu(x)))
