"""What is found out of exposures before a family is combined: masks of sources, and scales.

Each is a task of its own, done once for all bands of rows.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import cast

from bkgflow.detector import Window
from bkgflow.errors import BkgflowError
from bkgflow.io.storage.location import Location
from bkgflow.kinds.adjust import Adjustments
from bkgflow.kinds.bands import Band
from bkgflow.kinds.families import Family
from bkgflow.kinds.looks import Look, Mask
from bkgflow.kinds.masks import PIXEL_BYTES, mask_of
from bkgflow.kinds.scaling import regions_of, sample_of, scales_of
from bkgflow.methods.scales import Mode, Regions, Scales, sample_rows
from bkgflow.planning.kind import Facts, Prelude
from bkgflow.planning.unit import IMPRINT_BYTES, Shared
from bkgflow.settings import StepSettings
from bkgflow.verdict import Verdict

__all__ = ["Before", "adjusting", "before"]

READ_BYTES = 8
"""Of a pixel that is looked at: SCI (float32) and DQ (uint32)."""

Shape = tuple[int, int]

Member = tuple[Location, Location | None]
"""An exposure, and what is subtracted from it first."""


@dataclass(frozen=True, slots=True)
class Before:
    """What the bands of a family take.

    Attributes
    ----------
    masks : tuple of Prelude
        The mask of each member; empty where sources are not masked.
    regions : tuple of Prelude
        The map of the regions that are scaled apart, if there is one.
    scales : tuple of Prelude
        What is done to the members of each background; empty where they are not scaled.
    """

    masks: tuple[Prelude, ...] = ()
    regions: tuple[Prelude, ...] = ()
    scales: tuple[Prelude, ...] = ()

    @property
    def all(self) -> tuple[Prelude, ...]:
        """All of them, in this order."""
        return (*self.masks, *self.regions, *self.scales)

    @property
    def shape(self) -> Shape:
        """How many there are of each."""
        return len(self.masks), len(self.regions)


Combine = Callable[..., list[Band | Verdict]]


def adjusting(
    window: Window, shape: Shape, combine: Combine, *taken: object
) -> list[Band | Verdict]:
    """Combine a band of a family's window with what came before it, in the order of `Before.all`.

    Parameters
    ----------
    shape : (int, int)
        See `Before.shape`.
    combine : callable
        `combine_band`, but for what is done to the strips.
    """
    masks, regions = shape
    found = Adjustments(
        window,
        cast(Sequence[Mask], taken[:masks]),
        cast(Regions, taken[masks]) if regions else Regions(),
        cast(Sequence[Scales | BkgflowError], taken[masks + regions :]),
    )
    return combine(adjust=found)


def before(family: Family, facts: Facts, settings: StepSettings) -> Before:
    """Return what comes before the bands of a family."""
    making = _Making(family, facts, settings)
    masks = () if making.masking is None else tuple(map(making.mask, family.members))
    if settings.bkg_scale == "none":
        return Before(masks)
    regions = making.regions()
    return Before(
        masks, regions, tuple(making.scales(each, regions) for each in family.backgrounds)
    )


@dataclass
class _Making:
    """Makes each task once, whoever asks for it."""

    family: Family
    facts: Facts
    settings: StepSettings
    masks: dict[Member, Prelude] = field(default_factory=dict)
    samples: dict[Member, Prelude] = field(default_factory=dict)
    maps: list[Prelude] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.masking = self.family.backgrounds[0].masking  # of one plan, all have the same

    def look(self, member: Member) -> Look:
        exposure, imprint = member
        return Look.of(self.facts[exposure], None if imprint is None else self.facts[imprint])

    def mask(self, member: Member) -> Prelude:
        """Return what masks an exposure."""
        if member not in self.masks:
            assert self.masking is not None
            exposure = self.facts[member[0]]
            compute = partial(mask_of, self.look(member), self.masking, self.settings.mask_rule)
            pixels = exposure.window.nx * exposure.window.ny
            read = self._read(member, exposure.n_pixels) if self.masking.way == "detect" else 0
            self.masks[member] = Prelude("mask", compute, (), read, PIXEL_BYTES * pixels)
        return self.masks[member]

    def sample(self, member: Member) -> Prelude:
        """Return what takes a sample of an exposure."""
        if member not in self.samples:
            window, exposure = self.family.window, self.facts[member[0]]
            regions, look = self.regions(), self.look(member)
            if regions:
                compute = partial(sample_of, window, look)
            else:
                compute = partial(sample_of, window, look, Regions())
            takes = (*regions, *(() if self.masking is None else (self.mask(member),)))
            pixels = len(sample_rows(window)) * exposure.window.nx * (exposure.n_integrations or 1)
            read = self._read(member, pixels)
            self.samples[member] = Prelude("sample", compute, takes, read)
        return self.samples[member]

    def _read(self, member: Member, pixels: int) -> int:
        return pixels * (READ_BYTES if member[1] is None else READ_BYTES + IMPRINT_BYTES)

    def regions(self) -> tuple[Prelude, ...]:
        """Return what reads the map of regions, if there is one."""
        if (path := self.family.backgrounds[0].scale_map) is None:
            return ()
        if not self.maps:
            instrument = self.facts[self.family.members[0][0]].instrument
            compute = partial(regions_of, path, self.family.window, instrument)
            self.maps.append(Prelude("regions", compute))
        return tuple(self.maps)

    def scales(self, background: Shared, regions: Sequence[Prelude]) -> Prelude:
        """Return what finds the scales of the members of one background."""
        assert background.target is not None
        window, mode = self.family.window, cast(Mode, self.settings.bkg_scale)
        target = background.target, background.target_imprint
        samples = [self.sample(target), *map(self.sample, background.pairs)]
        if regions:
            compute = partial(scales_of, mode, window)
        else:
            compute = partial(scales_of, mode, window, Regions())
        return Prelude("scale", compute, (*regions, *samples))
