"""The faults that a data folder can have: how bad each is, why it matters and what to do."""

from dataclasses import dataclass

from reading.files import some

SEVERITIES = ("fatal", "warning", "note")
FEW = 5  # of fewer images than this none is called an exception


@dataclass(frozen=True)
class Finding:
    """One fault. files: paths in the data folder, `a = b` where two show the same; text: why it matters."""

    severity: str
    kind: str
    files: tuple
    text: str
    remedy: str

    def __str__(self):
        named = f": {some(self.files, 5)}" if self.files else ""
        return f"{self.severity.upper():8}{self.kind}{named}\n        {self.text}\n        What to do: {self.remedy}"


def in_parts(error):
    """(what is wrong, what to do) of an `InputError`, whose line says both: two texts, the second perhaps empty."""
    seen, mark, rest = str(error).rpartition("; expected ")
    expected, _, remedy = rest.partition(". ")
    return f"{seen}{mark}{expected.rstrip('.')}.", remedy


# Kind of fault: (severity, why it matters, what to do unless the reader of the file knows better). In order of
# importance within a severity.
KINDS = {
    "no images": ("fatal", "There is nothing to train on.",
        "Put images into 'Train data/Images' and their masks into 'Train data/Masks'."),
    "swapped Images and Masks": ("fatal", "The files in Images look like masks and those in Masks like pictures.",
        "Exchange the two."),
    "unreadable image": ("fatal", "A file that cannot be read stops the training or the prediction.",
        "Export or download it again, or take it out with its mask."),
    "unreadable mask": ("fatal", "Without its mask an image teaches nothing.",
        "Export it again, or take it out with its image."),
    "missing mask": ("fatal", "An image to train on needs a mask of the same name.",
        "Add the masks, or take these images out; for an image without cells, save a mask of zeros."),
    "orphan mask": ("fatal", "There is no image of the same name.",
        "Add the image, correct the name, or take the mask out."),
    "duplicate name": ("fatal", "Two files of one name: which of them belongs to the other folder's file is unclear.",
        "Rename or remove one."),
    "pairing": ("fatal", "Images and masks cannot be put together.", "Give both the same names."),
    "size mismatch": ("fatal", "The mask does not lie on its image pixel by pixel.",
        "Export the mask at the image's size (height×width)."),
    "mask encoding": ("fatal", "What the mask values mean cannot be told.",
        "Save the masks as 8-bit grey, 0 background and 255 cells, or give --foreground or --classes."),
    "opposite test masks": ("fatal", "The test masks call cells what the training masks call background: every score "
        "would be worthless.", "Invert the masks of the part that is wrong, so that one value means cells in both."),
    "mask is a picture": ("fatal", "It has the many grey values of a photograph, not the few of a mask.",
        "Put the mask there instead."),
    "nothing known": ("fatal", "Every pixel of all masks is ignored: there is nothing to learn.",
        "Check what is called Ignore*, the Region* areas and --ignore."),
    "no foreground": ("fatal", "All masks are empty: there is nothing to learn.",
        "Check the export of the masks; with `correct`, mark a field with cells as done."),
    "no background": ("fatal", "All masks are foreground everywhere: there is nothing to learn.",
        "Check the export of the masks: of the cells, not of the tissue or the field of view around them. Or name the "
        "values to learn with --foreground."),
    "leakage": ("warning", "The network is trained on what it is tested with, so its score will be too good.",
        "Keep the whole slide, patient or field either in Train data or in Test data."),
    "inverted mask": ("warning", "Foreground is here what the other masks call background.",
        "Look at the contact sheet; invert these masks."),
    "masks turned over": ("warning", "", "Say with --foreground which values were marked."),
    "perhaps inverted": ("warning", "", "Say with --foreground which values were marked."),
    "contours": ("warning", "", "Fill them."),
    "mask does not fit": ("warning", "The other masks outline what is brighter (or darker) than its surroundings, this "
        "one does not: it is another image's, or was shifted, turned or mirrored.",
        "Look at it on the contact sheet; export the mask of this image again."),
    "mixed mask encodings": ("warning", "These masks use other values than the rest; one rule is used for all of them.",
        "Export all masks in the same way."),
    "full mask": ("warning", "Foreground everywhere, not one background pixel: often a failed export.",
        "Look at it; export it again, the cells and not the tissue or the field of view around them, or take the pair "
        "out."),
    "empty mask": ("warning", "No foreground, though the image has as much in it as the others: cells in it would be "
        "learned as background.", "Annotate it, or take the pair out; leave it if there truly is no cell."),
    "picture is a mask": ("warning", "The image holds the few values of a mask, unlike the other images.",
        "Put the picture there instead."),
    "duplicate image": ("warning", "The same picture twice counts double, and can be in training and validation.",
        "Keep one."),
    "duplicate mask": ("warning", "One and the same mask for different images: it fits one of them at most.",
        "Look at both on the contact sheet; export the right mask."),
    "near duplicate": ("warning", "Nearly the same picture (saved again, brightened, resized, turned or mirrored) can "
        "be in training and validation.", "Keep one; training makes turned and mirrored versions itself."),
    "overlapping fields": ("warning", "Parts of one field under different names can be in training and validation.",
        "Name them alike (slide1_tile1, slide1_tile2) so that they are kept together."),
    "continuing fields": ("warning", "These continue each other at their edges: parts of one field, which can be in "
        "training and validation.", "Name them alike (slide1_tile1, slide1_tile2), or cut with prepare --group-by, so "
        "that they are kept together."),
    "constant image": ("warning", "No contrast: every pixel has one value, there is no picture.",
        "Export it again, or take the pair out."),
    "no contrast": ("warning", "There is at most noise, which is not stretched to look like cells.",
        "Leave it if truly nothing is there; otherwise export it again from the original file."),
    "object sizes": ("warning", "A network finds what has the size that it learnt; of two magnifications it learns "
        "each less well.",
        "Look at them. If they were taken at another magnification, save all pictures as TIFF with the true size of "
        "their pixels (Fiji: Image › Properties…), so that training and prediction bring them to one; or scale them, "
        "and their masks, to the size of the rest. Where only test pictures differ: predict --diameter."),
    "sizes of pixels": ("warning", "Pictures are brought to one magnification only where all of them state it.",
        "Save the others as TIFF with the size of their pixels too (Fiji: Image › Properties…); or, where it is the "
        "same for all, train with --um-per-px."),
    "exposure": ("warning", "Much brighter, darker, flatter or more saturated than the rest: detail is lost or the "
        "image comes from elsewhere.", "Look at it; take it again or take the pair out if it is spoilt."),
    "bit depth": ("warning", "Stored with another number of bits than the rest, perhaps from another export.",
        "Export all images in the same way, from the original files."),
    "colour and grey mixed": ("warning", "A few images differ from the rest in having colour, or none.",
        "Export all images in the same way."),
    "tiny image": ("warning", "Fewer than 16 pixels in height or width: too small to show a cell.", "Take it out."),
    "class imbalance": ("warning", "What is so rare, or so common, is hardly learned.",
        "Annotate more images that show it, check the values of the masks, or take out images without cells."),
    "missing test mask": ("warning", "Some test images have a mask and these have none: they will not be scored.",
        "Add the masks, or go on: a mask is predicted all the same."),
    "file not read": ("warning", "Files of this kind, or in subfolders, are not used.",
        "Nothing, if they are notes; pictures and masks are read as PNG or TIFF directly in the folder."),
    "ignored mask": ("note", "Every pixel of it is ignored, so it teaches and tests nothing.",
        "Nothing, if that is meant; else mark what is known in it."),
    "shapes left out": ("note", "They are in no mask: their places are ignored, or belong to what is around them.",
        "Nothing, where they mark no cell. Otherwise draw around it, and give it the class of the others."),
    "two channels": ("note", "They are taken for the red and the green of a colour picture without blue, each scaled "
        "by itself, and both are used.", "Nothing. To use one alone, save it as a picture (Fiji: Image › Color › Split "
        "Channels)."),
    "few images": ("note", "So few images teach little, and the scores depend on chance.",
        "Annotate more images, from different slides if possible."),
}  # fmt: skip
ORDER = list(KINDS)
