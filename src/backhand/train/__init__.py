"""The article's network as a training job: data, checkpoints, the loop, a loss curve, samples.

Nothing is imported here, so that the command line can read `config` without loading torch.
"""
