"""The step's arguments: names and defaults of the reference step, bounds, what each means."""

from __future__ import annotations

from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from bkgflow.errors import SettingsError

__all__ = ["StepSettings", "split_list"]


class StepSettings(BaseModel):
    """The arguments that decide a result. Frozen: they are part of every key."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    sigma: float = Field(
        3.0, gt=0, description="Clip at this many standard deviations from the median."
    )
    maxiters: int | None = Field(
        None, ge=0, description="Clip at most this often; None and 0: until nothing changes."
    )
    save_combined_background: bool = Field(
        False, description="Also write the combined background of every target."
    )
    propagate_errors: bool = Field(
        False, description="Add the background's ERR to the target's ERR in quadrature."
    )

    @classmethod
    def of(cls, **arguments: Any) -> Self:
        """Check the arguments and return the settings.

        Raises
        ------
        SettingsError
            If a name is unknown or a value is out of bounds.
        """
        try:
            return cls(**arguments)
        except ValidationError as problem:
            raise _settings_error(cls, problem) from None

    def numeric(self) -> dict[str, Any]:
        """Return the arguments that change a combined background's numbers."""
        return {"sigma": self.sigma, "maxiters": self.maxiters or None}


def split_list(items: Any) -> list[Any]:
    """Read a ``bkg_list`` as the reference step does: one item, a comma list, or a sequence.

    Empty items, as a trailing comma leaves them, are dropped.
    """
    if items is None:
        return []
    if isinstance(items, str):
        items = items.split(",")
    elif not isinstance(items, list | tuple):
        items = [items]
    stripped = (item.strip() if isinstance(item, str) else item for item in items)
    return [item for item in stripped if not (isinstance(item, str) and not item)]


def _settings_error(model: type[BaseModel], problem: ValidationError) -> SettingsError:
    """Turn pydantic's first complaint into rule, value and cure."""
    first = problem.errors()[0]
    name = ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        return SettingsError(
            f"{name} is not an argument of the step",
            value=f"{name}={first['input']!r}",
            cure=f"Use one of: {', '.join(model.model_fields)}",
        )
    field = model.model_fields[name.split(".")[0]]
    complaint = first["msg"][0].lower() + first["msg"][1:]
    return SettingsError(
        f"{name}: {complaint}",
        value=f"{name}={first['input']!r}",
        cure=f"{field.description} The default is {field.default}",
    )
