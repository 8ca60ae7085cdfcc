"""Where the recorder's browsers find whom."""

from tools.corpus.browsers import _rules


def test_one_rule_stands_for_all_sites_behind_those_of_the_others() -> None:
    names = {"www.decoy.site.test": "10.0.0.1", "proxy.test": "10.0.0.1"}
    names |= {f"www.{number}.site.test": "10.0.0.2" for number in range(5)}
    assert _rules(names) == [
        "MAP www.decoy.site.test 10.0.0.1",
        "MAP proxy.test 10.0.0.1",
        "MAP *.site.test 10.0.0.2",
    ]
