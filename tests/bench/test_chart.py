"""Charts are well-formed, say what they show, and refuse what a logarithm cannot show; an exponent is the one that was put in."""

from xml.etree import ElementTree

import pytest

from tests.bench import chart


@pytest.mark.parametrize("power", (0, 0.5, 1, 2))
def test_the_fitted_exponent_is_that_of_the_points(power):
    assert chart.exponent([(x, 3 * x**power) for x in (10, 100, 1000)]) == pytest.approx(power)


def test_charts_are_xml_with_their_names_and_numbers_in_light_and_dark():
    for page, words in ((chart.bars("Speed <1>", "seconds", [("Quipu & co", 0.5), ("peer", 120.0)]), ("Speed <1>", "Quipu & co", "120")),
                        (chart.lines("Growth", "records", "seconds", {"root": [(10, 2), (1000, 2)]}), ("Growth", "root: n^0.00"))):
        texts = "\n".join(each.text or "" for each in ElementTree.fromstring(page).iter())
        assert all(word in texts for word in words)
        assert "prefers-color-scheme: dark" in page


def test_what_has_no_logarithm_is_refused():
    with pytest.raises(ValueError, match="above 0"):
        chart.bars("x", "s", [("a", 0.0)])
    with pytest.raises(ValueError, match="above 0"):
        chart.lines("x", "n", "s", {"a": [(1, 0)]})
    with pytest.raises(ValueError, match="two points"):
        chart.exponent([(1, 1)])
