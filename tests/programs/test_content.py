"""What stands in a file: read as the reference step reads it, or refused."""

import json
import warnings

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from jwst.associations.lib.rules_level2_base import DMSLevel2bBase
from jwst.associations.load_as_asn import LoadAsLevel2Asn

from bkgflow.errors import AssociationError
from bkgflow.io.storage.location import Location
from bkgflow.programs.association import level_of, parsed
from bkgflow.programs.content import Content, read_content, tell

NAMES = st.from_regex(r"[a-z][a-z0-9_]{0,8}(_rate|_rateints)\.fits", fullmatch=True)
KINDS = st.sampled_from(["background", "Background", "IMPRINT", "sourcecat", "segmap"])


@st.composite
def associations(draw):
    products = [
        {
            "name": draw(st.text("abc_", min_size=1, max_size=4)),
            "members": [
                {"expname": draw(NAMES), "exptype": "science"},
                *(
                    {"expname": f"b{number}_{draw(NAMES)}", "exptype": draw(KINDS)}
                    for number in range(draw(st.integers(0, 4)))
                ),
            ],
        }
        for _ in range(draw(st.integers(1, 3)))
    ]
    return {"asn_type": "image2", "asn_rule": "Asn_Lv2Image", "asn_id": "o001",
            "products": products}  # fmt: skip


@pytest.mark.slow
@given(associations(), st.sampled_from(["json", "comma", "yaml"]))
def test_members_are_those_that_the_reference_step_reads(tmp_path_factory, content, form):
    path = tmp_path_factory.mktemp("asn") / ("x_asn.yaml" if form == "yaml" else "x_asn.json")
    text = yaml.safe_dump(content) if form == "yaml" else json.dumps(content)
    path.write_text(text.replace("}]", "},]") if form == "comma" else text)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        theirs = LoadAsLevel2Asn.load(str(path))
    assert isinstance(theirs, DMSLevel2bBase)
    ours = parsed(Location.of(path), read_content(Location.of(path)))
    assert ours.refused == ()
    for product, other in zip(ours.products, theirs["products"], strict=True):
        members = [(each["exptype"].lower(), each["expname"]) for each in other["members"]]
        assert list(product.names) == list(dict.fromkeys(members))
    assert ours.candidate == "o001"


BOMB = "a: &a [x, x]\n" + "".join(
    f"{name}: &{name} [{', '.join([f'*{before}'] * 9)}]\n"
    for before, name in zip("abcdefg", "bcdefgh", strict=True)
)


@pytest.mark.parametrize(
    "text",
    [
        '{"products": ' + "[" * 100_000,
        "products: " + "[" * 100_000,
        "products: &a [" + "*a, " * 3 + "]",
        f"{BOMB}products: *h\n",
        "products: !!python/object/apply:os.system [ls]",
    ],
    ids=["deep JSON", "deep YAML", "a circle", "a bomb", "code"],
)
def test_hostile_files_are_refused_in_a_line(tmp_path, text):
    path = tmp_path / "x_asn.json"
    path.write_text(text)
    try:
        association = parsed(Location.of(path), read_content(Location.of(path)))
        errors = [error for _, error in association.refused]
        assert association.products == ()
    except AssociationError as error:
        errors = [error]
    assert errors
    assert all(len(error.message) < 1000 for error in errors)


@pytest.mark.parametrize(
    ("kind", "rule", "names", "level"),
    [
        ("image2", "", ["a_cal.fits"], 2),
        ("Image3", "Asn_Lv2Image", ["a_rate.fits"], 3),
        ("wfs-image3", "", ["a_cal.fits", "b_cal.fits"], 3),
        ("tso-spec2", "Asn_Lv2SpecTSO", ["a_rateints.fits"], 2),
        ("None", "Asn_Lv3Image", ["a_cal.fits"], 3),
        ("None", "DMS_Level3_Base", ["a_rate.fits", "b_rate.fits"], 2),
        ("user_built", "DMSLevel2bBase", ["a_rate.fits"], 2),
        (None, None, ["a_cal.fits", "b_cal.fits"], 3),
        (None, None, ["a_crfints.fits"], 3),
        (None, None, ["a_rate.fits"], 2),
        (None, None, ["mycal_exposure.fits"], 2),
        (2, ["x"], ["a_rate.fits"], 2),
    ],
)
def test_the_level_of_an_association(kind, rule, names, level):
    members = [{"expname": name, "exptype": "science"} for name in names]
    top = {"asn_type": kind, "asn_rule": rule, "products": [{"members": members}]}
    assert level_of(Content(top)) == level


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("", "no products"),
        ("{}", "no products"),
        ('{"products": 3}', "no products"),
        ('{"products": [{"members": ["a"]}]}', "no products with members"),
        ('{"products": [{"members": [{"name": "a"}]}]}', "no products with members"),
        ('{"a": "products"', "cannot be read"),
    ],
)
def test_what_is_no_association_is_told_with_the_reason(tmp_path, text, word):
    path = tmp_path / "some.json"
    path.write_text(text)
    assert word in tell(Location.of(path))
