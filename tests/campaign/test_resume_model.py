"""Any sequence of changes: after each run, exactly the units that it concerns were done."""

import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from tests.helpers.campaigns import Campaign, change_bytes, touch
from tests.helpers.pace import examples

pytestmark = pytest.mark.slow

TARGETS = 4
number = st.integers(0, TARGETS - 1)


class Machine(RuleBasedStateMachine):
    """A model of a campaign: what has changed since each unit was last done."""

    @initialize()
    def begin(self):
        self.scratch = tempfile.TemporaryDirectory(prefix="resume-model-")
        self.campaign = Campaign(Path(self.scratch.name), TARGETS)
        self.sigma = 3.0
        self.version = {f"t{n}": 0 for n in range(TARGETS)} | {"b0": 0, "b1": 0}
        self.done = {}  # by target: what its product was made of
        self.listed = set(range(TARGETS))
        self.spoiled = set()

    def wanted(self, n):
        return (self.version[f"t{n}"], self.version[f"b{n // 2}"], self.sigma)

    @rule(n=number)
    def write_target_again(self, n):
        touch(self.campaign.program / f"t{n}_rate.fits")
        self.version[f"t{n}"] += 1

    @rule(n=st.integers(0, 1))
    def write_background_again(self, n):
        touch(self.campaign.program / f"b{n}_rate.fits")
        self.version[f"b{n}"] += 1

    @rule(sigma=st.sampled_from([2.0, 3.0]))
    def change_a_setting(self, sigma):
        self.sigma = sigma

    @rule(n=number, how=st.sampled_from(["remove", "cut", "bytes", "time"]))
    def touch_a_product(self, n, how):
        product = self.campaign.out / f"t{n}_bsub.fits"
        if not product.exists():
            return
        if how == "remove":
            product.unlink()
        elif how == "cut":
            product.write_bytes(product.read_bytes()[:-1])
        else:
            if how == "bytes":
                change_bytes(product)
            touch(product)
        if how != "time":
            self.spoiled.add(n)

    @rule(n=number)
    def take_out_or_put_back(self, n):
        if n in self.listed and len(self.listed) > 1:
            self.listed.discard(n)
            (self.campaign.program / f"{n}_asn.json").unlink()
        elif n not in self.listed:
            self.listed.add(n)
            self.campaign.ask_for(n)

    @rule()
    def move_the_program(self):
        moved = self.campaign.program.with_name("moved" + self.campaign.program.name[-20:])
        self.campaign.program.rename(moved)
        self.campaign.program = moved

    def run(self, chosen, **options):
        concerned = {n for n in chosen if self.done.get(n) != self.wanted(n) or n in self.spoiled}
        before = self.campaign.why(sigma=self.sigma, **options)
        found = self.campaign.done(sigma=self.sigma, **options)
        assert found == sorted(f"t{n}_rate.fits" for n in concerned)
        assert found == sorted(name for name, why in before.items() if why.startswith("do"))
        for n in concerned:
            self.done[n] = self.wanted(n)
            self.spoiled.discard(n)

    @rule()
    def run_all(self):
        self.run(self.listed)
        assert self.campaign.done(sigma=self.sigma) == []

    @rule(n=number)
    def run_only_one(self, n):
        self.run({n} & self.listed, only=[f"t{n}_*"])

    @rule()
    def run_anew(self):
        found = self.campaign.done(sigma=self.sigma, fresh=True)
        assert found == sorted(f"t{n}_rate.fits" for n in self.listed)
        for n in self.listed:
            self.done[n] = self.wanted(n)
            self.spoiled.discard(n)

    @invariant()
    def no_product_is_half(self):
        for n in self.done:
            product = self.campaign.out / f"t{n}_bsub.fits"
            assert n in self.spoiled or product.stat().st_size % 2880 == 0

    def teardown(self):
        if hasattr(self, "scratch"):
            self.scratch.cleanup()


TestCampaign = Machine.TestCase
TestCampaign.settings = settings(
    max_examples=examples(12),
    stateful_step_count=12,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
