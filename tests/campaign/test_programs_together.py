"""Several programs that run into one folder: which units are whose, and which one has lost."""

import shutil
from functools import partial

import pytest

import bkgflow
from bkgflow.campaign.ledger.opening import database_of, open_database
from bkgflow.campaign.ledger.writer import Writer
from bkgflow.io.storage.location import Location
from tests.helpers.campaigns import exposure
from tests.helpers.exposures import write_association
from tests.helpers.ledgers import CAMPAIGN, begin, read

pytestmark = pytest.mark.slow

TARGETS = ("t0", "t1", "t2")


@pytest.fixture(scope="module")
def members(tmp_path_factory):
    """Exposures that associations anywhere may name."""
    folder = tmp_path_factory.mktemp("members")
    exposure(folder / "b_rate.fits", 1.0)
    for name in TARGETS:
        exposure(folder / f"{name}_rate.fits")
    return folder


class Together:
    """Programs in folders of their own, whose runs take down what they have in one ledger."""

    def __init__(self, folder, members):
        self.folder, self.members, self.runs = folder, members, 0
        self.url = database_of(Location.of(folder) / "out")
        (folder / "out").mkdir()

    def ask(self, path, *targets):
        file = self.folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        background = str(self.members / "b_rate.fits")
        asked = [(each, str(self.members / f"{each}_rate.fits"), [background]) for each in targets]
        write_association(file, asked)

    def run(self, *given):
        """Begin and end a run; return the targets that are listed then."""
        plan = bkgflow.plan([str(self.folder / each) for each in given], self.folder / "out")
        return self.took(plan)

    def took(self, plan):
        self.runs += 1
        opened = partial(open_database, self.url, write=True)
        begin(Writer(CAMPAIGN, f"run{self.runs}", opened), plan).end("")
        with read(self.url, plan) as reader:
            return "".join(sorted(each.target[-len("0_rate.fits")] for each in reader.units()))


@pytest.fixture
def together(tmp_path, members):
    return Together(tmp_path, members)


def test_each_of_two_programs_goes_on_and_keeps_the_other(together):
    together.ask("A/asn.json", "t0", "t1")
    together.ask("B/asn.json", "t2")
    assert [together.run(each) for each in "ABAB"] == ["01", "012", "012", "012"]


@pytest.mark.parametrize("again", ["A", "A/x", "A/x/1_asn.json"])
def test_a_part_of_a_program_that_runs_alone_leaves_the_others(again, together):
    together.ask("A/x/1_asn.json", "t0")
    together.ask("A/y/2_asn.json", "t1")
    together.run("A")
    assert together.run(again) == "01"


def test_exposures_that_are_given_by_themselves_leave_the_others(together, members):
    plans = [
        bkgflow.plan(
            members / f"{each}_rate.fits",
            together.folder / "out",
            bkg_list=[members / "b_rate.fits"],
        )
        for each in TARGETS
    ]
    assert [together.took(each) for each in plans] == ["0", "01", "012"]


def lose_the_product(together):
    together.ask("A/x/1_asn.json", "t0")


def lose_the_product_elsewhere(together):
    shutil.move(together.folder / "A", together.folder / "Q")
    together.ask("Q/x/1_asn.json", "t0")


def lose_the_association(together):
    shutil.rmtree(together.folder / "A" / "y")


def lose_the_association_elsewhere(together):
    shutil.rmtree(together.folder / "A" / "y")
    shutil.move(together.folder / "A", together.folder / "Q")


def reach_it_by_a_link(together):
    lose_the_product(together)
    (together.folder / "Q").symlink_to(together.folder / "A")


@pytest.mark.parametrize(
    ("change", "given", "left"),
    [
        (lose_the_product, ["A"], "02"),
        (lose_the_product, ["A/x/1_asn.json"], "02"),
        (lose_the_product_elsewhere, ["Q"], "02"),
        (lose_the_association, ["A"], "01"),
        (lose_the_association, ["A/x/*_asn.json"], "012"),
        (lose_the_association_elsewhere, ["Q"], "01"),
        (reach_it_by_a_link, ["Q"], "02"),
        (lose_the_association, ["B"], "012"),
    ],
)
def test_what_a_program_has_lost_is_no_unit_any_more(change, given, left, together):
    """``left``: of its targets 0, 1 and 2, of which 0 and 1 are of one association."""
    together.ask("A/x/1_asn.json", "t0", "t1")
    together.ask("A/y/2_asn.json", "t2")
    assert together.run("A") == "012"
    together.ask("B/3_asn.json", "t0")
    change(together)
    assert together.run(*given) == left


def test_an_association_that_is_gone_from_beside_others_is_not_theirs_if_it_was_moved(together):
    together.ask("A/1_asn.json", "t0")
    together.ask("A/2_asn.json", "t1")
    assert together.run("A/*_asn.json") == "01"
    shutil.move(together.folder / "A", together.folder / "Q")
    assert together.run("Q/1_asn.json") == "01"  # the other is in the new place


def test_products_of_the_other_program_stay_when_one_goes_on(together):
    together.ask("A/asn.json", "t0")
    together.ask("B/asn.json", "t1")
    out = together.folder / "out"
    for each in "ABA":
        assert bkgflow.run(bkgflow.plan(together.folder / each, out), "threads", progress=False).ok
    assert bkgflow.Campaign.open(out).status().counts == {"COMPLETE": 2}
    assert bkgflow.clean(out, yes=True).unwanted == ()
    assert sorted(each.name for each in out.glob("*.fits")) == ["t0_bsub.fits", "t1_bsub.fits"]
