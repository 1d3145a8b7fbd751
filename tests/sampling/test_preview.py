"""Progress over passes, and a preview that shows every image of the set."""

import comfy.cli_args
import comfy.model_management
import comfy.patcher_extension
import comfy.utils
import latent_preview
import numpy as np
import pytest
import torch
from comfy.cli_args import LatentPreviewMethod
from PIL import Image

from coupled.sampling import couple, sample_set
from coupled.sampling.preview import EMPTY, SetProgress, grid
from coupled.schedules import constant

from tiny import tiny_coupled, tiny_flux

STEPS = 3


@pytest.fixture(scope="module")
def model():
    return couple(tiny_flux(), constant(0.7), "exact")


@pytest.fixture
def sent():
    """What reaches the host's progress hook: (value, total, preview)."""
    calls, before = [], comfy.utils.PROGRESS_BAR_HOOK
    comfy.utils.set_progress_bar_global_hook(
        lambda value, total, preview, node_id=None: calls.append((value, total, preview))
    )
    yield calls
    comfy.utils.set_progress_bar_global_hook(before)


@pytest.fixture(params=[LatentPreviewMethod.Latent2RGB])
def previews(request, monkeypatch):
    monkeypatch.setattr(comfy.cli_args.args, "preview_method", request.param)


def run(model, n, **options):
    with torch.inference_mode():
        return sample_set(
            model, tiny_coupled(n), {"samples": torch.zeros(1, 16, 8, 12)}, 1, STEPS, **options
        )


def cell(page, i, columns, width=12, height=8):
    x, y = i % columns * width, i // columns * height
    return np.asarray(page.crop((x, y, x + width, y + height)))


def test_the_grid_is_near_square_and_keeps_places():
    red = Image.new("RGB", (4, 2), "red")
    for n, size in ((1, (4, 2)), (2, (8, 2)), (3, (8, 4)), (5, (12, 4)), (9, (12, 6))):
        assert grid({0: red}, n).size == size
    page = grid({3: red}, 4)
    assert page.getpixel((4, 2)) == (255, 0, 0) and page.getpixel((7, 3)) == (255, 0, 0)
    assert page.getpixel((0, 0)) == page.getpixel((3, 3)) == EMPTY


def test_every_image_is_in_the_preview(model, sent, previews):
    x0s = []
    run(model, 3, callback=lambda images, step, x0, x, total: x0s.append(x0.clone()))
    previewer = latent_preview.get_previewer(model.load_device, model.model.latent_format)
    for (_, _, (kind, page, largest)), x0 in zip(sent, x0s, strict=True):
        assert (
            kind == "JPEG"
            and page.size == (24, 16)
            and largest == latent_preview.MAX_PREVIEW_RESOLUTION
        )
        for i in range(3):
            assert np.array_equal(
                cell(page, i, 2), np.asarray(previewer.decode_latent_to_preview(x0[i : i + 1]))
            )
    assert not np.array_equal(cell(page, 0, 2), cell(page, 1, 2))


def test_finished_images_stay_and_unbegun_ones_are_empty(model, sent, previews):
    run(model, 3, images_per_pass=1)
    pages = [preview[1] for _, _, preview in sent]
    assert len(pages) == 3 * STEPS
    first, middle, last = pages[0], pages[STEPS], pages[-1]
    assert (cell(first, 1, 2) == EMPTY).all() and (cell(first, 0, 2) != EMPTY).any()
    assert (cell(middle, 1, 2) != EMPTY).any() and (cell(middle, 2, 2) == EMPTY).all()
    for page in pages[STEPS:]:
        assert np.array_equal(cell(page, 0, 2), cell(pages[STEPS - 1], 0, 2))
    assert (cell(last, 2, 2) != EMPTY).any()


@pytest.mark.parametrize("size, passes", [(0, 1), (2, 2), (1, 3)])
def test_progress_counts_steps_over_all_passes(model, sent, previews, size, passes):
    run(model, 3, images_per_pass=size)
    expected = [done // passes for done in range(1, passes * STEPS + 1)]
    assert [value for value, _, _ in sent] == expected and expected[-1] == STEPS
    assert {total for _, total, _ in sent} == {STEPS}


def test_progress_never_falls_when_a_pass_is_begun_again(model, sent, previews):
    calls = []

    def wrapper(executor, x, *args, **kwargs):
        calls.append(x.shape[0])
        if x.shape[0] > 2 and len(calls) > 2:
            raise comfy.model_management.OOM_EXCEPTION("full")
        return executor(x, *args, **kwargs)

    short = model.clone()
    short.add_wrapper_with_key(comfy.patcher_extension.WrappersMP.APPLY_MODEL, "limit", wrapper)
    run(short, 4)
    values = [value for value, _, _ in sent]
    assert values == sorted(values) and values[-1] == STEPS and sent[-1][1] == STEPS


def test_without_previews_there_is_progress_alone(model, sent, monkeypatch):
    monkeypatch.setattr(comfy.cli_args.args, "preview_method", LatentPreviewMethod.NoPreviews)
    run(model, 2)
    assert sent and all(preview is None for _, _, preview in sent)
    assert sent[-1][:2] == (STEPS, STEPS)


def test_a_previewer_that_shows_by_itself_is_left_to_it(model, previews):
    class ShowsItself(latent_preview.LatentPreviewer):
        def decode_latent_to_preview_image(self, preview_format, x0):
            return None

    progress = SetProgress(model, 2, STEPS)
    progress.previewer = ShowsItself()
    assert progress.preview(range(2), torch.zeros(2, 16, 8, 12)) is None
