"""What a corpus or a voice says of its mel."""

import dataclasses
import json

import numpy as np
import pytest

from diffsinger_jax.corpus.info import corpus_info_to_dict, read_mel, write_corpus_info
from diffsinger_jax.errors import InputError
from diffsinger_jax.types import MEL_SPECS, CorpusInfo, MelSpec, Vocabulary

SPEC = MelSpec(n_mels=3, log_floor=1e-10)
INFO = CorpusInfo("x", SPEC, Vocabulary(("a",), ("s",), ("ja",)), np.zeros(3), np.ones(3))


def test_a_mel_is_named_or_taken_from_a_voice_or_a_corpus(tmp_path):
    assert read_mel("24k_hop256") == MEL_SPECS["24k_hop256"]
    write_corpus_info(tmp_path, INFO)
    assert read_mel(str(tmp_path)) == SPEC
    voice = {"corpus": corpus_info_to_dict(dataclasses.replace(INFO, mel=MelSpec(n_mels=3)))}
    (tmp_path / "voice.json").write_text(json.dumps(voice))
    assert read_mel(str(tmp_path)) == MelSpec(n_mels=3)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"corpus": {"mel": {"hops": 1}}}'])
def test_what_has_no_mel_is_one_sentence(tmp_path, text):
    with pytest.raises(InputError, match="no mel representation '48k'.*24k_hop128"):
        read_mel("48k")
    (tmp_path / "voice.json").write_text(text)
    with pytest.raises(InputError, match="voice.json"):
        read_mel(str(tmp_path))
