"""The one facade: what a notebook, a script or the command line calls."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bkgflow.association import load
from bkgflow.campaign.events import Listener
from bkgflow.campaign.result import RunResult
from bkgflow.campaign.runner import run_plan, run_units
from bkgflow.clusters.choose import cluster_of
from bkgflow.clusters.threads import ThreadExecutor
from bkgflow.errors import AssociationError, UsageError
from bkgflow.explore.stack import combine, open_exposure, open_stack
from bkgflow.graph.build import build
from bkgflow.io.exposures.facts import ExposureFacts
from bkgflow.io.exposures.from_fits import inspect
from bkgflow.io.exposures.from_model import is_model, model_facts
from bkgflow.io.products.fits import FitsWriter
from bkgflow.io.products.model import ModelWriter
from bkgflow.io.products.writer import ProductWriter
from bkgflow.io.references.folder import ReferenceFolder
from bkgflow.io.storage.location import Location
from bkgflow.io.storage.publish import check_writable
from bkgflow.kinds.backgrounds import own_background
from bkgflow.kinds.table import KINDS
from bkgflow.planning.kind import Members
from bkgflow.planning.plan import Plan
from bkgflow.planning.planner import DEFAULT_MEMORY, Planner, make_plan, plan_one
from bkgflow.planning.unit import Unit
from bkgflow.record import ImageFound
from bkgflow.report.drawing import draw_product
from bkgflow.report.show import show
from bkgflow.settings import StepSettings, split_list
from bkgflow.verdict import Verdict
