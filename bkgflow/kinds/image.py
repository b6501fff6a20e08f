"""Image from image: the background exposures are clipped, combined and subtracted."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import replace
from functools import partial

from bkgflow.detector import Window
from bkgflow.errors import BackgroundError
from bkgflow.io.exposures.facts import ExposureFacts
from bkgflow.io.products.describe import COMBINED_SUFFIX, product_name
from bkgflow.io.products.sending import STREAMED_BYTES
from bkgflow.io.products.writer import Changes, Edit, Plane, Settle, unedited, unsettled
from bkgflow.io.storage.identity import Identity
from bkgflow.kinds.advice import idle_arguments, idle_clip
from bkgflow.kinds.backgrounds import check_times, choose_backgrounds
from bkgflow.kinds.bands import Band, Sources, band_rows, combine_band, join
from bkgflow.kinds.base import Assignment, Change, Kind
from bkgflow.kinds.families import OUTPUT_BYTES_PER_PIXEL, families
from bkgflow.kinds.fill import FILL_BYTES, filled
from bkgflow.kinds.found import what_was_found
from bkgflow.kinds.imprints import choose_imprints, takes_imprints
from bkgflow.kinds.masks import choose_masks, mask_parts, own_mask
from bkgflow.kinds.preludes import adjusting, before
from bkgflow.kinds.scaling import scale_map, scale_parts
from bkgflow.kinds.strips import Imprint, bytes_per_pixel
from bkgflow.kinds.variances import array_for_variance, error_notes
from bkgflow.methods.clip import Packed
from bkgflow.methods.image import add_errors, add_variances, subtract_background
from bkgflow.methods.levels import SAMPLE_BYTES
from bkgflow.planning.keys import Key
from bkgflow.planning.kind import Facts, Piece, Prepared, Request
from bkgflow.planning.unit import IMPRINT_BYTES, Shared
from bkgflow.record import ImageFound
from bkgflow.settings import MASK_ARGUMENTS, STACK_ARGUMENTS, StepSettings
from bkgflow.verdict import State

__all__ = ["ImageKind"]

Arithmetic = Callable[[Plane, Packed, slice], None]
"""Changes rows of a target by some rows of a background."""


RESULTS_PER_MEMORY = 16
"""A band has fewer rows where the results of its family would hold more than so many times what
its task may read at once."""


class ImageKind(Kind):
    """Imaging, spectroscopy and time series: other exposures are the background."""

    name = "image"
    version = 2
    verb = "combine"
    noun = "background"
    shares_backgrounds = True
    arguments = (
        *STACK_ARGUMENTS,
        *MASK_ARGUMENTS,
        "bkg_fill",
        "save_combined_background",
        "propagate_errors",
        "allow_mismatch",
        "allow_subtracted",
        "bkg_tilt",
        "bkg_outlier",
    )

    def prepare(self, request: Request, settings: StepSettings) -> Prepared:
        """Choose the backgrounds that can be used, and what is subtracted from each first."""
        prepared = choose_backgrounds(request.target, request.backgrounds, settings)
        if settings.stack_rule.needs_times:
            check_times(prepared.used)
        prepared = choose_imprints(prepared, request.imprints, settings.allow_mismatch)
        return choose_masks(prepared, settings)

    def wants(self, member: str, target: ExposureFacts, settings: StepSettings) -> bool:
        """Imprints, where they are subtracted at all."""
        return member == "imprint" and settings.imprint_subtract and takes_imprints(target)

    def share(self, prepared: Sequence[Prepared], settings: StepSettings) -> list[Prepared]:
        """Targets of one window with the same backgrounds share the combined one."""
        made: dict[Hashable, Shared] = {}  # a program's targets ask for a few: each described once

        def combined(each: Prepared) -> Shared:
            imprints = ((member, facts.location) for member, facts in each.imprints.items())
            used = tuple(facts.location for facts in each.used)
            asked: Hashable = each.target.window, used, frozenset(imprints)
            if settings.bkg_scale != "none":  # to the level of this target alone
                asked = asked, each.target.location
            if asked not in made:
                made[asked] = self._combined(each, settings)
            return made[asked]

        return [replace(each, shared=combined(each)) for each in prepared]

    def _combined(self, prepared: Prepared, settings: StepSettings) -> Shared:
        """Describe a combined background; one with ERR and one without are two."""
        window, clip = prepared.target.window, settings.stack_rule.clip
        rule = settings.only(STACK_ARGUMENTS) | {"sigma": clip.sigma, "maxiters": clip.maxiters}
        parts = [
            ("method", f"{self.name} {self.version}"),
            *rule.items(),
            ("with ERR", settings.with_errors),
            ("window", window),
            *_members(prepared),
            *_adjusted(prepared, settings),
        ]
        members = tuple(sorted(facts.location for facts in prepared.used))
        found = [prepared.imprints.get(member) for member in members]
        imprints = tuple(each.location if each else None for each in found) if any(found) else ()
        scaled = settings.bkg_scale != "none"
        leakage = prepared.imprint.location if prepared.imprint else None
        return Shared(
            self.name,
            Key.of(parts),
            window,
            members,
            imprints=imprints,
            masking=prepared.masking,
            target=prepared.target.location if scaled else None,
            target_imprint=leakage if scaled else None,
            scale_map=scale_map(settings),
        )

    def notes(
        self, shared: Sequence[Shared], facts: Facts, settings: StepSettings
    ) -> tuple[str, ...]:
        """What does nothing: arguments beside others, or a clip with so few exposures."""
        # Of cubes the integrations are clipped first: the largest number says what can be dropped.
        depths = {place: each.n_integrations or 1 for place, each in facts.items()}
        numbers = [max(len(each.members), *(depths[m] for m in each.members)) for each in shared]
        return (*idle_arguments(settings), *idle_clip(settings.stack_rule.clip, numbers))

    def companions(self, prepared: Prepared, settings: StepSettings) -> tuple[str, ...]:
        """A combined background, where it is to be saved and there is one."""
        if not (settings.save_combined_background and prepared.used):
            return ()
        return (product_name(prepared.target.location, COMBINED_SUFFIX),)

    def held(self, target: ExposureFacts, settings: StepSettings) -> int:
        """The combined background, and what fills its gaps; the target's pixels stream."""
        single = OUTPUT_BYTES_PER_PIXEL + settings.bkg_fill * (OUTPUT_BYTES_PER_PIXEL + FILL_BYTES)
        return target.window.nx * target.window.ny * single + STREAMED_BYTES

    def pieces(
        self,
        shared: Sequence[Shared],
        facts: Facts,
        settings: StepSettings,
        memory: int,
        threads: int = 1,
    ) -> Iterator[Piece]:
        """A band of rows of a whole family is one task: it reads each exposure's rows once."""
        rule = settings.stack_rule
        per_pixel = bytes_per_pixel(errors=settings.with_errors)
        for family in families(shared):
            exposures = [facts[member] for member, _ in family.members]
            sources = Sources(exposure.source for exposure in exposures)
            leakage = [(facts[each], users) for each, users in family.imprints.items()]
            imprints = tuple(Imprint(each.source, users) for each, users in leakage)
            times = check_times(exposures) if rule.needs_times else None
            sets, digests = family.sets, tuple(each.digest for each in family.backgrounds)
            rows = band_rows(family.window, exposures, sets)
            per_row = family.window.nx * OUTPUT_BYTES_PER_PIXEL * len(digests)
            rows = max(1, min(rows, RESULTS_PER_MEMORY * memory // per_row))
            first = before(family, facts, settings)
            taken = sum(map(_mask_bytes, exposures)) if first.masks else 0
            for band in family.window.bands(rows):
                compute = partial(
                    combine_band,
                    sources,
                    sets,
                    band,
                    rule=rule,
                    errors=settings.with_errors,
                    budget=memory,
                    imprints=imprints,
                    exptime=times,
                )
                results = band.nx * band.ny * OUTPUT_BYTES_PER_PIXEL * len(digests)
                results += len(sources) * SAMPLE_BYTES
                read = sum(_pixels_read(each, band) for each in exposures) * per_pixel
                read += sum(_pixels_read(each, band) for each, _ in leakage) * IMPRINT_BYTES
                held = memory * (3 if first.scales else 1) + results + taken
                if first.all:
                    compute = partial(adjusting, family.window, first.shape, compute)
                yield Piece(compute, digests, read, held, first.all)

    def foresee(self, work: Assignment) -> Change | None:
        """Every background is of use, and none of them odd; masks and scales nobody foresees."""
        if work.settings.mask_sources is not None or work.settings.bkg_scale != "none":
            return None
        filled_pixels = 0 if work.settings.bkg_fill else None
        found, changed = ImageFound(0, filled_pixels=filled_pixels), ["SCI", "DQ"]
        if work.settings.propagate_errors:
            takes = array_for_variance(work.target)
            changed += ["ERR", *([takes] if takes else [])]
            found = replace(found, variance_array=takes, error_notes=error_notes(work.target))
        return Change.ended(work, State.COMPLETE, found, unedited(changed))

    def change(
        self, work: Assignment, shared: Sequence[Band], settle: Settle = unsettled
    ) -> Change:
        """Subtract the combined background; a pixel without any stays as it is."""
        window = work.target.window
        if all(band.packed.n_used.count(0) == band.packed.sci.size for band in shared):
            raise _nothing_valid(work)
        bands = filled(shared) if work.settings.bkg_fill else list(shared)
        # Levels that are brought together may well be far from each other before.
        outlier = work.settings.bkg_outlier if work.settings.bkg_scale == "none" else 0.0
        found = what_was_found(work.target, bands, outlier)
        if work.settings.bkg_fill:
            number = sum(each.packed.n_used.count(0) for each in shared)
            left = sum(each.packed.n_used.count(0) for each in bands)
            found = replace(found, filled_pixels=number - left)
        edits = {"SCI": _over(window, bands, _subtract), "DQ": _over(window, bands, _join)}
        if work.settings.propagate_errors:
            edits["ERR"] = _over(window, bands, _add_errors)
            if takes := array_for_variance(work.target):
                edits[takes] = _over(window, bands, _add_variances)
            found = replace(found, variance_array=takes, error_notes=error_notes(work.target))
        combined = join(bands) if work.companions else None
        extras = {
            "background": _over(window, bands, _put_background),
            "n_used": _over(window, bands, _put_n_used),
        }
        changes = Changes(edits, extras=extras)
        return Change.ended(work, State.COMPLETE, found, changes, combined=combined)


def _members(prepared: Prepared) -> Iterator[tuple[str, Identity]]:
    """Yield the backgrounds for a key, each followed by its imprint if it has one."""
    for facts in sorted(prepared.used, key=lambda each: each.identity):
        yield "background", facts.identity
        yield from own_mask(prepared.masking, facts)
        if (imprint := prepared.imprints.get(facts.location)) is not None:
            yield "imprint of the background before it", imprint.identity


def _adjusted(prepared: Prepared, settings: StepSettings) -> Iterator[tuple[str, object]]:
    """Yield what a key says of masks and scales; nothing where there are none."""
    if prepared.masking is not None:
        yield from mask_parts(prepared.masking, settings)
        cubes = any(facts.n_integrations is not None for facts in prepared.used)
        if cubes and settings.stack_rule.dq_percent:
            yield "flags of masked pixels", "all"  # version 2 once lost those of few integrations
    if settings.bkg_scale != "none":
        yield from scale_parts(settings)
        yield "scaled to the level of", prepared.target.identity
        yield from own_mask(prepared.masking, prepared.target)
        if prepared.imprint is not None:
            yield "imprint of the target", prepared.imprint.identity


def _mask_bytes(exposure: ExposureFacts) -> int:
    return exposure.window.ny * -(-exposure.window.nx // 8)


def _pixels_read(exposure: ExposureFacts, band: Window) -> int:
    """Return how many pixels of an exposure lie in the rows of a band: they are read whole."""
    part = exposure.window.overlap(band)
    return part.ny * exposure.window.nx * (exposure.n_integrations or 1) if part else 0


def _over(window: Window, bands: Sequence[Band], change: Arithmetic) -> Edit:
    """Apply a change with each band that holds some of the rows at hand."""
    held = [(band.window.slices_in(window)[0], band.packed) for band in bands]

    def edit(pixels: Plane, _integration: int, rows: slice) -> None:
        for span, packed in held:
            start, stop = max(rows.start, span.start), min(rows.stop, span.stop)
            if start < stop:
                part = pixels[start - rows.start : stop - rows.start]
                change(part, packed, slice(start - span.start, stop - span.start))

    return edit


def _subtract(sci: Plane, background: Packed, rows: slice) -> None:
    subtract_background(sci, background.sci[rows], background.n_used.places(0, rows))


def _join(dq: Plane, background: Packed, rows: slice) -> None:
    background.dq.join_to(dq, rows)


def _add_errors(err: Plane, background: Packed, rows: slice) -> None:
    add_errors(err, background.err[rows], background.n_used.places(0, rows))


def _add_variances(var: Plane, background: Packed, rows: slice) -> None:
    add_variances(var, background.err[rows], background.n_used.places(0, rows))


def _put_background(pixels: Plane, background: Packed, rows: slice) -> None:
    pixels[...] = background.sci[rows]


def _put_n_used(pixels: Plane, background: Packed, rows: slice) -> None:
    pixels[...] = background.n_used.rows(rows)


def _nothing_valid(work: Assignment) -> BackgroundError:
    """Say that no pixel has a background, and why a value may take no part."""
    settings, why = work.settings, ["NaN or infinite"]
    if settings.mask_sources is not None:
        why.append("masked")
    if settings.stack_rule.bad_bits:
        why.append("flagged as bad (bkg_bad_bits, bkg_good_bits)")
    if settings.stack_rule.needs_errors:
        why.append("without an ERR above 0, which clip=noise and combine=weighted need")
    clip, cure = settings.stack_rule.clip, "Check the backgrounds, or take them out of the"
    if clip.drops_all:
        why.append(f"clipped (clip={clip.method}, sigma={clip.sigma:g})")
        cure = "Give a larger sigma; check the backgrounds, or take them out of the"
    files = ", ".join(member.name for member in work.members)
    return BackgroundError(
        "At least one pixel of the target must have a valid background",
        file=work.members[0] if len(work.members) == 1 else work.target.location,
        value=f"every pixel of {files} in {work.target.window} is {', or '.join(why)}",
        cure=f"{cure} association",
    )
