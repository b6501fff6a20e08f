"""Exposure types whose own dithers can be their background, and why those of others cannot."""

from __future__ import annotations

__all__ = ["DITHERED", "why_not"]

DITHERED: dict[str, tuple[str, str]] = {
    **dict.fromkeys(
        ("FGS_IMAGE", "MIR_IMAGE", "NIS_IMAGE", "NRC_IMAGE", "NRS_IMAGE", "NIS_AMI"),
        ("image2", "Asn_Lv2Image"),
    ),
    **dict.fromkeys(("MIR_LRS-FIXEDSLIT", "MIR_MRS"), ("spec2", "Asn_Lv2Spec")),
    "NRS_FIXEDSLIT": ("spec2", "Asn_Lv2NRSFSS"),
    "NRS_IFU": ("spec2", "Asn_Lv2NRSIFUNod"),
    "NRS_MSASPEC": ("spec2", "Asn_Lv2NRSMSA"),
}
"""EXP_TYPE of exposures whose dithers or nods move the sources on the detector, with ``asn_type``
and ``asn_rule`` of their associations."""

REFERENCE = "a scaled reference is their background"
STARING = "they stare: their target stays on its pixels"

OTHERS = {
    **dict.fromkeys(("MIR_WFSS", "NIS_SOSS", "NIS_WFSS", "NRC_WFSS"), REFERENCE),
    **dict.fromkeys(("MIR_LRS-SLITLESS", "NRC_TSGRISM", "NRC_TSIMAGE", "NRS_BRIGHTOBJ"), STARING),
    **dict.fromkeys(("MIR_4QPM", "MIR_LYOT", "NRC_CORON"), STARING),
}
"""Types of others for which a reason can be given."""


def why_not(exp_type: str) -> str:
    """Return why exposures of a type are not each other's background."""
    return OTHERS.get(exp_type, "they are no dithered exposures of science")
