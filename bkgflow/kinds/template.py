"""Images with a template: sources are masked, templates and a constant scaled and subtracted."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from bkgflow.detector import DO_NOT_USE
from bkgflow.errors import BackgroundError, MetadataError
from bkgflow.io.exposures.facts import ExposureFacts
from bkgflow.io.exposures.source import Source, read_whole
from bkgflow.io.products.sending import STREAMED_BYTES
from bkgflow.io.products.writer import Changes, Edit, Plane, Settle, unsettled
from bkgflow.io.references.mask import read_mask
from bkgflow.io.references.skies import Templates
from bkgflow.io.references.templates import (
    ImageTemplates,
    TemplateWords,
    read_image_templates,
    template_words,
)
from bkgflow.io.storage.location import Location
from bkgflow.kinds.base import Assignment, Change, Kind
from bkgflow.kinds.references import chosen, find_sky, skipped, to_be_fitted
from bkgflow.kinds.scaled import fit_found, joining, scaled_sky, subtracting
from bkgflow.kinds.thin import Scaled, thin_fits, too_uncertain
from bkgflow.matching import Match, rules_for
from bkgflow.methods.slitless import (
    ScaleFit,
    dependent,
    fit_background,
    image_mask,
    mask_doubts,
    with_constant,
)
from bkgflow.planning.kind import Prepared, Request
from bkgflow.record import TemplateFound
from bkgflow.settings import StepSettings
from bkgflow.verdict import State

__all__ = ["CONSTANT", "TemplateKind"]

CONSTANT = "constant"
"""What a record calls the component that is 1 everywhere."""

HELD_BYTES = 72
"""Of a pixel, with one template or two: SCI, ERR, DQ, the components, and what the fit and the
search for sources make of them."""

OTHERS = "exp_type"
"""Where it differs, ``override_bkg`` may well be meant for other exposures of the program."""

NEGATIVE = 5.0
"""Standard errors below 0 at which a factor is doubted."""

Pixels = tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.uint32]]
Mask = NDArray[np.bool_]


class TemplateKind(Kind):
    """Imaging with ``override_bkg``: a fit for each exposure, of templates and a constant."""

    name = "template"
    version = 2
    verb = "fit"
    noun = "fit"
    beside = " and a constant"
    arguments = (
        "template_mask",
        "template_maxiter",
        "template_outlier_percent",
        "template_max_error",
        "override_bkg",
        "allow_mismatch",
        "allow_subtracted",
    )

    def prepare(self, request: Request, settings: StepSettings) -> Prepared:
        """Choose the templates whose headers agree with the target's."""
        found = find_sky(request, settings)
        files = dict(zip(found.locations, found.identities, strict=True))
        differing = {
            location: list(_differing(request.target, location, template_words(location, identity)))
            for location, identity in files.items()
        }
        refused = {
            location: [each for each in words if each.rule.name not in settings.allow_mismatch]
            for location, words in differing.items()
        }
        used = tuple(location for location, words in refused.items() if not words)
        if not used:
            return _none_agrees(request, [each for words in refused.values() for each in words])
        mask = None if settings.template_mask is None else Location.of(settings.template_mask)
        chosen_ones = replace(found, locations=used, identities=tuple(files[each] for each in used))
        fitted = to_be_fitted(request, chosen([chosen_ones], mask=mask)).noting(
            *(f"{words[0].words}: it is not used" for words in refused.values() if words)
        )
        if mask is not None:
            fitted = fitted.noting(f"template_mask {mask.name}: 1 is background, 0 is a source")
        allowed = tuple(each.words for location in used for each in differing[location])
        return replace(fitted, mismatches=allowed)

    def held(self, target: ExposureFacts, settings: StepSettings) -> int:
        """An image of the exposure, or of its mean, with the templates; integrations stream."""
        return target.window.nx * target.window.ny * HELD_BYTES + STREAMED_BYTES

    def change(
        self, work: Assignment, shared: Sequence[object], settle: Settle = unsettled
    ) -> Change:
        """Mask, fit and subtract; of a cube, one fit to the mean of its integrations."""
        assert work.references is not None
        target, settings = work.target, work.settings
        read = read_image_templates(work.references.background, target.window, target.instrument)
        stack, blank = with_constant(read.skies.sci)
        _check_independent(read, stack)
        sci, err, dq = _pixels(target.source)
        unusable = blank | (read.skies.dq & np.uint32(DO_NOT_USE) != 0)
        dq[unusable] |= np.uint32(DO_NOT_USE)
        mask, origin = _mask(work, sci, err, dq, stack)
        users = work.references.mask is not None
        fit = fit_background(sci, err, dq, mask, stack, settings.template_rule, users=users)
        main = [] if fit.reason else _scales(read, fit)
        reason = fit.reason or too_uncertain(
            main[:1], settings.template_max_error, "template_max_error"
        )
        doubts = (*_doubts(sci, dq, mask, stack, fit, users), *_negative(main), *thin_fits(main))
        found = TemplateFound.of(
            fit_found(fit, mask, origin, warnings=doubts),
            components=(*read.names, CONSTANT),
            unsubtracted=int(np.count_nonzero(blank)),
        )
        whole = target.n_integrations is None  # the data model of a cube has no mask
        changes = Changes(mask=mask if whole else None, scaling_factor=0.0)
        if not reason:
            skies = Templates(stack, read.skies.dq)
            changes = replace(
                changes,
                edits={"SCI": subtracting(skies, fit), "DQ": joining(skies)},
                scaling_factor=float(fit.coefficients[0]),
                extras={"background": _sky(skies, fit, blank)},
            )
        state = State.FAILED if reason else State.COMPLETE
        return Change.ended(work, state, found, changes, reason=reason)


@dataclass(frozen=True, slots=True)
class _Difference:
    """A keyword in which a template and its target do not agree."""

    rule: Match
    template: Location
    theirs: str
    ours: str

    @property
    def words(self) -> str:
        """What differs."""
        return f"{self.template.name} has {self.rule.keyword} {self.theirs}, not {self.ours}"

    def error(self, target: ExposureFacts) -> MetadataError:
        """Return it as an error."""
        keyword, name = self.rule.keyword, self.rule.name
        return MetadataError(
            f"A template must agree with its exposure in {keyword}: {self.rule.why}",
            file=self.template,
            value=f"{keyword} {self.theirs}, exposure {self.ours} ({target.name})",
            cure="Give a template of such exposures with override_bkg, leave out these exposures, "
            f"or allow what differs with allow_mismatch={name}",
        )


def _none_agrees(request: Request, refused: Sequence[_Difference]) -> Prepared:
    """Return a target that is skipped where the templates are meant for other exposures.

    Raises
    ------
    MetadataError
        If they are not, or if its backgrounds would be lost.
    """
    others = [each for each in refused if each.rule.name == OTHERS]
    if others and not request.backgrounds:
        # For the slitless exposures of the program, say.
        return skipped(request, f"override_bkg is for other exposures: {others[0].words}")
    raise (others or refused)[0].error(request.target)


def _differing(
    target: ExposureFacts, template: Location, words: TemplateWords
) -> Iterator[_Difference]:
    """Yield in what a template's headers do not agree with its target's; silence agrees."""
    ours, theirs = dict(target.setup), dict(words)
    for rule in rules_for(target.instrument.strip().upper()):
        wanted, found = ours.get(rule.keyword, ""), theirs.get(rule.keyword)
        if wanted and found and wanted not in found:
            yield _Difference(rule, template, "|".join(sorted(found)), wanted)


def _check_independent(read: ImageTemplates, stack: NDArray[np.float32]) -> None:
    """Raise BackgroundError where a template is constant, or made up of the others."""
    number = dependent(stack)
    if number is None:
        return
    others = f" and {', '.join(read.names[:number])}" if number else ""
    raise BackgroundError(
        "A template must have a structure of its own: a constant is always fitted beside it",
        file=read.files[number],
        value=f"{read.names[number]} is a combination of the constant{others} in this window",
        cure="Leave the template out of override_bkg, or give another one",
    )


def _pixels(source: Source) -> Pixels:
    """Return SCI, ERR and DQ of an image, or of the mean of a cube's valid integrations.

    Of a cube one integration is held at a time.
    """
    if source.n_integrations is None:
        return read_whole(source)
    shape, window = source.window.shape, source.window
    sci, err = np.empty(shape, np.float32), np.empty(shape, np.float32)
    dq, number = np.empty(shape, np.uint32), np.zeros(shape, np.uint32)
    total, variance = np.zeros(shape), np.zeros(shape)
    with source.reader() as reader:
        for i in range(source.n_integrations):
            reader.read("sci", window, sci, i)
            reader.read("err", window, err, i)
            reader.read("dq", window, dq, i)
            good = (dq & np.uint32(DO_NOT_USE) == 0) & np.isfinite(sci) & np.isfinite(err)
            number += good
            np.add(total, sci, out=total, where=good)
            np.add(variance, np.square(err, dtype=np.float64), out=variance, where=good)
    nothing = number == 0
    number[nothing] = 1
    sci = (total / number).astype(np.float32)
    err = (np.sqrt(variance) / number).astype(np.float32)
    return sci, err, np.where(nothing, np.uint32(DO_NOT_USE), np.uint32(0))


def _mask(
    work: Assignment,
    sci: NDArray[np.float32],
    err: NDArray[np.float32],
    dq: NDArray[np.uint32],
    stack: NDArray[np.float32],
) -> tuple[Mask, str]:
    """Return the mask, True for background, and how it was made.

    Here is where a mask of sources of another origin comes in, such as that of a catalog.
    """
    assert work.references is not None
    if work.references.mask is not None:
        window, instrument = work.target.window, work.target.instrument
        return read_mask(work.references.mask, window, instrument), "user"
    made = image_mask(sci, err, dq, stack)
    return made.mask, "residual" if made.stable else "residual, not settled"


def _sky(skies: Templates, fit: ScaleFit, blank: Mask) -> Edit:
    """Return what gives rows of what is subtracted, NaN where that is nothing."""
    put = scaled_sky(skies, fit)

    def shown(pixels: Plane, integration: int, rows: slice) -> None:
        put(pixels, integration, rows)
        pixels[blank[rows]] = np.nan

    return shown


def _scales(read: ImageTemplates, fit: ScaleFit) -> list[Scaled]:
    """Return the factors of the templates, without that of the constant."""
    values, errors = fit.coefficients.tolist(), fit.standard_errors.tolist()
    return [
        Scaled(f"the factor of {name}", value, error, fit.n_used)
        for name, value, error in zip(read.names, values, errors, strict=False)
    ]


def _negative(found: Sequence[Scaled]) -> Iterator[str]:
    """Yield a sentence for each template that would add light."""
    for each in found:
        if each.value < -NEGATIVE * each.error:
            value = f"{each.value:.4g} ± {each.error:.2g}"
            yield f"{each.name} is negative, {value}: is it a template of these images?"


def _doubts(
    sci: NDArray[np.float32],
    dq: NDArray[np.uint32],
    mask: Mask,
    stack: NDArray[np.float32],
    fit: ScaleFit,
    users: bool,
) -> tuple[str, ...]:
    """Return what speaks against a mask of the user's; without the templates sources stand out."""
    if not users:
        return ()
    structure = np.tensordot(fit.coefficients[:-1].astype(np.float32), stack[:-1], 1)
    return mask_doubts(sci - structure, dq, mask, stack[-1])
