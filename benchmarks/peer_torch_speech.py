"""FastSpeech 2 in plain PyTorch, by the weights of ours: what it is timed beside.

Written as one writes PyTorch: `nn.Conv1d` for convolutions, `scaled_dot_product_attention`, one
pass from phonemes to the mel. For rows without padding. A library for
`benchmarks/speech_speed.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from peer_torch import sinusoid
from torch import nn
from torch.nn import functional

Params = Mapping[str, Any]


def positions(length: int, channels: int) -> torch.Tensor:
    """[1, length, channels]: codes of 1, 2, 3 ..."""
    return sinusoid(torch.arange(1, length + 1), channels)[None]


class Convolution(nn.Module):
    """`nn.Conv1d` on [B, T, C], length kept."""

    def __init__(self, params: Params):
        """kernel [taps, in, out], bias [out]."""
        super().__init__()
        taps, inputs, outputs = params["kernel"].shape
        self.conv = nn.Conv1d(inputs, outputs, taps, padding=taps // 2)
        _fill(self.conv, params["kernel"].transpose(2, 1, 0), params["bias"])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[B, T, in] -> [B, T, out]."""
        return self.conv(x.transpose(1, 2)).transpose(1, 2)


class Block(nn.Module):
    """Attention, then a convolution and a linear layer, each behind a norm."""

    def __init__(self, params: Params, heads: int):
        """Params of our `FFTBlock`."""
        super().__init__()
        self.heads = heads
        self.first, self.second = (
            _norm(params["attention_norm"]),
            _norm(params["feed_forward_norm"]),
        )
        self.qkv = _linear(params["attention"]["qkv"])
        self.out = _linear(params["attention"]["out"])
        self.wide = Convolution(params["feed_forward_in"])
        self.narrow = _linear(params["feed_forward_out"])
        self.scale = self.wide.conv.kernel_size[0] ** -0.5

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[B, T, H] -> [B, T, H]."""
        rows, length, width = x.shape
        qkv = self.qkv(self.first(x)).view(rows, length, 3, self.heads, width // self.heads)
        q, k, v = qkv.permute(2, 0, 3, 1, 4)
        attended = functional.scaled_dot_product_attention(q, k, v)
        x = x + self.out(attended.transpose(1, 2).reshape(rows, length, width))
        return x + self.narrow(functional.gelu(self.wide(self.second(x)) * self.scale))


class Blocks(nn.Module):
    """Several of them, and a norm."""

    def __init__(self, params: Params, heads: int):
        """Params of our `FFTStack`."""
        super().__init__()
        count = sum(name.startswith("block_") for name in params)
        self.blocks = nn.ModuleList([Block(params[f"block_{i}"], heads) for i in range(count)])
        self.norm = _norm(params["norm"])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[B, T, H] -> [B, T, H]."""
        for block in self.blocks:
            x = block(x)
        return self.norm(x)


class Predictor(nn.Module):
    """Convolutions with ReLU and norm, and a linear layer; with positions where ours has them."""

    def __init__(self, params: Params):
        """Params of our `DurationPredictor` or `Contours`."""
        super().__init__()
        stack = params["stack"]
        count = sum(name.startswith("convolution_") for name in stack)
        self.convolutions = nn.ModuleList(
            [Convolution(stack[f"convolution_{i}"]) for i in range(count)]
        )
        self.norms = nn.ModuleList([_norm(stack[f"norm_{i}"], 1e-12) for i in range(count)])
        self.out = _linear(params["out"])
        scale = params.get("position_scale")
        self.position_scale = None if scale is None else float(scale[0])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[B, L, H] -> [B, L, outputs]."""
        if self.position_scale is not None:
            x = x + self.position_scale * positions(*x.shape[1:])
        for convolution, norm in zip(self.convolutions, self.norms, strict=True):
            x = norm(functional.relu(convolution(x)))
        return self.out(x)


class FastSpeech2(nn.Module):
    """Phonemes to a mel in [-1, 1], by durations, f0 in bins and the energy of phonemes."""

    def __init__(self, params: Params, heads: int):
        """Params of our `DiffSinger` with the config `lj_fastspeech2`."""
        super().__init__()
        self.phoneme = _table(params["encoder"]["phoneme"])
        self.encoder = Blocks(params["encoder"]["blocks"], heads)
        self.duration = Predictor(params["duration_predictor"])
        self.pitch = Predictor(params["pitch_predictor"]["contours"])
        self.energy = Predictor(params["curve_predictor"])
        self.pitch_table = _table(params["pitch_embedding"]["table"])
        self.energy_table = _table(params["curve_embedding"]["energy"]["table"])
        decoder = params["auxiliary_decoder"]
        self.decoder, self.out = Blocks(decoder["blocks"], heads), _linear(decoder["out"])
        self.position_scale = float(decoder["position_scale"][0])

    @torch.inference_mode()
    def encode(self, tokens: torch.Tensor) -> torch.Tensor:
        """tokens i64[B, N] -> [B, N, H]."""
        x = self.phoneme(tokens) * self.phoneme.embedding_dim**0.5
        return self.encoder(x + positions(*x.shape[1:]))

    @torch.inference_mode()
    def variance(
        self, encoded: torch.Tensor, frames: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
        """encoded [1, N, H], frames i64[N] -> log frames, expanded, f0 in Hz, energy (of 96 dB)."""
        log_frames = self.duration(encoded)[..., 0]
        expanded = torch.repeat_interleave(encoded, frames, dim=1)
        contours = self.pitch(expanded)
        f0 = torch.where(contours[..., 1] < 0, torch.exp2(contours[..., 0]), 0.0)
        energy = torch.repeat_interleave(self.energy(encoded)[..., 0], frames, dim=1)
        return log_frames, expanded, f0, energy

    @torch.inference_mode()
    def condition(
        self, expanded: torch.Tensor, f0: torch.Tensor, energy: torch.Tensor
    ) -> torch.Tensor:
        """[1, T, H] of what the decoders are shown."""
        mel = lambda hz: 1127.0 * torch.log1p(hz / 700.0)  # noqa: E731
        low, high = (mel(torch.tensor(hz)) for hz in (50.0, 1100.0))
        place = (mel(f0) - low) * 254 / (high - low) + 1.0
        pitch = (place.clamp(1.0, 255.0) + 0.5).long()
        loud = torch.floor((energy + 1.0) * 128.0).clamp(0, 255).long()
        return expanded + self.pitch_table(pitch) + self.energy_table(loud)

    @torch.inference_mode()
    def mel(self, cond: torch.Tensor) -> torch.Tensor:
        """[1, T, H] -> z [1, T, M]."""
        x = cond + self.position_scale * positions(*cond.shape[1:])
        return self.out(self.decoder(x))


def _fill(module: nn.Module, weight: np.ndarray, bias: np.ndarray | None) -> None:
    module.weight.data = torch.from_numpy(np.array(weight, np.float32, order="C"))
    if bias is not None:
        module.bias.data = torch.from_numpy(np.array(bias, np.float32))


def _linear(params: Params) -> nn.Linear:
    kernel, bias = params["dense"]["kernel"], params["dense"].get("bias")
    linear = nn.Linear(*kernel.shape, bias=bias is not None)
    _fill(linear, kernel.T, bias)
    return linear


def _norm(params: Params, epsilon: float = 1e-5) -> nn.LayerNorm:
    norm = nn.LayerNorm(len(params["scale"]), eps=epsilon)
    _fill(norm, params["scale"], params["bias"])
    return norm


def _table(params: Params) -> nn.Embedding:
    table = nn.Embedding(*params["embedding"].shape)
    _fill(table, params["embedding"], None)
    return table
