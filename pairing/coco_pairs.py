"""Which images the COCO files of a folder hold masks of: one file may list all images, by their names."""

from pairing.annotations import coco_of, file_of, suffix_of
from reading.files import InputError, some, stem_of


def pair_by_coco(pictures, sources):
    """The masks that COCO files hold of images.

    Parameters: pictures, paths of images; sources, paths of everything that is a mask.
    Returns (found, rest, line): from each image that is listed to its part of the file, `instances.json/a.png`; the
    sources that are no COCO files; and a line for people, "" where all are such. Raises `InputError` for a damaged
    COCO file, and for an image that may be meant by several entries.
    """
    files = {path: coco for path in sources if (coco := coco_of(path))}
    listed = {path: coco.assign(pictures) for path, coco in files.items()}
    own = {path.name[: len(path.name) - len(suffix_of(path))]: path for path in files}
    found, several, used = {}, [], {path: set() for path in files}
    for image in pictures:
        named = own.get(stem_of(image)) or own.get(image.name)  # a file an image, each of which may list them all
        holding = [named] if named and image in listed[named] else [path for path in files if image in listed[path]]
        several += [image] if len(holding) > 1 else []
        for path in holding[:1]:
            number = listed[path][image]
            found[image] = path / files[path].name_of(number)
            used[path].add(number)
    if several:
        raise InputError(
            f"{several[0].parent}: {some(path.name for path in several)} listed in more than one of the COCO files "
            f"{some(path.name for path in files)}; expected one mask an image. Take one of the files out."
        )
    return found, [path for path in sources if path not in files], _line(files, found, used)


def _line(files, found, used):
    if not files:
        return ""
    image, mask = next(iter(found.items()), (None, None))
    example = f", as in {image.name} ↔ {file_of(mask).name}/{mask.name}" if found else ""
    line = f"masks by the names listed in {some(path.name for path in files)} (COCO){example}"
    strangers = [
        coco.name_of(number)
        for path, coco in files.items()
        for number in range(len(coco.images))
        if number not in used[path]
    ]
    if strangers and len(files) == 1:
        line += f"; listed there without an image here: {some(strangers)}"
    return line
