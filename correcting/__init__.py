"""Cells corrected in the browser: a page on this computer alone, and what is saved of it.

Read pictures.py first (which pictures), then working_copy.py (the labels of one, with every edit in a journal),
opening.py (the cells that a picture comes with), training_fields.py (what is done becomes a training field), desk.py
(all of it together, with the work in the background), retraining.py (training again), transfer.py (pixels to and from
the page), server.py and guard.py (the page's requests, and who may make them), and page/ (what runs in the browser).
"""
