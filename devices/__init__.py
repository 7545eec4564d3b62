"""The package's own devices, one per file. Installed, this folder is `noisysim.devices.models`."""

if __name__ == "devices":
    raise ImportError("import noisysim.devices (this folder is the source of noisysim.devices.models)")
