"""Makes a Python wheel of a prm binary and the clients of examples/clients: build.py BINARY VERSION PLATFORM OUT NOTICES

pip install goprm-….whl puts prm on the path and the clients into the package goprm: from goprm.trl_reward import prm_reward.
Needs the standard library alone. Equal inputs give equal bytes.
"""
import base64
import hashlib
import pathlib
import re
import sys
import zipfile

METADATA = """Metadata-Version: 2.1
Name: goprm
Version: {version}
Summary: Trains, evaluates and serves process reward models: the prm command, and clients for TRL, verl, slime and OpenRLHF
Home-page: https://github.com/goprm/goprm
License: Apache-2.0
Requires-Python: >=3.9
"""
WHEEL = "Wheel-Version: 1.0\nGenerator: goprm\nRoot-Is-Purelib: false\nTag: py3-none-{platform}\n"
INIT = '"""Clients of goprm servers: goprm.goprm_client, trl_reward, trl_dense, verl_reward, verl_dense, slime_reward."""\n__version__ = "{version}"\n'


def public(version):
    """A version of git describe as PEP 440 has it: v1.2.3, v1.2.3-4-gabc -> 1.2.3.post4+gabc, a bare commit -> 0.0.0+commit."""
    version = version.removesuffix("-dirty")
    if m := re.fullmatch(r"v?(\d+(?:\.\d+)*)(?:-(\d+)-(g[0-9a-f]+))?", version):
        return m[1] + (f".post{m[2]}+{m[3]}" if m[2] else "")
    return "0.0.0+" + re.sub(r"[^a-z0-9.]", ".", version.lower())


def main(binary, version, platform, out, notices):
    version = public(version)
    info = f"goprm-{version}.dist-info"
    clients = sorted((pathlib.Path(__file__).parents[2] / "examples" / "clients").glob("*.py"))
    files = {
        "goprm/__init__.py": INIT.format(version=version).encode(),
        **{f"goprm/{p.name}": p.read_bytes() for p in clients},
        f"goprm-{version}.data/scripts/prm": pathlib.Path(binary).read_bytes(),
        f"{info}/METADATA": METADATA.format(version=version).encode(),
        f"{info}/licenses/LICENSE": (pathlib.Path(__file__).parents[2] / "LICENSE").read_bytes(),
        f"{info}/licenses/THIRD_PARTY_NOTICES.txt": pathlib.Path(notices).read_bytes(),
        f"{info}/WHEEL": WHEEL.format(platform=platform).encode(),
    }
    rows = [f"{name},sha256={base64.urlsafe_b64encode(hashlib.sha256(data).digest()).decode().rstrip('=')},{len(data)}" for name, data in files.items()]
    files[f"{info}/RECORD"] = ("\n".join([*rows, f"{info}/RECORD,,"]) + "\n").encode()
    out = pathlib.Path(out)
    out.mkdir(parents=True, exist_ok=True)
    path = out / f"goprm-{version}-py3-none-{platform}.whl"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as wheel:
        for name, data in files.items():
            entry = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
            entry.compress_type, entry.external_attr = zipfile.ZIP_DEFLATED, (0o100755 if "/scripts/" in name else 0o100644) << 16
            wheel.writestr(entry, data)
    print(path)


main(*sys.argv[1:])
