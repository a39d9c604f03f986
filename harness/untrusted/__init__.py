"""The only way back for what a job or a device made: its files are opened and read only here.

Named regular files, and folders of them, are taken over within a budget. No link is followed out of
the folder that contains them, and every problem is one StepFailed.
"""
