import pytest

from diffsinger_jax.cli import sing
from diffsinger_jax.cli.control_flags import controls, shares, speaker_name
from diffsinger_jax.errors import InputError


def test_flags_become_controls():
    flags = sing.parse_flags(
        ["--gender", "-0.5", "--velocity", "1.5", "--offset", "energy=6", "tension=-1"]
        + ["--speaker", "a:0.7|b c:0.3"]
    )
    found = controls(flags)
    assert (found.gender, found.velocity) == (-0.5, 1.5)
    assert found.offsets == {"energy": 6.0, "tension": -1.0}
    assert found.speakers == {"a": 0.7, "b c": 0.3} and speaker_name(flags) is None
    plain = sing.parse_flags(["--speaker", "a"])
    assert controls(plain).speakers == {} and speaker_name(plain) == "a"


@pytest.mark.parametrize(
    "speaker, words",
    [("a:x", "expected shares as alpha:0.7.beta:0.3"), ("a:-1|b:2", "expected shares")]
    + [("a:1|b", "expected shares"), ("a:0|b:0", "sum to 0, expected 1"), ("a:0.7|b:0.7", "1.4")],
)
def test_shares_that_are_none_are_one_sentence(speaker, words):
    with pytest.raises(InputError, match=words):
        shares(speaker)
    assert shares("a:0.33|b:0.33|c:0.33") == {"a": 0.33, "b": 0.33, "c": 0.33}
