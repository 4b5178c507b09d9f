"""A voice and a vocoder as one graph: phonemes, durations and curves to a mel and its sound."""

from __future__ import annotations

import numpy as np

from diffsinger_jax.interop.openutau.acoustic_graph import acoustic_graph
from diffsinger_jax.interop.openutau.onnx_parts import FLOAT32, onnx_module, rename_values
from diffsinger_jax.interop.openutau.vocoder_graph import vocoder_graph
from diffsinger_jax.voices.vocoder import NeuralVocoder
from diffsinger_jax.voices.vocoder_spec import log_factor, require_same_mel
from diffsinger_jax.voices.voice import Voice


def sound_graph(voice: Voice, vocoder: NeuralVocoder) -> bytes:
    """`acoustic_graph`, whose mel and f0 go on into `vocoder_graph`.

    Inputs are those of the acoustic graph; outputs mel f32[1, n_frames, M] and waveform
    f32[1, n_samples]. Values of the vocoder have names that begin with "vocoder/".

    Args:
      voice: see `acoustic_graph.require_exportable`.
      vocoder: of its mel.

    Raises:
      InputError: as `acoustic_graph`, or if the vocoder reads another mel.
    """
    require_same_mel(voice.info.mel, vocoder.mel, vocoder.name)
    onnx = onnx_module()
    model = onnx.load_model_from_string(acoustic_graph(voice))
    sound = onnx.load_model_from_string(vocoder_graph(vocoder)).graph
    shared = {"f0": "f0", "waveform": "waveform"}
    rename_values(sound, lambda old: shared.get(old, f"vocoder/{old}" if old else ""))
    factor = np.float32(log_factor(voice.info.mel, vocoder.mel))
    model.graph.initializer.append(onnx.numpy_helper.from_array(factor, "vocoder/factor"))
    scaled = onnx.helper.make_node("Mul", ["mel", "vocoder/factor"], ["vocoder/mel"])
    model.graph.node.extend([scaled, *sound.node])
    model.graph.initializer.extend(sound.initializer)
    shape = [1, "n_samples"]
    model.graph.output.append(onnx.helper.make_tensor_value_info("waveform", FLOAT32, shape))
    onnx.checker.check_model(model)
    made: bytes = model.SerializeToString()
    return made
