"""Files and folders that are there and that nobody reads: what they are, and what would make them readable."""

from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

from pairing.naming import of_cellpose
from reading import images, slides
from reading.files import counted, is_hidden, is_result, some

IMAGES_WANTED = "PNG, TIFF, JPEG or another kind that docs/own_images.md lists"
MASKS_WANTED = "pictures such as PNG or TIFF, .npy arrays, or outlines as LabelMe, COCO, QuPath GeoJSON or ImageJ ROIs"
_BY_FIJI = "Open them in Fiji (File › Import › Bio-Formats) and save each picture as TIFF (File › Save As › Tiff…)"
_BY_EYE = "Open them in a picture editor and save them as PNG or TIFF"
_ARRAYS = "Save each label array or picture alone, as .npy (np.save) or TIFF"
_OUTLINES = "Export the outlines again as COCO JSON (CVAT, Roboflow, Label Studio) or GeoJSON (QuPath)"
_KINDS = {
    (".zarr",): ("OME-Zarr", _BY_FIJI),
    (".czi", ".zvi", ".lsm"): ("Zeiss", _BY_FIJI),
    (".nd2", ".nd"): ("Nikon", _BY_FIJI),
    (".lif", ".lei", ".scn", ".xlef"): ("Leica", _BY_FIJI),
    (".oib", ".oif", ".oir", ".vsi", ".ets"): ("Olympus or Evident", _BY_FIJI),
    (".ims",): ("Imaris", _BY_FIJI),
    (".dv", ".r3d"): ("DeltaVision", _BY_FIJI),
    (".stk", ".ics", ".ids", ".mrc", ".dm3", ".dm4", ".sld", ".flex", ".mvd2", ".btf", ".tf2", ".tf8", ".qptiff"): (
        "a microscope's", _BY_FIJI,
    ),
    (".dcm", ".dicom", ".nii", ".nii.gz", ".mha", ".nrrd"): ("a medical scanner's", _BY_FIJI),
    (".svs", ".ndpi", ".mrxs", ".bif"): (
        "whole slides", "Outline cells on them in QuPath, and cut fields out: python main.py prepare --source FOLDER",
    ),
    (".heic", ".heif", ".avif", ".raw", ".cr2", ".cr3", ".nef", ".arw", ".dng"): ("a camera's", _BY_EYE),
    (".psd", ".xcf", ".svg", ".eps", ".ai", ".pdf", ".pptx", ".docx"): ("an editor's", _BY_EYE),
    (".mp4", ".avi", ".mov", ".mpg", ".mkv"): ("videos", "Save single pictures of them as PNG or TIFF"),
    (".npz", ".mat", ".h5", ".hdf5", ".pkl", ".pt"): ("files of arrays", _ARRAYS),
    (".zip", ".tar", ".gz", ".7z", ".rar", ".tgz"): ("packed", "Unpack them"),
    (".qpdata", ".qpproj"): ("QuPath's own", "In QuPath: File › Export objects as GeoJSON"),
}  # fmt: skip
_OF_MASKS = {
    (".xml",): ("outlines of CVAT, ImageScope or Pascal VOC", _OUTLINES),
    (".txt",): ("perhaps outlines of YOLO", _OUTLINES),
    (".csv", ".tsv", ".json", ".geojson", ".ndjson", ".yaml", ".yml", ".svg"): ("", _OUTLINES),
}
OF_CELLPOSE = "Cellpose's"  # in the place of an ending: what lies beside its masks
FOLDERS_OF_SYSTEMS = {"__macosx", "@eadir", "lost+found"}
# What this program writes beside pictures and masks, apart from what says so itself (`files.is_result`).
OWN = {
    "fields.csv", "prepared.json", "tiles.csv", "tiles.json", "predictions.json", "probabilities.npz", "scores.json",
    "report.html", "cells.csv", "cell_counts.csv", "calibration.png", "check.png", "suggest.html", "suggested.csv",
}  # fmt: skip


@dataclass(frozen=True)
class Unread:
    """Files of one kind in a folder, or the pictures of a folder within it.

    files : their paths. what : such as "Masks holds 3 .xml files (a.xml, b.xml, c.xml)". expected, remedy : texts.
    aside : True for what lies beside pictures everywhere, such as notes and tables, and is no picture or mask.
    ending : of the files' names.
    """

    files: tuple
    what: str
    expected: str
    remedy: str
    aside: bool
    ending: str = ""

    def __str__(self):
        line = f"{self.what}, which {'is' if len(self.files) == 1 else 'are'} not read"
        return line if self.aside else f"{line}; expected {self.expected}. {self.remedy}."


def unread_in(folder, read, masks=False, below=True):
    """What in a folder is not read: a list of `Unread`, pictures and masks first.

    Hidden files, those of operating systems and this program's own are not spoken of.

    Parameters: read, collection of the paths in it that are read; masks, True for a folder of masks alone; below, False
    to say nothing of the folders in it.
    """
    folder, read, kinds, inner = Path(folder), set(read), defaultdict(list), []
    paths = sorted(folder.iterdir()) if folder.is_dir() else []
    made = of_cellpose(paths)
    for path in paths:
        if is_hidden(path) or path in read or path.name.lower() in FOLDERS_OF_SYSTEMS | OWN:
            continue
        if path.is_dir() and path.suffix.lower() != ".zarr":
            inner.append(path)
        elif path.suffix.lower() not in (".tmp", ".part") and not is_result(path):
            kinds[OF_CELLPOSE if path in made else _ending(path)].append(path)
    found = [_of_kind(folder, ending, paths, masks) for ending, paths in kinds.items()]
    for sub in inner if below else ():
        if paths := _pictures_below(sub, read):
            found.append(_of_folder(folder, sub, paths, masks))
    return _joined(folder, sorted(found, key=lambda unread: unread.aside))


def first_unread(folder, read, masks=False, below=True):
    """The first of `unread_in` that may be why something is missing; None where there is none."""
    found = unread_in(folder, read, masks, below)
    return next((unread for unread in found if not unread.aside), None)


def _ending(path):
    return ".nii.gz" if path.name.lower().endswith(".nii.gz") else path.suffix.lower()


def _of_kind(folder, ending, paths, masks):
    kinds = [*(_OF_MASKS.items() if masks else ()), *_KINDS.items()]
    known = next((what for endings, what in kinds if ending in endings), None)
    name, remedy = known or ("", "")
    whose = f"{name}: " if name else ""
    what = f"{folder.name} holds {_counted(paths, ending)} ({whose}{some(path.name for path in paths)})"
    if not remedy and ending in images.IMAGE_SUFFIXES:
        remedy = "Move them to the other pictures, or leave them out"
    return Unread(tuple(paths), what, MASKS_WANTED if masks else IMAGES_WANTED, remedy, not remedy, ending)


def _counted(paths, ending):
    if ending == OF_CELLPOSE:
        return f"{counted(len(paths), 'file')} of Cellpose beside its masks"
    return counted(len(paths), f"{ending} file" if ending else "file without an ending", None if ending else "files")


def _of_folder(folder, sub, paths, masks):
    what = f"{folder.name}/{sub.name} holds {counted(len(paths), 'file')} ({some(path.name for path in paths)})"
    remedy = f"Move them up into {folder.name}, with {sub.name}_ before their names where names are equal"
    return Unread(tuple(paths), what, f"{'masks' if masks else 'pictures'} directly in {folder.name}", remedy, False)


def _pictures_below(folder, read, depth=3):
    """Pictures in a folder, and so many levels below, that are not read."""
    if folder in read or is_hidden(folder) or folder.name.lower() in FOLDERS_OF_SYSTEMS:
        return []
    known = images.IMAGE_SUFFIXES | slides.SUFFIXES
    found = []
    for path in sorted(folder.iterdir()):
        if path.is_dir():
            found += _pictures_below(path, read, depth - 1) if depth else []
        elif path.suffix.lower() in known and not is_hidden(path) and path not in read:
            found.append(path)
    return found


def _joined(folder, found):
    """What lies aside in one line, however many kinds of file it is."""
    aside = [unread for unread in found if unread.aside]
    if len(aside) < 2:
        return found
    counts = some([_counted(unread.files, unread.ending) for unread in aside], 6)
    files = tuple(path for unread in aside for path in unread.files)
    return [unread for unread in found if not unread.aside] + [
        Unread(files, f"{folder.name} holds {counts}", "", "", True)
    ]
