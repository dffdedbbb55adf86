"""The demos that have a name: one file each; the table is `cli/demo.py`."""
