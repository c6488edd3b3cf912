"""The file: a zip archive of plain parts, sealed by a checksum of all of its bytes."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile

from skhvae._version import __version__

__all__ = ["FORMAT", "pack", "unpack"]

FORMAT = 1
_MANIFEST = "manifest.json"
_WHAT = "skhvae imputer"
_SEAL = 64  # hexadecimal digits of a SHA-256 at the end, which to a zip archive are its comment

# What files of other programs begin with.
_FOREIGN = {
    b"\x80": "a pickle, which is loaded by pickle.load or joblib.load, if you trust where it is from",
    b"PAR1": "a Parquet file",
    b"\x89HDF": "an HDF5 file",
}


def _digest(data) -> str:
    return hashlib.sha256(data).hexdigest()


def pack(parts: dict[str, bytes]) -> memoryview:
    """The bytes of a file; the same for the same parts."""
    sums = {name: {"bytes": len(data), "sha256": _digest(data)} for name, data in parts.items()}
    manifest = {"what": _WHAT, "format": FORMAT, "skhvae": __version__, "parts": sums}
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, data in {_MANIFEST: json.dumps(manifest, indent=1).encode(), **parts}.items():
            entry = zipfile.ZipInfo(name)  # dated 1980
            entry.create_system, entry.external_attr = 3, 0o644 << 16
            archive.writestr(entry, data)
        archive.comment = b"0" * _SEAL
    data = file.getbuffer()
    data[-_SEAL:] = _digest(data[:-_SEAL]).encode()
    return data


def unpack(data: bytes, names: tuple[str, ...]) -> dict[str, bytes]:
    """The parts of a file, once they are known to be what :func:`pack` was given.

    Parameters
    ----------
    data : bytes
    names : tuple of str
        The parts that a file has.

    Returns
    -------
    dict of str to bytes

    Raises
    ------
    ValueError
        For anything else, whatever it is.
    """
    _check_seal(data)
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            found = {entry.filename: _content(archive, entry) for entry in archive.infolist()}
            n_entries = len(archive.infolist())
        manifest = json.loads(found[_MANIFEST])
        what, written_in, written_by = (manifest[key] for key in ("what", "format", "skhvae"))
    except Exception as error:  # whatever zipfile and json say of bytes that are not ours
        raise _not_ours(f"a zip archive of something else ({error})") from error
    if what != _WHAT:
        raise _not_ours(f"a file of {what!r}")
    if written_in != FORMAT:
        raise ValueError(
            f"The file is of format {written_in}, written by skhvae {written_by}; this is skhvae "
            f"{__version__}, which reads format {FORMAT}. Install skhvae {written_by}, or fit and save "
            "the imputer again."
        )
    manifest.pop("skhvae")
    parts = {name: found.pop(name) for name in names if name in found}
    sums = {name: {"bytes": len(part), "sha256": _digest(part)} for name, part in parts.items()}
    expected = {"what": _WHAT, "format": FORMAT, "parts": sums}
    if [*found] != [_MANIFEST] or n_entries != 1 + len(names) or manifest != expected:
        raise ValueError(
            f"The file does not hold what it should: expected {_MANIFEST}, {', '.join(names)} with "
            "the checksums of the first. It was changed after it was saved; save the imputer again."
        )
    return parts


def _check_seal(data: bytes) -> None:
    if not data.startswith(b"PK\x03\x04"):
        for start, program in _FOREIGN.items():
            if data.startswith(start):
                raise _not_ours(program)
        raise _not_ours(f"one that begins with {data[:8]!r}" if data else "an empty one")
    expected, found = data[-_SEAL:], _digest(data[:-_SEAL]).encode()
    if expected != found:
        raise ValueError(
            f"The file is damaged or cut short, or was not written by skhvae.save: its checksum is "
            f"{found[:12].decode()}..., its last bytes say {expected[:12]!r}... Copy it again from "
            "where it was saved, or save the imputer again."
        )


def _content(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> bytes:
    # Nothing is unpacked, so that no part can be larger than the file.
    if entry.compress_type != zipfile.ZIP_STORED or entry.file_size != entry.compress_size:
        raise ValueError(f"{entry.filename} is compressed")
    return archive.read(entry)


def _not_ours(found: str) -> ValueError:
    return ValueError(f"Expected a file written by skhvae.save, found {found}.")
