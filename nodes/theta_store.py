"""Where theta-schedules are kept: models/theta, output/theta, and the pack's own."""

import json
import os
import re
from pathlib import Path

import folder_paths

from ..schedules import ThetaSchedule, write_schedule
from ..schedules.files import lies_within

FOLDER = "theta"  # models/theta and output/theta
SAVED = " [output]"  # marks the files of output/theta in the list, as the host marks its own
LEARNED = " [learned]"  # marks those that ship with the pack
SHIPPED = Path(__file__).resolve().parent.parent / "schedules" / "learned"
MAX_PREFIX = 200  # bytes: file systems take 255, and a number follows

folder_paths.add_model_folder_path(FOLDER, os.path.join(folder_paths.models_dir, FOLDER))


def save_schedule(schedule: ThetaSchedule, filename_prefix: str) -> str:
    """Writes a new file into output/theta; its path from the output folder on."""
    root = schedule_root()
    folder, filename, counter, _, _ = folder_paths.get_save_image_path(
        check_prefix(filename_prefix, root), root
    )
    path = os.path.join(folder, f"{filename}_{counter:05}_.json")
    write_schedule(schedule, path)
    return os.path.relpath(path, folder_paths.get_output_directory())


def schedule_root() -> str:
    """The folder of the schedules that were saved."""
    return os.path.join(folder_paths.get_output_directory(), FOLDER)


def check_prefix(
    prefix: str,
    root: str,
    name: str = "filename_prefix",
    inside: str = f"output/{FOLDER}",
    example: str = "portraits/theta",
) -> str:
    """`prefix` with forward slashes; the last three are words of the message.

    ValueError if it could leave `root` or is no file name everywhere.
    """
    parts = prefix.strip().replace("\\", "/").split("/")
    bad = len(prefix.encode(errors="replace")) > MAX_PREFIX or any(
        part.strip(" .") == ""
        or part != part.rstrip(" .")
        or not part.isprintable()
        or re.search(r'[<>:"|?*]', part)
        for part in parts
    )
    if bad or not lies_within(root, os.path.join(root, *parts)):
        raise ValueError(
            f"{name} {prefix[:80]!r} is not a name inside {inside}. "
            f'Use letters, digits, "-" and "_", and "/" for a folder in there: {example}.'
        )
    return "/".join(parts)


def schedule_folders() -> dict[str, list[str]]:
    """Where schedules lie, by the mark that their names get: models/theta, output/theta, and the
    pack's own.
    """
    return {
        "": folder_paths.get_folder_paths(FOLDER),
        SAVED: [schedule_root()],
        LEARNED: [str(SHIPPED)],
    }


def list_schedules() -> list[str]:
    """The JSON files of models/theta, then those of output/theta marked [output], then the pack's
    marked [learned].
    """
    names = []
    for mark, folders in schedule_folders().items():
        # A model folder added by a pack takes files of every kind: only .json may be offered.
        found = {
            file.replace(os.sep, "/")
            for folder in folders
            for file in folder_paths.recursive_search(folder, [".git"])[0]
            if file.lower().endswith(".json")
        }
        names += [file + mark for file in sorted(found)]
    return names


def schedule_path(name: str) -> str:
    """The file that a name of `list_schedules` stands for.

    ValueError for a path that leaves its folder.
    """
    mark = next((mark for mark in (SAVED, LEARNED) if name.endswith(mark)), "")
    file = name.removesuffix(mark)
    for folder in schedule_folders()[mark]:
        path = os.path.join(folder, file)
        inside = file.lower().endswith(".json") and lies_within(folder, path)
        if inside and os.path.isfile(path):
            return path
    raise ValueError(
        f"There is no schedule {name[:80]!r} in models/{FOLDER}, in output/{FOLDER}, or in the"
        " pack. Press R to refresh the list, and choose one from it."
    )


def learned_values() -> dict[str, str]:
    """The schedules that ship with the pack, by name, as the text of `values`."""
    files = {
        path.stem: json.loads(path.read_text(encoding="utf-8"))
        for path in sorted(SHIPPED.glob("*.json"))
    }
    return {
        name: ", ".join(f"{theta:.4g}" for theta in file["values"]) for name, file in files.items()
    }
