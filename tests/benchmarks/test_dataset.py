"""The bench of data sets: what it measures, and what it refuses."""

import pytest

from coupled.benchmarks.dataset.__main__ import estimate, measure_overhead, parse_options


@pytest.mark.slow
def test_overhead_is_that_of_all_sets():
    found = measure_overhead(sets=2, steps=1)
    assert (found["sets"], found["steps"], len(found["overhead_of_chunks"])) == (2, 1, 1)
    assert found["overhead"] == found["overhead_of_chunks"][0] > -1
    assert found["images_a_second"] > 0


def test_a_cluster_on_paper_is_as_the_guide_says():
    found = estimate(64)
    assert round(found["images_a_second"]) == 9
    assert round(found["images_a_second"] * 86400 / 1e6, 1) == 0.8
    assert round(found["megabytes_a_second_to_disk"]) == 22
    assert round(found["megabytes_a_second_from_a_machine"]) == 3
    assert round(found["terabytes_a_million_images"], 1) == 2.4


def test_too_few_sets_for_the_workers_are_refused(capsys):
    with pytest.raises(SystemExit):
        parse_options(["--host", "", "--sets", "4", "--workers", "1", "2"])
    assert "more than twice the workers" in capsys.readouterr().err
