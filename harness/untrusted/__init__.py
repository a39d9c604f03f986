"""The only way back for what a job or a device made: every file of theirs is opened and read here.

What is taken over are named regular files, and folders of them, within a budget. Nothing is
followed out of the folder that they were left in, and whatever is wrong is one StepFailed.
"""
