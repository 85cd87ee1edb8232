"""The data doctor: what in a data folder would spoil a training.

Read doctor.py first, then pair_facts.py (what one reading of a pair tells), image_checks.py, mask_checks.py, copies.py
and edges.py (what is made of it), findings.py (how bad each fault is and what helps) and contact_sheet.py (the pairs to
look at).
"""

from checking.doctor import check_folder, examine

__all__ = ["check_folder", "examine"]
