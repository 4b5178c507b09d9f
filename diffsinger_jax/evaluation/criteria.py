"""What the searches for k and for how to sample may go by; names that flags offer, without JAX."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from diffsinger_jax.evaluation.report import Row

WAYS = ("closed_form", "learned", "grid")
"""The three published ways to find k."""
DNSMOS_TOLERANCE = 0.02
"""What a setting may lose to the auxiliary mel by DNSMOS: less than can be heard."""
NSIM_TOLERANCE = 0.01
"""What it may lose by NSIM where there is no DNSMOS."""


def by_modulation(row: Row, auxiliary: Row) -> tuple[float, ...]:
    """The least modulation-spectrum distance among settings that keep the recording's pattern.

    Those are the settings whose NSIM is at most `NSIM_TOLERANCE` below the auxiliary mel's; if
    there is none, the highest NSIM. The modulation spectrum alone takes noise on top of a blurred
    mel for the movement that the mel lacks. This asks for more than it should, since also a
    perfect sample is another one than the recording: use "dnsmos" where it is installed.
    """
    if row["nsim"] < auxiliary["nsim"] - NSIM_TOLERANCE:
        return 1.0, -row["nsim"]
    return 0.0, row["modulation_distance"]


def by_dnsmos(row: Row, auxiliary: Row) -> tuple[float, ...]:
    """The least modulation-spectrum distance among the settings that add no audible noise.

    Those are the settings whose DNSMOS is at most `DNSMOS_TOLERANCE` below the auxiliary mel's,
    which hears noise but not blur; if there is none, the highest DNSMOS.
    """
    if row["dnsmos_ovrl"] < auxiliary["dnsmos_ovrl"] - DNSMOS_TOLERANCE:
        return 1.0, -row["dnsmos_ovrl"]
    return 0.0, row["modulation_distance"]


def by_mcd(row: Row, auxiliary: Row) -> tuple[float, ...]:
    """The lowest mel cepstral distortion."""
    return (row["mcd"],)


CRITERIA: Mapping[str, Callable[[Row, Row], tuple[float, ...]]] = {
    "dnsmos": by_dnsmos,
    "modulation": by_modulation,
    "mcd": by_mcd,
}
"""(measures of a setting, of the auxiliary mel) -> what the chosen setting has the least of."""
