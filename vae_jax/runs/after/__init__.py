"""Commands that use trained runs: sample, encode, reconstruct, export, compare.

Their files are written atomically into folders of their own, so that none of
them claims the folder of a run, which may be training.
"""
