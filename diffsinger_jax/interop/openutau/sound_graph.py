"""A voice and a vocoder as one graph: phonemes, durations and curves to a mel and its sound."""

from __future__ import annotations

import numpy as np

from diffsinger_jax.interop.openutau.onnx_parts import FLOAT32, onnx_module, rename_values


def sound_graph(acoustic: bytes, vocoder: bytes, factor: float) -> bytes:
    """`acoustic_graph`, whose mel and f0 go on into `vocoder_graph`.

    Inputs are those of the acoustic graph; outputs mel f32[1, n_frames, M] and waveform
    f32[1, n_samples]. Values of the vocoder have names that begin with "vocoder/".

    Args:
      acoustic, vocoder: the graphs.
      factor: on the mel, where the vocoder's logarithm has another base.
    """
    onnx = onnx_module()
    model = onnx.load_model_from_string(acoustic)
    sound = onnx.load_model_from_string(vocoder).graph
    shared = {"f0": "f0", "waveform": "waveform"}
    rename_values(sound, lambda old: shared.get(old, f"vocoder/{old}" if old else ""))
    number = onnx.numpy_helper.from_array(np.asarray(factor, np.float32), "vocoder/factor")
    scaled = onnx.helper.make_node("Mul", ["mel", "vocoder/factor"], ["vocoder/mel"])
    model.graph.node.extend([scaled, *sound.node])
    model.graph.initializer.extend([number, *sound.initializer])
    shape = [1, "n_samples"]
    model.graph.output.append(onnx.helper.make_tensor_value_info("waveform", FLOAT32, shape))
    onnx.checker.check_model(model)
    made: bytes = model.SerializeToString()
    return made
