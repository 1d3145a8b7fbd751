"""Files of models: by their names in the host's folders, or by path."""

import hashlib
from collections.abc import Iterable
from pathlib import Path

BLOCK = 1 << 22  # bytes read at once


def find_file(folder: str, name: str) -> Path:
    """A file by its path, or by its name in a folder of the host.

    FileNotFoundError says where it was looked for.
    """
    import folder_paths

    if Path(name).expanduser().is_file():
        return Path(name).expanduser().resolve()
    known = folder in folder_paths.folder_names_and_paths
    found = folder_paths.get_full_path(folder, name) if known else None
    unlisted = Path(folder_paths.models_dir) / folder / name
    if found is None and not unlisted.is_file():
        raise FileNotFoundError(f"{name!r} is neither a file nor in ComfyUI's models/{folder}.")
    return Path(found or unlisted)


def register_file(folder: str, name: str) -> str:
    """The name by which the host's loaders know a file; a path's own folder is made known to
    them.
    """
    import folder_paths

    path = find_file(folder, name)
    if folder_paths.get_full_path(folder, name) is None:
        folder_paths.add_model_folder_path(folder, str(path.parent))
        return path.name
    return name


def digest(files: Iterable[Path]) -> str:
    """Eight letters that change with the files' contents."""
    found = hashlib.sha256()
    for path in files:
        with path.open("rb") as file:
            while block := file.read(BLOCK):
                found.update(block)
    return found.hexdigest()[:8]
