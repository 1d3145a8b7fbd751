"""Which model families the baselines serve."""

import pytest
from tiny_families import CHROMA, FAMILIES, SDXL

from coupled.baselines.common import check_family
from coupled.baselines.p2p import edit_model
from coupled.baselines.rf_inversion import check_control

from tiny import tiny_flux


@pytest.mark.parametrize("tiny", FAMILIES, ids=[tiny.name for tiny in FAMILIES])
def test_every_family_is_served_and_prompt_to_prompt_is_for_flux1_alone(tiny):
    model = tiny.model()
    check_family(model, 0.0)
    with pytest.raises(ValueError, match=r"works with Flux\.1 only"):
        edit_model(model, 0.8, 0.4)


def test_a_distilled_guidance_that_the_family_does_not_know_is_refused():
    with pytest.raises(ValueError, match="Set guidance to 0: Chroma knows no other"):
        check_family(CHROMA.model(), 3.5)


def test_rf_inversion_refuses_what_is_no_flow_model():
    with pytest.raises(ValueError, match="needs a flow model"):
        check_control(SDXL.model(), {"samples": None}, 0.5, 0.9)
    check_control(CHROMA.model(), {"samples": None}, 0.5, 0.9)


def test_a_family_that_cannot_be_coupled_is_refused():
    longcat = tiny_flux(txt_ids_dims=[1, 2])
    with pytest.raises(ValueError, match="works with: Flux.1, Flux.2"):
        check_family(longcat, 3.5)
