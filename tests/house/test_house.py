"""The house itself: what its map says of it."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
MAP = (ROOT / "CONTRIBUTING.md").read_text()


def test_every_file_and_folder_that_the_map_names_exists():
    named = set(re.findall(r"`((?:noisysim|devices|benchmarks|tests|docs|support)/[\w/.-]*)`", MAP))
    assert len(named) > 30
    places = (ROOT, ROOT / "tests")
    assert [one for one in sorted(named) if not any((place / one).exists() for place in places)] == []


def test_every_folder_of_the_package_is_on_the_map():
    folders = {path.name for path in (ROOT / "noisysim").iterdir() if path.is_dir() and path.name != "__pycache__"}
    assert [name for name in sorted(folders - {"papers"}) if f"`noisysim/{name}/`" not in MAP] == []
