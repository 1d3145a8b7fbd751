"""The options of `dev.py dataset` as settings."""

import os
import subprocess
import sys

import pytest
import yaml

from coupled.dataset import run
from coupled.dataset.filters import read_filters
from coupled.dataset.settings import Models
from coupled.devtools.dataset import FORMATS, choose_device, parse_options, read_settings
from coupled.mini.size import SIZE

from paths import HOST, ROOT

FLUX = ("--unet", "u", "--clip-l", "c", "--t5", "t", "--vae", "v")


def settings(*options):
    return read_settings(parse_options(["--host", "", "make", "a.jsonl", "out", *options]))


@pytest.mark.parametrize(
    "options, size",
    [
        ((), (SIZE, SIZE)),
        (FLUX, (1024, 1024)),
        (("--size", "64"), (64, 64)),
        ((*FLUX, "--size", "1344x768"), (1344, 768)),
    ],
)
def test_a_size_is_the_models_own_one_number_or_two(options, size):
    found = settings(*options)
    assert (found.width, found.height) == size


@pytest.mark.parametrize("size", ["big", "64x", "x64", "64x64x64", "-64"])
def test_another_size_is_refused(size):
    with pytest.raises(ValueError, match="write one number, or WIDTHxHEIGHT"):
        settings(f"--size={size}")


def test_models_have_the_names_of_the_options():
    found = settings(*FLUX, "--lora", "l", "--lora-strength", "0.5").models
    names = {"unet": "u", "clip_l": "c", "t5": "t", "vae": "v"}
    assert found == Models(**names, lora="l", lora_strength=0.5)


def test_filters_are_read_at_once():
    assert settings("--filters", "ultraedit").filters == read_filters("ultraedit")
    with pytest.raises(FileNotFoundError, match="no filters 'magic'"):
        settings("--filters", "magic")


def test_every_format_can_be_asked_for():
    assert tuple(run.FORMATS) == FORMATS


@pytest.mark.slow
def test_models_may_lie_where_the_users_file_says(tmp_path):
    host = tmp_path / "host"
    host.mkdir()
    for path in HOST.iterdir():
        if path.name != "extra_model_paths.yaml":
            (host / path.name).symlink_to(path)
    (tmp_path / "lora").mkdir()
    text = f"mine:\n  base_path: {tmp_path}\n  loras: lora\n"
    (host / "extra_model_paths.yaml").write_text(text)
    code = (
        "import sys; from pathlib import Path; from devtools.pack import load_host;"
        " load_host(Path(sys.argv[1])); import folder_paths;"
        " print(folder_paths.get_folder_paths('loras'))"
    )
    command = [sys.executable, "-c", code, str(host)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert str(tmp_path / "lora") in done.stdout


@pytest.mark.parametrize(
    "variables, rank",
    [
        ({}, (0, 1)),
        ({"RANK": "3", "WORLD_SIZE": "8"}, (3, 8)),
        ({"SLURM_PROCID": "2", "SLURM_NTASKS": "4"}, (2, 4)),
        ({"RANK": "1"}, (0, 1)),
    ],
)
def test_a_launcher_says_which_process_this_is(monkeypatch, variables, rank):
    for name in ("RANK", "WORLD_SIZE", "SLURM_PROCID", "SLURM_NTASKS"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert run.find_rank() == rank


@pytest.mark.parametrize(
    "variables, chosen",
    [
        ({}, "unset"),
        ({"LOCAL_RANK": "2"}, "2"),
        ({"SLURM_LOCALID": "1", "CUDA_VISIBLE_DEVICES": "4,5"}, "5"),
        ({"SLURM_LOCALID": "3", "CUDA_VISIBLE_DEVICES": "7"}, "7"),  # Slurm gave it this one alone
    ],
)
def test_each_process_of_a_machine_takes_a_gpu(monkeypatch, variables, chosen):
    for name in ("LOCAL_RANK", "SLURM_LOCALID", "CUDA_VISIBLE_DEVICES"):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    choose_device()
    assert os.environ.get("CUDA_VISIBLE_DEVICES", "unset") == chosen


def test_the_example_of_a_cluster_is_one_that_ray_up_takes():
    from ray.autoscaler._private.util import prepare_config, validate_config

    path = ROOT / "dataset" / "examples" / "cluster.yaml"
    config = prepare_config(yaml.safe_load(path.read_text()))
    validate_config(config)
    (nodes,) = config["available_node_types"].values()
    assert nodes["min_workers"] == nodes["max_workers"] == len(config["provider"]["worker_ips"])
