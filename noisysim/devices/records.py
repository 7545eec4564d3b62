"""Records of devices in files of earlier versions: what they lack, and what a device did without it.

A record names every field of a device, so a default that changes does not reach what is recorded. A field that is new
does, where its default is not what devices did before there was one: then it stands here, and whoever reads a record
from a file completes it first.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

BEFORE: Mapping[str, Mapping[str, Any]] = {"crossbar": {"controller": "auto"}}
"""By device: fields that a record may lack, and their values in its time."""


def completed(record: Mapping[str, Any]) -> dict[str, Any]:
    """A recorded device, with the fields that it is from before as they were then.

    Parameters
    ----------
    record : mapping
        What `noisysim.devices.describe` gave, of this version or an earlier one.
    """
    lacking = {field: value for field, value in BEFORE.get(record["name"], {}).items() if field not in record}
    return {**record, **lacking}
