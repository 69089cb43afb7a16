"""What can happen to a model: measure, allocate, apply. One file a treatment, share or repair; a new file is enough.

Nothing here imports torch before it is put to work, since params.yaml and the command line read the settings.
"""
